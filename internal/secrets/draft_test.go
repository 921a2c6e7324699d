package secrets

import (
	"slices"
	"testing"
)

func TestDraftThenCreate(t *testing.T) {
	for _, kind := range []Kind{Hex16, Hex32, Base64, Bcrypt} {
		t.Run(string(kind), func(t *testing.T) {
			s := newStore(t)
			value, plain, err := Draft(kind, nil)
			if err != nil || value.Missing() || plain.Missing() != (kind != Bcrypt) {
				t.Fatalf("draft: %v, plain text missing: %v", err, plain.Missing())
			}
			if got := files(t, s); len(got) > 0 {
				t.Fatalf("a draft writes %q", got)
			}
			v, created, err := s.Create("a", kind, value, plain)
			if err != nil || !created || !v.Equal(value) || content(t, s, "a") != value.Reveal() {
				t.Errorf("created %v, %v", created, err)
			}
			wanted := []Wanted{{Name: "a", Kind: kind}}
			if found := append(s.Check(wanted), s.CheckPlain(wanted)...); len(found) > 0 {
				t.Errorf("findings: %v", found)
			}
			other, otherPlain, err := Draft(kind, nil)
			if err != nil {
				t.Fatal(err)
			}
			if v, created, err := s.Create("a", kind, other, otherPlain); err != nil || created || !v.Equal(value) {
				t.Errorf("a second draft replaced the first: created %v, %v", created, err)
			}
		})
	}
	if _, _, err := Draft(Text, nil); err == nil {
		t.Error("an operator's secret was drafted")
	}
}

func TestCreateHashFitsWhatIsThere(t *testing.T) {
	hash, plain, err := Draft(Bcrypt, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("a hash without its plain text", func(t *testing.T) {
		s := newStore(t)
		put(t, s, "h", "$2a$10$the-operators-own-hash")
		v, created, err := s.Create("h", Bcrypt, hash, plain)
		if err != nil || created || v.Reveal() != "$2a$10$the-operators-own-hash" || !slices.Equal(files(t, s), []string{"h"}) {
			t.Errorf("created %v, %v, files %q: a password beside it that does not open the app", created, err, files(t, s))
		}
	})
	t.Run("the plain text of a killed run", func(t *testing.T) {
		s := newStore(t)
		put(t, s, "h.pw", "earlier")
		v, created, err := s.Create("h", Bcrypt, hash, plain)
		if err != nil || !created || !hashMatches(v, New("earlier")) || content(t, s, "h.pw") != "earlier" {
			t.Errorf("created %v, %v", created, err)
		}
	})
}
