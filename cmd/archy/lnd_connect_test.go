package main

import (
	"bytes"
	"strings"
	"testing"

	"rsc.io/qr"
)

// TestQRCode: the half blocks on the terminal are the modules of the code, with a white border.
func TestQRCode(t *testing.T) {
	text := "lndconnect://192.0.2.10:8080?cert=" + strings.Repeat("MIICJjCCAc2gAwIBAgIR", 35) + "&macaroon=" + strings.Repeat("AgEDbG5kAvgBAwoQ", 20)
	var out, talk bytes.Buffer
	c := &cli{out: &out, err: &talk}
	if err := c.drawQR(text, "lan rest"); err != nil {
		t.Fatal(err)
	}
	title, drawing, _ := strings.Cut(strings.TrimPrefix(out.String(), "\n"), "\n")
	if title != "lan rest" || talk.Len() > 0 {
		t.Errorf("title %q, said %q", title, talk.String())
	}
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimRight(drawing, "\n"), "\n")
	black := func(x, y int) bool {
		x, y = x+quietZone, y+quietZone
		if y/2 >= len(rows) {
			return false
		}
		line := []rune(rows[y/2])
		if x >= len(line) {
			return false
		}
		// A terminal is dark: a block is a white module, a blank a black one.
		upper, lower := line[x] == ' ' || line[x] == '▄', line[x] == ' ' || line[x] == '▀'
		if y%2 == 0 {
			return upper
		}
		return lower
	}
	for y := range code.Size {
		for x := range code.Size {
			if black(x, y) != code.Black(x, y) {
				t.Fatalf("module %d,%d is not as it should be in\n%s", x, y, drawing)
			}
		}
	}
}
