package manifest

import (
	"fmt"
	"testing"
)

// TestGraph asks the shipped apps what stands before what.
func TestGraph(t *testing.T) {
	set, findings := Load("../../apps", "")
	none(t, findings)
	tests := []struct{ name, got, want string }{
		{"order", fmt.Sprint(set.Order()),
			"[archy-btcpay-db archy-mempool-db immich-postgres immich-redis bitcoin-core bitcoin-knots archy-nbxplorer electrumx fedimint lnd " +
				"btcpay-server fedimint-clientd fedimint-gateway filebrowser grafana homeassistant immich jellyfin mempool-api mempool nextcloud " +
				"nginx-proxy-manager ollama onlyoffice photoprism portainer searxng tailscale uptime-kuma vaultwarden bitcoin-ui electrs-ui lnd-ui]"},
		{"levels", fmt.Sprint(set.Levels(set.ids())),
			"[[archy-btcpay-db archy-mempool-db immich-postgres immich-redis bitcoin-core bitcoin-knots fedimint-clientd filebrowser grafana " +
				"homeassistant jellyfin nextcloud nginx-proxy-manager ollama onlyoffice photoprism portainer searxng tailscale uptime-kuma vaultwarden] " +
				"[archy-nbxplorer electrumx fedimint lnd immich bitcoin-ui] [btcpay-server fedimint-gateway mempool-api electrs-ui lnd-ui] [mempool]]"},
		{"levels of some", fmt.Sprint(set.Levels([]string{"mempool", "lnd", "electrumx", "mempool-api", "absent"})),
			"[[electrumx lnd] [mempool-api] [mempool]]"},
		{"dependents", fmt.Sprint(set.Dependents("bitcoin-knots")), "[archy-nbxplorer bitcoin-ui electrumx fedimint fedimint-gateway lnd mempool-api]"},
		{"needs", fmt.Sprint(set.Needs("mempool-api")), "[{archy-mempool-db  healthy } {electrumx  healthy } {bitcoin-knots  archival }]"},
		{"needs of an absent app", fmt.Sprint(set.Needs("absent")), "[]"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, tt.got, tt.want)
		}
	}
}

func TestAlternatives(t *testing.T) {
	set, _ := Load("testdata/sets/alternatives/shipped", "")
	only := func(id string) func(string) bool { return func(x string) bool { return x == id } }
	tests := []struct{ name, got, want string }{
		{"alternatives", fmt.Sprint(set.Alternatives("bitcoin-core"), set.Alternatives("bitcoin-knots"), set.Alternatives("lnd")), "[bitcoin-knots] [bitcoin-core] []"},
		{"dependents", fmt.Sprint(set.Dependents("bitcoin-knots")), "[lnd]"},
		{"provider", set.Provider("bitcoin-core", only("bitcoin-knots")), "bitcoin-knots"},
		{"provider, none chosen", set.Provider("bitcoin-core", only("")), "bitcoin-core"},
		{"meets", fmt.Sprint(set.Meets("bitcoin-knots", "bitcoin-core"), set.Meets("lnd", "bitcoin-core")), "true false"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, tt.got, tt.want)
		}
	}
}

func TestVersionConstraints(t *testing.T) {
	tests := []struct {
		version, constraint string
		want                bool
	}{
		{"28.1", ">=26.0", true},
		{"25.9", ">=26.0", false},
		{"26", ">=26.0", true},
		{"v28.1", ">27", true},
		{"28.1.knots", "28.1", true},
		{"0.18.4-beta", ">=0.18.4", true},
		{"28.4", "=28", true},
		{"28.4", "==29", false},
		{"28.4", "!=28.4", false},
		{"28.4", "<28.4", false},
		{"28.4", "<=28.4", true},
		{"28.4", ">=26.0, <28", false},
		{"1.9", "^1.2", true},
		{"2.0", "^1.2", false},
		{"0.3", "^0.2", false},
		{"1.2.9", "~1.2.3", true},
		{"1.3", "~1.2.3", false},
		{"3", "*", true},
		{"10.11", ">=10.9", true},
	}
	for _, tt := range tests {
		if !matches(versionPattern, tt.constraint) {
			t.Errorf("%q is not taken as a constraint", tt.constraint)
		}
		if got, known := satisfies(tt.version, tt.constraint); got != tt.want || !known {
			t.Errorf("%s %s: %v, %v, want %v", tt.version, tt.constraint, got, known, tt.want)
		}
	}
}
