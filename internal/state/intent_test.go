package state

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var apps = map[string]string{"lnd": "lnd", "bitcoin-ui": "archy-bitcoin-ui", "grafana": "grafana"}

// TestIntentOlderNames: an entry may be what an older release called the container, and goes with the app's start.
func TestIntentOlderNames(t *testing.T) {
	for text, want := range map[string]string{`["mempool-electrs","gone"]`: `["gone"]`, `{"mempool-electrs":true}`: `{}`,
		`{"apps":[],"containers":["mempool-electrs"]}`: `{"apps":[],"containers":[]}`} {
		s := newStore(t)
		s.Older = map[string][]string{"electrumx": {"mempool-electrs"}}
		apps := map[string]string{"electrumx": "electrumx"}
		put(t, s.layout.Host(s.layout.UserStopped()), text)
		if intent, err := s.SyncFlags(apps); err != nil || !intent.Stopped("electrumx", "electrumx") || !slices.Equal(names(t, s.host("state/stopped")), []string{"electrumx"}) {
			t.Errorf("%s: %+v, %v", text, intent, err)
		}
		if err := s.SetStopped("electrumx", "electrumx", false, apps); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(get(t, s.layout.Host(s.layout.UserStopped()))); got != want || len(names(t, s.host("state/stopped"))) > 0 {
			t.Errorf("%s: started, the list is %s, want %s", text, got, want)
		}
	}
}

func TestIntentForms(t *testing.T) {
	tests := map[string]struct {
		text string
		// stopped are the apps that the text stops; then what the file says when grafana is stopped too
		// and when lnd is started again.
		stopped        []string
		added, removed string
	}{
		"no file":           {"", nil, `["grafana"]`, `["grafana"]`},
		"array of ids":      {`["lnd"]`, []string{"lnd"}, `["lnd","grafana"]`, `["grafana"]`},
		"array, container":  {`["archy-bitcoin-ui","lnd"]`, []string{"bitcoin-ui", "lnd"}, `["archy-bitcoin-ui","lnd","grafana"]`, `["archy-bitcoin-ui","grafana"]`},
		"apps":              {`{"apps":["lnd"],"by":"ui"}`, []string{"lnd"}, `{"apps":["lnd","grafana"],"by":"ui"}`, `{"apps":["grafana"],"by":"ui"}`},
		"containers":        {`{"containers":["archy-bitcoin-ui","lnd"]}`, []string{"bitcoin-ui", "lnd"}, `{"containers":["archy-bitcoin-ui","lnd","grafana"]}`, `{"containers":["archy-bitcoin-ui","grafana"]}`},
		"both":              {`{"apps":["lnd"],"containers":["archy-bitcoin-ui","lnd"]}`, []string{"bitcoin-ui", "lnd"}, `{"apps":["lnd","grafana"],"containers":["archy-bitcoin-ui","lnd"]}`, `{"apps":["grafana"],"containers":["archy-bitcoin-ui"]}`},
		"object of true":    {`{"lnd":true,"bitcoin-ui":false}`, []string{"lnd"}, `{"bitcoin-ui":false,"grafana":true,"lnd":true}`, `{"bitcoin-ui":false,"grafana":true}`},
		"object of times":   {`{"lnd":"2026-01-02T03:04:05Z"}`, []string{"lnd"}, `{"grafana":"2026-03-01T10:00:00Z","lnd":"2026-01-02T03:04:05Z"}`, `{"grafana":"2026-03-01T10:00:00Z"}`},
		"object of seconds": {`{"lnd":1767323045}`, []string{"lnd"}, `{"grafana":true,"lnd":1767323045}`, `{"grafana":true}`},
		"empty array":       {`[]`, nil, `["grafana"]`, `["grafana"]`},
		"empty object":      {`{}`, nil, `{"grafana":true}`, `{"grafana":true}`},
		"unknown entries":   {`["gone","lnd"]`, []string{"lnd"}, `["gone","lnd","grafana"]`, `["gone","grafana"]`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			file := s.layout.Host(s.layout.UserStopped())
			if tt.text != "" {
				put(t, file, tt.text)
			}
			intent, err := s.SyncFlags(apps)
			if err != nil || intent.Warning != nil {
				t.Fatal(err, intent.Warning)
			}
			var stopped, flags []string
			for _, app := range []string{"bitcoin-ui", "grafana", "lnd"} {
				if intent.Stopped(app, apps[app]) {
					stopped = append(stopped, app)
					flags = append(flags, apps[app])
				}
			}
			if !slices.Equal(stopped, tt.stopped) {
				t.Errorf("stopped %v, want %v", stopped, tt.stopped)
			}
			if got := names(t, s.host("state/stopped")); !slices.Equal(got, append([]string{}, flags...)) {
				t.Errorf("flags %v, want %v", got, flags)
			}
			for _, step := range []struct {
				app     string
				stopped bool
				want    string
			}{{"grafana", true, tt.added}, {"grafana", true, tt.added}, {"lnd", false, tt.removed}} {
				if err := s.SetStopped(step.app, apps[step.app], step.stopped, apps); err != nil {
					t.Fatal(err)
				}
				if got := strings.TrimSpace(get(t, file)); got != step.want {
					t.Errorf("after %s stopped=%v:\n got %s\nwant %s", step.app, step.stopped, got, step.want)
				}
			}
			if got := names(t, s.host("state/stopped")); slices.Contains(got, "lnd") || !slices.Contains(got, "grafana") {
				t.Errorf("flags at the end: %v", got)
			}
		})
	}
}

func TestSyncFlagsFollowsTheFile(t *testing.T) {
	s := newStore(t)
	put(t, s.layout.Host(s.layout.UserStopped()), `["lnd"]`)
	put(t, s.host("state/stopped/grafana"), "")
	// Its manifest does not load at the moment: that is no reason to start it at the next boot.
	put(t, s.host("state/stopped/broken-app"), "")
	if _, err := s.SyncFlags(apps); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s.host("state/stopped")); !slices.Equal(got, []string{"broken-app", "lnd"}) {
		t.Errorf("got %v", got)
	}
}

// A command that is killed, or finds no room, after it has kept an unreadable list aside and before there is a new one leaves the flags in force, and
// the next keeps no second copy.
func TestUnreadableIntentIsThereUntilItIsReplaced(t *testing.T) {
	s := newStore(t)
	file := s.layout.Host(s.layout.UserStopped())
	put(t, file, `["lnd"`)
	put(t, s.host("state/stopped/lnd"), "")
	for range 2 {
		if err := s.keepAside(s.layout.UserStopped()); err != nil {
			t.Fatal(err)
		}
		s.now = func() time.Time { return time.Now().Add(time.Hour) }
	}
	intent, err := s.SyncFlags(apps)
	if err != nil || intent.Warning == nil || !intent.Stopped("lnd", "lnd") || len(names(t, s.host("state/stopped"))) != 1 {
		t.Errorf("%v, %v: the owner's stop is forgotten", err, intent.Warning)
	}
	if kept, _ := filepath.Glob(file + Aside + "*"); len(kept) != 1 {
		t.Errorf("kept aside: %q", kept)
	}
}

func TestUnreadableIntentLeavesTheFlagsInForce(t *testing.T) {
	for _, text := range []string{``, `["lnd"`, `null`, `7`, `{"lnd":"soon"}`, `[1]`, `{"lnd":{"a":1}}`} {
		s := newStore(t)
		file := s.layout.Host(s.layout.UserStopped())
		put(t, file, text)
		put(t, s.host("state/stopped/archy-bitcoin-ui"), "")
		intent, err := s.SyncFlags(apps)
		if err != nil || intent.Warning == nil || !strings.HasPrefix(intent.Warning.Error(), "/var/lib/archipelago/user-stopped.json: ") {
			t.Errorf("%q: %v, %v", text, err, intent.Warning)
		}
		if !intent.Stopped("bitcoin-ui", "archy-bitcoin-ui") || intent.Stopped("lnd", "lnd") {
			t.Errorf("%q: the flags are not in force", text)
		}
		if get(t, file) != text || len(names(t, s.host("state/stopped"))) != 1 {
			t.Errorf("%q: something was changed", text)
		}
		if p := s.ReadAll().Problems; len(p) != 1 {
			t.Errorf("%q: problems %v", text, p)
		}
		if err := s.SetStopped("lnd", "lnd", true, apps); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(get(t, file)); got != `["bitcoin-ui","lnd"]` {
			t.Errorf("%q: new file %s", text, got)
		}
		if got := get(t, file+".unreadable-20260301T100000Z"); got != text {
			t.Errorf("%q: kept aside %q", text, got)
		}
	}
}
