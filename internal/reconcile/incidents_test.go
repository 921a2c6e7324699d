package reconcile_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

// shippedNode is a node on which all shipped apps run but one of the two bitcoins.
func shippedNode(t *testing.T, without string) (b *boot, ids []string) {
	t.Helper()
	manifests := reconcile.Shipped(t)
	ids = slices.DeleteFunc(slices.Sorted(maps.Keys(manifests)), func(id string) bool { return id == without })
	b = newBoot(t, manifests)
	b.Offer("docker.io/library/nginx:1.28.0-alpine")
	if err := os.WriteFile(b.Layout().Host(filepath.Join(b.Layout().Secrets(), "fmcd-invite-code")), []byte("fed1"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.run(firstboot.AppsJob{Apps: ids})
	for _, id := range ids {
		b.wantPhase(id, firstboot.PhaseDone, "")
	}
	if err := os.WriteFile(b.Layout().Host(b.Layout().FirstBootDone()), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return b, ids
}

// absent-installed-heals: the record decides, not a list of apps. Each of the 33 comes back as it was, and no other is touched.
func TestIncident10AbsentInstalledHeals(t *testing.T) {
	healed := map[string]bool{}
	for _, without := range []string{"bitcoin-core", "bitcoin-knots"} {
		b, ids := shippedNode(t, without)
		for _, id := range ids {
			if healed[id] {
				continue
			}
			healed[id] = true
			name := b.Unit(id)
			before, ran := b.Units(t), b.containers(ids)
			b.Vanish(name)
			b.Later(time.Hour)
			r, err := b.Pass(reconcile.Options{}).Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := resultOf(t, r, id); got.Row != "15" || got.Action != reconcile.Installed {
				t.Errorf("%s: %+v", id, got)
			}
			if after := b.Units(t); !maps.Equal(before, after) {
				t.Errorf("the units are not as before %s vanished", id)
			}
			now := b.containers(ids)
			for other := range ran {
				if other != id && now[other] != ran[other] || now[other] == "" {
					t.Errorf("%s vanished, and %s is another container or none", id, other)
				}
			}
			// Who keeps the address of what came back is restarted by the next pass (incident 12).
			if _, err := b.Pass(reconcile.Options{}).Run(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(healed) != 33 {
		t.Errorf("%d apps, want 33", len(healed))
	}
}

// containers are the ids of the apps' containers.
func (b *boot) containers(ids []string) map[string]string {
	out := map[string]string{}
	for _, id := range ids {
		out[id] = b.ContainerID(b.Unit(id))
	}
	return out
}

func resultOf(t *testing.T, r reconcile.Result, id string) reconcile.AppResult {
	t.Helper()
	for _, a := range r.Apps {
		if a.App == id {
			return a
		}
	}
	t.Fatalf("no result of %s in %+v", id, r)
	return reconcile.AppResult{}
}

// add-host: no unit has an address that somebody has computed.
func TestIncident14AddHost(t *testing.T) {
	b, _ := shippedNode(t, "bitcoin-core")
	hosts := 0
	for name, unit := range b.Units(t) {
		for line := range strings.Lines(unit) {
			host, is := strings.CutPrefix(strings.TrimSpace(line), "AddHost=")
			if !is {
				continue
			}
			hosts++
			if _, to, _ := strings.Cut(host, ":"); to != "host-gateway" {
				t.Errorf("%s: %s", name, host)
			}
		}
	}
	if hosts == 0 {
		t.Error("no unit has an AddHost")
	}
}

// notify-timeout: an app may take its whole start period, and is not ended for its health, by podman or by systemd.
func TestIncident15NotifyTimeout(t *testing.T) {
	b, _ := shippedNode(t, "bitcoin-core")
	checked := 0
	for name, unit := range b.Units(t) {
		period, has := value(unit, "HealthStartPeriod")
		if !has {
			continue
		}
		checked++
		if on, _ := value(unit, "HealthOnFailure"); on != "none" {
			t.Errorf("%s: a failing check makes podman do %q", name, on)
		}
		limit, _ := value(unit, "TimeoutStartSec")
		if notify, waits := value(unit, "Notify"); waits && notify == "healthy" && seconds(t, limit) <= seconds(t, period) {
			t.Errorf("%s: systemd waits %s for the first good check, which may take %s", name, limit, period)
		}
	}
	if checked < 25 {
		t.Errorf("%d units have a health check", checked)
	}
}

func value(unit, key string) (string, bool) {
	for line := range strings.Lines(unit) {
		if v, is := strings.CutPrefix(strings.TrimSpace(line), key+"="); is {
			return v, true
		}
	}
	return "", false
}

func seconds(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSuffix(text, "s"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// errors-surface: whatever call goes wrong each time that it is made, the exit code is not 0 and an app, or a warning, says what.
func TestIncident7ErrorsSurface(t *testing.T) {
	install := func() *boot {
		b := newBoot(t, reconcile.Five())
		if err := os.WriteFile(b.Layout().Host(b.Layout().FirstBootDone()), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		return b
	}
	clean := install()
	if r, err := clean.Pass(reconcile.Options{}).Run(t.Context()); err != nil || r.ExitCode != 0 {
		t.Fatal(r, err)
	}
	calls := clean.Calls("")
	slices.Sort(calls)
	for _, call := range slices.Compact(calls) {
		b := install()
		b.Fails(call)
		r, err := b.Pass(reconcile.Options{}).Run(t.Context())
		told := fmt.Sprint(err)
		for _, a := range r.Apps {
			if a.Error != nil {
				told += " " + a.App + ": " + a.Error.Message
			}
		}
		told += strings.Join(r.Warnings, " ")
		switch {
		case !b.Struck():
			t.Errorf("%q was not made", call)
		case err == nil && r.ExitCode == 0:
			t.Errorf("%q fails and the exit code is 0: %s", call, told)
		case !strings.Contains(told, "injected fault"):
			t.Errorf("%q fails and nobody says so: exit %d, %s", call, r.ExitCode, told)
		}
	}
}
