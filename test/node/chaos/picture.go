package chaos

import (
	"fmt"
	"math"
	"strings"
)

// The picture: a row a scenario, a dot a recovery, on a logarithmic scale of seconds.
const (
	left, right, top = 170, 760, 40
	rowHeight        = 44
	leastSeconds     = 0.5
	mostSeconds      = 1000
)

// picture draws the recovery times as SVG; the same numbers give the same bytes.
func picture(columns []column) string {
	var b strings.Builder
	height := top + rowHeight*len(columns) + 40
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", right+40, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="%d" y="20" font-size="14">seconds until an app that was struck answers again</text>`+"\n", left)
	for _, tick := range []float64{1, 3, 10, 30, 100, 300, 1000} {
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle" fill="#666">%g</text>`+"\n",
			place(tick), place(tick), top, height-30, place(tick), height-14, tick)
	}
	for i, c := range columns {
		row(&b, c, top+rowHeight*i+rowHeight/2)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func row(b *strings.Builder, c column, y int) {
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%d %s (%d)</text>`+"\n", left-10, y+4, c.Scenario, c.Name, c.Rounds)
	for i, t := range c.times {
		// dots of the same time lie beside one another
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%d" r="2.5" fill="#1f6feb" fill-opacity="0.35"/>`+"\n", place(t), y+(i%7-3)*3)
	}
	mark(b, "#d1242f", "limit", c.Limit, y)
	if len(c.times) > 0 {
		mark(b, "#1a1a1a", "median", c.Median, y)
	}
}

func mark(b *strings.Builder, colour, what string, seconds float64, y int) {
	fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="%s" stroke-width="2"><title>%s %.1f s</title></line>`+"\n", place(seconds), place(seconds), y-14, y+14, colour, what, seconds)
}

// place is where a time lies on the scale.
func place(seconds float64) float64 {
	s := min(max(seconds, leastSeconds), mostSeconds)
	return left + (right-left)*math.Log(s/leastSeconds)/math.Log(mostSeconds/leastSeconds)
}
