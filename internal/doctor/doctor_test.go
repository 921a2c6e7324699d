package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestHealthy: nothing ails a node as a first boot leaves it, and looking changes nothing.
func TestHealthy(t *testing.T) {
	f := newNode(t)
	before := f.tree()
	d := Document{Checks: f.everybody(Report)}
	d.Summarise()
	for _, r := range d.Checks {
		for _, found := range r.Findings {
			t.Errorf("%s: %s %s: %s", r.Code, found.Severity, found.Object, found.Text)
		}
	}
	if d.ExitCode != ExitOK {
		t.Errorf("exit code %d", d.ExitCode)
	}
	if after := f.tree(); after != before {
		t.Error("looking changed something")
	}
}

// TestFullIsNothing: the deepest repair of a healthy node changes nothing either.
func TestFullIsNothing(t *testing.T) {
	f := newNode(t)
	before := f.tree()
	for _, r := range f.everybody(Full) {
		if len(r.Mended) > 0 {
			t.Errorf("%s mended %v", r.Code, r.Mended)
		}
	}
	if f.tree() != before {
		t.Error("something changed")
	}
}

// TestOneCannotStopAnother: checks that hang, that panic, and that do not mind their time leave the others alone.
func TestOneCannotStopAnother(t *testing.T) {
	f := newNode(t)
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	var faults []string
	f.Fault = func(code string, stack []byte) { faults = append(faults, code) }
	checks := []Check{
		{Code: "D_A", Limit: 10 * time.Millisecond, Run: func(context.Context, *Node) []Finding { <-hang; return nil }},
		{Code: "D_B", Run: func(context.Context, *Node) []Finding { panic("oh") }},
		{Code: "D_C", Limit: 10 * time.Millisecond, Run: func(ctx context.Context, _ *Node) []Finding {
			<-ctx.Done()
			return []Finding{warning("", "%v", ctx.Err())}
		}},
		{Code: "D_D", Run: func(context.Context, *Node) []Finding { return nil }},
	}
	results := Run(t.Context(), f.Node, checks, Report, Anyone)
	for i, want := range []struct {
		status Severity
		text   string
	}{{Error, "did not end within 10ms"}, {Error, "the check itself failed: oh"}, {Warning, "deadline"}, {OK, ""}} {
		r := results[i]
		if r.Code != checks[i].Code || r.Status != want.status || want.text != "" && !strings.Contains(r.Findings[0].Text, want.text) {
			t.Errorf("%s: %+v, want %s %q", checks[i].Code, r, want.status, want.text)
		}
	}
	if !slices.Equal(faults, []string{"D_B"}) {
		t.Errorf("faults of %v", faults)
	}
}

// TestHungPodman: a podman that never answers costs its own checks alone, and each says why.
func TestHungPodman(t *testing.T) {
	f := newNode(t)
	f.worldErr = errors.New("podman socket: no answer after 30s")
	f.install("filebrowser")
	for _, r := range f.everybody(Report) {
		switch r.Code {
		case "D_SECRET_DRIFT", "D_UNIT_EDITED", "D_UNIT_REJECTED", "D_FILE", "D_IMAGE", "D_APP", "D_PORT", "D_LEGACY_CGROUP", "D_NETWORK", "D_HOST_GATEWAY":
			if r.Status != Skipped || !strings.Contains(r.Reason, "no answer after 30s") {
				t.Errorf("%s: %s %q", r.Code, r.Status, r.Reason)
			}
		case "D_SECRET_MODE", "D_STATE", "D_VOLUME":
			if r.Status != OK {
				t.Errorf("%s: %+v", r.Code, r)
			}
		}
	}
}

// TestRoles: whoever may not look is told who may.
func TestRoles(t *testing.T) {
	f := newNode(t)
	for _, r := range Run(t.Context(), f.Node, Checks(), Report, Anyone, ServiceUser) {
		if r.Code == "D_FIREWALL" && (r.Status != Skipped || r.Reason != "only root can see this: sudo archy doctor") {
			t.Errorf("%+v", r)
		}
	}
	checks := Checks()
	host, apps := Run(t.Context(), f.Node, checks, Report, Anyone, Root), Run(t.Context(), f.Node, checks, Report, ServiceUser)
	for i, r := range Merge(checks, host, apps) {
		if r.Code != checks[i].Code || r.Status == Skipped && strings.Contains(r.Reason, "see this") {
			t.Errorf("%s: %s", checks[i].Code, r.Reason)
		}
	}
	for _, r := range Broken(checks, errors.New("setpriv: not found")) {
		if r.Code == "D_PODMAN" && (r.Status != Error || !strings.Contains(r.Findings[0].Text, "setpriv: not found")) {
			t.Errorf("%+v", r)
		}
	}
}

func TestExitCodes(t *testing.T) {
	result := func(found ...Finding) Result { return Result{Status: worst(found), Findings: found} }
	for name, c := range map[string]struct {
		checks []Result
		want   int
	}{
		"nothing":                       {nil, ExitOK},
		"information":                   {[]Result{result(info("", "x"))}, ExitOK},
		"a skipped check":               {[]Result{{Status: Skipped}}, ExitOK},
		"a warning":                     {[]Result{result(warning("", "x")), result()}, ExitWarnings},
		"an error":                      {[]Result{result(warning("", "x")), result(failure("", "x"))}, ExitErrors},
		"a person before anything else": {[]Result{result(failure("", "x").human()), result(failure("", "x"))}, ExitHuman},
	} {
		d := Document{Checks: c.checks}
		d.Summarise()
		if d.ExitCode != c.want {
			t.Errorf("%s: exit code %d, want %d", name, d.ExitCode, c.want)
		}
	}
}

// TestCodes: codes are unique, and each check says what it looks at.
func TestCodes(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Checks() {
		if seen[c.Code] || !strings.HasPrefix(c.Code, "D_") || c.Looks == "" || c.Mends == "" || c.Worst == "" || c.Run == nil {
			t.Errorf("%+v", c)
		}
		seen[c.Code] = true
	}
	// The codes that the node's other programs know.
	for _, code := range strings.Fields(`D_VOLUME D_LINGER D_DROPIN D_CGROUP D_SUBID D_GRAPHROOT D_SECRET_MODE D_SECRET_DRIFT D_UNIT_FOREIGN D_UNIT_REJECTED
		D_LEGACY_CGROUP D_NETNS_STALE D_BOOT_WAIT D_CLOCK D_DNS D_SPACE D_JOURNAL D_WEBUI_MODE D_FIREWALL D_TOR D_CONFLICT D_BREAKER D_CERT D_STALE_OP D_QUARANTINE`) {
		if !seen[code] {
			t.Errorf("%s is missing", code)
		}
	}
}
