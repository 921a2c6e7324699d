package main

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
)

// On a terminal only the very name of the app lets its data move.
func TestAskName(t *testing.T) {
	for typed, ok := range map[string]bool{"grafana\n": true, "grafana": true, "y\n": false, "yes\n": false, "Grafana\n": false, "\n": false, "": false} {
		var said bytes.Buffer
		err := askName(bufio.NewReader(strings.NewReader(typed)), &said, "grafana", []string{"/mnt/old/grafana", "volume grafana"})
		if (err == nil) != ok || err != nil && classify(err).Code != exitUsage {
			t.Errorf("%q: %v", typed, err)
		}
		if !strings.Contains(said.String(), "data of grafana") || !strings.Contains(said.String(), "7 days.\nThese stay: /mnt/old/grafana, volume grafana.\n") {
			t.Errorf("it says %q", said.String())
		}
	}
}

// Two apps are asked for one after the other, from one stream.
func TestAskNameTwice(t *testing.T) {
	in := bufio.NewReader(strings.NewReader("lnd\ngrafana\n"))
	for _, name := range []string{"lnd", "grafana"} {
		if err := askName(in, &bytes.Buffer{}, name, nil); err != nil {
			t.Error(err)
		}
	}
}
