package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
)

// A result that found no room is no success, and is told once: archy lnd connect >file left an empty file and ended with 0.
func TestAResultThatCannotBeWritten(t *testing.T) {
	for _, args := range [][]string{
		{"version"}, {"version", "--json"}, {"help"}, {"apps", "list", "--json"}, {"apps", "lint", "--json"},
		{"doctor"}, {"doctor", "--json"}, {"status", "--nosuch", "--json"},
	} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer full.Close()
		var talk bytes.Buffer
		c := &cli{out: full, err: &talk}
		code := c.run(context.Background(), append(args, "--root", t.TempDir()))
		if code == exitOK || strings.Count(talk.String(), "no space left on device") != 1 {
			t.Errorf("archy %s: exit %d, said %q", strings.Join(args, " "), code, talk.String())
		}
	}
}
