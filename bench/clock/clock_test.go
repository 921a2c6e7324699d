package clock

import (
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		walls []time.Duration
		want  time.Duration
	}{
		{nil, 0},
		{[]time.Duration{7}, 7},
		{[]time.Duration{9, 1, 2}, 2},
		{[]time.Duration{1000, 4, 2, 1}, 3},
	} {
		var s Samples
		for _, w := range c.walls {
			s = append(s, Sample{Wall: w, RSS: int64(w)})
		}
		if got := s.Wall(); got != c.want || s.RSS() != int64(c.want) {
			t.Errorf("median of %v: %d, want %d", c.walls, got, c.want)
		}
	}
}
