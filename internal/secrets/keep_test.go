package secrets

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// TestKeep: a given text is written where there is none, and never over another one.
func TestKeep(t *testing.T) {
	s := newStore(t)
	v, created, err := s.Keep("lnd-seed", New("first words"))
	if err != nil || !created || v.Reveal() != "first words" {
		t.Fatalf("created %v, %v", created, err)
	}
	v, created, err = s.Keep("lnd-seed", New("other words"))
	if err != nil || created || v.Reveal() != "first words" {
		t.Errorf("created %v, %v", created, err)
	}
	if info, err := os.Stat(s.Path("lnd-seed")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if text, _ := os.ReadFile(s.Path("lnd-seed")); string(text) != "first words" {
		t.Errorf("the file holds %d bytes", len(text))
	}
	for _, bad := range []Value{{}, New("two\nlines")} {
		if _, _, err := s.Keep("other", bad); err == nil {
			t.Error("a text that no secret may have was kept")
		}
	}
	s.write = func(*os.File, []byte) error { return errors.New("disk full") }
	if _, _, err := s.Keep("third", New("TEXT")); err == nil || strings.Contains(err.Error(), "TEXT") {
		t.Errorf("%v", err)
	}
	if _, err := s.Read("third"); !IsMissing(err) {
		t.Errorf("half a secret is there: %v", err)
	}
}
