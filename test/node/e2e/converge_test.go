package e2e_test

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/test/node"
)

func TestFromNothingToTenHealthyApps(t *testing.T) {
	t.Parallel()
	n := fresh(t)
	t.Run("a fresh node is not touched by a look at it", func(t *testing.T) { looksOnly(t, n, "--create-missing") })
	ok := t.Run("one pass brings ten apps up", func(t *testing.T) { fromNothing(t, n) })
	if !ok {
		t.FailNow()
	}
	t.Run("the second pass does nothing and says so", func(t *testing.T) { nothingToDo(t, n) })
	t.Run("a converged node is not touched by a look at it", func(t *testing.T) { looksOnly(t, n) })
	t.Run("what is not ours is listed and left alone", func(t *testing.T) { strangers(t, n) })
	t.Run("a second pass waits for the first, or says who is at work", func(t *testing.T) { twoAtOnce(t, n) })
	t.Run("archy killed or replaced changes no container", func(t *testing.T) { replacedBinary(t, n) })
}

// TestANewNodeIsNotTouchedByALook: before the first boot there is no directory of archy's at all.
func TestANewNodeIsNotTouchedByALook(t *testing.T) {
	t.Parallel()
	n := blank(t, node.Options{FirstBoot: true})
	n.user(t, "podman ps; podman --remote ps") // podman makes its own storage
	before := n.files(t)
	for _, args := range [][]string{{"reconcile", "--check-only"}, {"reconcile", "--check-only", "--create-missing", "--json"},
		{"status"}, {"status", "--json"}, {"adopt", "--check-only"}, {"apps", "lint"}} {
		n.archy(args...)
		if after := n.files(t); after != before {
			t.Errorf("archy %s changed files:\n%s", strings.Join(args, " "), difference(before, after))
			before = after
		}
	}
}

func fromNothing(t *testing.T, n *machine) {
	r := n.pass(t, 0, "--create-missing")
	list := n.containers(t)
	for id, name := range ten {
		a := app(t, r, id)
		if a.Action != reconcile.Installed || !a.Changed || a.Class != reconcile.ClassOK {
			t.Errorf("%s: %s (%s), want it installed", id, a.Action, a.Cause)
		}
		if c := list[name]; c.State != "running" || !c.Managed {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if len(list) != len(ten) {
		t.Errorf("%d containers: %v", len(list), slices.Sorted(maps.Keys(list)))
	}
	n.healthy(t, tenContainers()...)
	n.serves(t)
}

// serves asks the apps what a person would.
func (n *machine) serves(t *testing.T) {
	t.Helper()
	for _, url := range []string{"http://127.0.0.1:8083/health", "http://127.0.0.1:4080/", "http://127.0.0.1:8999/", "http://127.0.0.1:50002/"} {
		eventually(t, 30*time.Second, url+" answers", func() (bool, string) {
			res, err := n.HTTP().Get(url)
			if err != nil {
				return false, err.Error()
			}
			defer res.Body.Close()
			return res.StatusCode < 500, res.Status
		})
	}
}

func nothingToDo(t *testing.T, n *machine) {
	before, files := n.containers(t), n.files(t)
	res := n.must(t, 0, "reconcile")
	if !strings.Contains(res.Stdout, "10 apps: 10 ok · nothing to do") || strings.Count(res.Stdout, "\n") != 1 {
		t.Errorf("it says:\n%s", res.Stdout)
	}
	r := n.pass(t, 0)
	if got := actions(r); len(got) != 0 || r.Summary.OK != 10 || len(r.Plan) != 0 {
		t.Errorf("with --json: %v, %+v", got, r.Summary)
	}
	n.must(t, 0, "reconcile", "--check-only", "--exit-code")
	onlyChanged(t, before, n.containers(t))
	// The locks name the last holder, and the last result is kept; nothing else is written.
	if got := difference(forget(files, "/run/archy/", "/reconcile-last.json", "/state d"), forget(n.files(t), "/run/archy/", "/reconcile-last.json", "/state d")); got != "" {
		t.Errorf("files changed:\n%s", got)
	}
}

// looksOnly: --check-only touches nothing, not even a directory.
func looksOnly(t *testing.T, n *machine, flags ...string) {
	before, files := n.containers(t), n.files(t)
	n.must(t, 0, append([]string{"reconcile", "--check-only"}, flags...)...)
	n.must(t, 0, append([]string{"reconcile", "--dry-run", "--json"}, flags...)...)
	n.must(t, 0, "status")
	n.must(t, 0, "adopt", "--check-only")
	if got := difference(files, n.files(t)); got != "" {
		t.Errorf("files changed:\n%s", got)
	}
	onlyChanged(t, before, n.containers(t))
}

func strangers(t *testing.T, n *machine) {
	n.MustUser(t, "podman", "run", "-d", "--name", "mine", "docker.io/library/mariadb:10.11", "sleep", "1000")
	before := n.containers(t)
	if r := n.pass(t, 0, "--create-missing"); !slices.Equal(r.Unknown, []string{"mine"}) || len(actions(r)) != 0 {
		t.Errorf("not ours: %v, changed: %v", r.Unknown, actions(r))
	}
	n.must(t, 0, "adopt")
	if text := n.must(t, 0, "status").Stdout; !strings.Contains(text, "not ours: mine") {
		t.Errorf("status says:\n%s", text)
	}
	onlyChanged(t, before, n.containers(t))
	n.MustUser(t, "podman", "rm", "-f", "-t", "0", "mine")
}

// twoAtOnce: the first pass is held still while it has its locks, so that the others meet it however slow the machine is.
func twoAtOnce(t *testing.T, n *machine) {
	n.user(t, "podman rm -f -t 0 filebrowser")
	const holder = "/run/archy/reconcile.lock"
	before := n.read(t, holder)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	first, err := n.UserStart(ctx, "archy", "reconcile", "--json")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "the first pass has its locks", func() (bool, string) {
		now := n.read(t, holder)
		return now != before && json.Valid([]byte(now)), now
	})
	if err := first.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	res := n.must(t, 5, "reconcile", "--wait-lock", "0s")
	if !strings.Contains(res.Stderr, "archy reconcile") || !strings.Contains(res.Stderr, "pid") || !strings.Contains(res.Stderr, "hint:") {
		t.Errorf("it does not say who is at work:\n%s", res.Stderr)
	}
	var doc struct {
		ExitCode int `json:"exit_code"`
		Error    struct{ Code, Message, Hint string }
	}
	if err := json.Unmarshal([]byte(n.must(t, 5, "reconcile", "--json", "--wait-lock", "0s").Stdout), &doc); err != nil || doc.Error.Code != "locked" || doc.ExitCode != 5 {
		t.Errorf("with --json: %+v, %v", doc, err)
	}
	n.must(t, 0, "reconcile", "--check-only") // who only looks takes no lock
	if err := first.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	second := n.pass(t, 0)
	done := first.Wait()
	n.keep(done)
	r := parse(t, done)
	if got := actions(r); len(got) != 1 || got["filebrowser"] == "" {
		t.Errorf("the first pass changed %v", got)
	}
	if got := actions(second); len(got) != 0 {
		t.Errorf("the second pass changed %v", got)
	}
	if end := r.StartedAt.Add(time.Duration(r.DurationMS) * time.Millisecond); second.StartedAt.Add(time.Duration(second.DurationMS) * time.Millisecond).Before(end) {
		t.Error("the second pass did not wait for the first")
	}
	n.healthy(t, "filebrowser")
}

// replacedBinary: no container notices what happens to archy.
func replacedBinary(t *testing.T, n *machine) {
	before := n.containers(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	watching, err := n.UserStart(ctx, "archy", "reconcile", "--watch", "--interval", "5s")
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	n.sh(t, "cp "+archyPath+" "+archyPath+".old; printf '#!/bin/sh\nexit 7\n' > "+archyPath+".new; chmod 755 "+archyPath+".new; mv "+archyPath+".new "+archyPath)
	if err := watching.Kill(); err != nil {
		t.Fatal(err)
	}
	if res := watching.Wait(); res.Code != 137 {
		t.Errorf("the watching archy ended with %d: %s", res.Code, res.Stderr)
	}
	onlyChanged(t, before, n.containers(t))
	n.sh(t, "mv "+archyPath+".old "+archyPath)
	n.pass(t, 0)
	time.Sleep(time.Second)
	onlyChanged(t, before, n.containers(t))
}

// forget leaves out the lines that contain one of the words.
func forget(text string, words ...string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(line, w) }) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// difference are the lines that only one of two texts has.
func difference(before, after string) string {
	old, now := strings.Split(before, "\n"), strings.Split(after, "\n")
	var b strings.Builder
	for _, line := range old {
		if !slices.Contains(now, line) {
			b.WriteString("- " + line + "\n")
		}
	}
	for _, line := range now {
		if !slices.Contains(old, line) {
			b.WriteString("+ " + line + "\n")
		}
	}
	return b.String()
}
