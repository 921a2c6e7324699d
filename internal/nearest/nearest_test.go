package nearest

import "testing"

func TestName(t *testing.T) {
	known := []string{"filebrowser", "bitcoin-knots", "lnd", "lnd-ui"}
	for wrong, want := range map[string]string{
		"filebrowse": "filebrowser", "bitcoin-knot": "bitcoin-knots", "lnb": "lnd", "grafana": "", "": "",
	} {
		if got := Name(wrong, known); got != want {
			t.Errorf("Name(%q) = %q, want %q", wrong, got, want)
		}
	}
}
