package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/test/node"
)

// TestIncident1ManagerRestart: archy is killed at 50 random moments of real changes, and one pass repairs what it left. The
// seed is printed; ARCHY_TEST_SEED repeats a run.
func TestIncident1ManagerRestart(t *testing.T) {
	t.Parallel()
	seed := node.Seed(t)
	// Most of a round is waiting for an app to prove itself, so two nodes share the rounds.
	for half := range uint64(2) {
		t.Run(fmt.Sprintf("node %d", half+1), func(t *testing.T) {
			t.Parallel()
			k := &killer{machine: converged(t), rand: rand.New(rand.NewPCG(seed, half))}
			k.slowStop(t, "filebrowser")
			k.marks = k.born(t)
			for round := range 25 {
				if !t.Run(fmt.Sprintf("round %d", round+1), k.round) {
					return // what comes after builds on it
				}
			}
			t.Logf("%d of 25 passes were killed, the others had ended", k.killed)
		})
	}
}

// killer kills passes on one node.
type killer struct {
	*machine
	rand   *rand.Rand
	marks  string
	serial int
	killed int
}

// slowStop has systemd take a second before it stops an app's container: a pass that comes after a kill looks into the middle of a restart.
func (k *killer) slowStop(t *testing.T, name string) {
	t.Helper()
	dir := "/home/archipelago/.config/systemd/user/" + name + ".service.d"
	k.user(t, "mkdir -p "+dir+"; printf '%s\n' '[Service]' ExecStop= 'ExecStop=/bin/sleep 1' 'ExecStop=/usr/bin/podman rm -v -f -i --cidfile=%t/%N.cid' >"+dir+"/slow.conf; systemctl --user daemon-reload")
}

func (k *killer) round(t *testing.T) {
	change := k.change(t)
	after := k.moment()
	t.Logf("%s, killed after %s", change, after.Round(time.Millisecond))
	k.killPass(t, after)
	k.whole(t)
	k.single(t)
	r := k.pass(t, 0)
	k.single(t)
	if r.Summary.OK+r.Summary.Waiting != len(ten) { // one that has just come up may still be starting
		t.Errorf("after one pass: %+v", r.Summary)
	}
	if left := parse(t, k.archy("reconcile", "--check-only", "--exit-code", "--json")); left.ExitCode != 0 {
		t.Errorf("something is left to do: %s", strings.Join(left.Plan, "; "))
	}
	k.whole(t)
	k.tidy(t)
	if t.Failed() {
		t.Logf("of the pass after the kill: %s", strings.Join(deeds(r), "; "))
	}
	if now := k.born(t); now != k.marks {
		t.Errorf("data were lost:\n%s", difference(k.marks, now))
	}
}

// deeds are what a pass did, and what it left, an app each.
func deeds(r reconcile.Result) []string {
	var list []string
	for _, a := range r.Apps {
		if a.Action != reconcile.NoOp {
			list = append(list, fmt.Sprintf("%s is %s, %s: %s", a.App, a.State, a.Action, a.Cause))
		}
	}
	return list
}

// change breaks or changes one or two fast apps.
func (k *killer) change(t *testing.T) string {
	k.serial++
	mark := fmt.Sprintf("ROUND=%d", k.serial)
	switch k.rand.IntN(5) {
	case 0:
		k.local(t, "filebrowser", "    - FB_USERNAME=admin\n", "    - FB_USERNAME=admin\n    - "+mark+"\n")
		return "filebrowser is replaced"
	case 1:
		k.local(t, "mempool", "    - FRONTEND_HTTP_PORT=8080\n", "    - FRONTEND_HTTP_PORT=8080\n    - "+mark+"\n")
		k.user(t, "rm "+unitDir+"/archy-electrs-ui.container "+unitDir+"/lnd.container")
		return "mempool is replaced, two units are written"
	case 2:
		k.user(t, "systemctl --user stop archy-electrs-ui filebrowser")
		return "electrs-ui and filebrowser are started"
	case 3:
		k.user(t, "systemctl --user stop archy-electrs-ui; rm "+unitDir+"/archy-electrs-ui.container; sed -i s/RestartSec=10/RestartSec=9/ "+unitDir+"/*.container; podman secret rm archy.filebrowser.FB_PASSWORD")
		return "electrs-ui is installed, all units and a secret are written"
	}
	k.user(t, "rm /var/lib/archipelago/bitcoin-ui/nginx.conf")
	k.local(t, "filebrowser", "    - FB_USERNAME=admin\n", "    - FB_USERNAME=admin\n    - "+mark+"\n")
	return "bitcoin-ui is restarted, filebrowser is replaced"
}

// moment is when to kill: mostly while things are written and started, sometimes while they are watched.
func (k *killer) moment() time.Duration {
	if k.rand.IntN(4) == 0 {
		return time.Duration(k.rand.Int64N(int64(8 * time.Second)))
	}
	return time.Duration(k.rand.Int64N(int64(1500 * time.Millisecond)))
}

func (k *killer) killPass(t *testing.T, after time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p, err := k.UserStart(ctx, "archy", "reconcile")
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	_ = p.Kill() // it may have ended
	res := p.Wait()
	k.keep(res)
	switch res.Code {
	case 137:
		k.killed++
	case reconcile.ExitOK:
	default:
		t.Errorf("the pass to be killed ended with %d\n%s%s", res.Code, res.Stdout, res.Stderr)
	}
}

// whole: no file is half written. Every unit parses and every document of archy's state is one.
func (k *killer) whole(t *testing.T) {
	t.Helper()
	const mark = "\x01file "
	text := k.sh(t, `cd /var/lib/archipelago/state; for f in $(find . -name '*.json') `+unitDir+`/*.container; do printf '\001file %s\n' $f; cat $f; done`)
	for _, file := range strings.Split(text, mark)[1:] {
		name, content, _ := strings.Cut(file, "\n")
		switch {
		case !strings.HasSuffix(content, "\n"):
			t.Errorf("%s does not end with a newline:\n%s", name, content)
		case strings.HasSuffix(name, ".json") && !json.Valid([]byte(content)):
			t.Errorf("%s is not JSON:\n%s", name, content)
		}
	}
	k.user(t, "/usr/lib/systemd/user-generators/podman-user-generator --user --dryrun >/dev/null")
}

// single: there are never two containers of one app, neither in podman's list nor among the monitors.
func (k *killer) single(t *testing.T) {
	t.Helper()
	if list := k.containers(t); len(list) > len(ten) {
		t.Errorf("%d containers: %v", len(list), list)
	}
	ids := map[string]string{}
	for line := range strings.Lines(k.sh(t, "ps -C conmon -o args= || true")) {
		id, name := flag(line, "-c"), flag(line, "-n")
		if other := ids[name]; other != "" && other != id {
			t.Errorf("two monitors of %s: of %.12s and %.12s", name, other, id)
		}
		ids[name] = id
	}
}

// flag is the word after a flag of a command line.
func flag(line, name string) string {
	_, rest, _ := strings.Cut(line, " "+name+" ")
	word, _, _ := strings.Cut(rest, " ")
	return strings.TrimSpace(word)
}

// tidy: what a write that was cut short leaves is never taken for a unit or a document, and no way back is kept for a
// change that is over.
func (k *killer) tidy(t *testing.T) {
	t.Helper()
	var want []string
	for id, name := range ten {
		want = append(want, name+".container", id+".json")
	}
	slices.Sort(want)
	got := strings.Fields(k.sh(t, "cd "+unitDir+"; ls *.container; cd /var/lib/archipelago/state; ls -A apps | grep 'json$'; ls units 2>/dev/null || true"))
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("units and records: got %v, want %v", got, want)
	}
}
