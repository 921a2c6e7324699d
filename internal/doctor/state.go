package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

func itoa(n int) string { return strconv.Itoa(n) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// stateFiles reads everything that archy remembers. What is cut short or of a newer archy is left as it is.
func stateFiles(_ context.Context, n *Node) []Finding {
	var list []Finding
	for _, p := range n.State.ReadAll().Problems {
		list = append(list, n.stateFinding(p.Path, p.Err))
	}
	for _, name := range []string{"images", "first-boot", "heal", "host", "history/open"} {
		path := n.Layout.State(name + ".json")
		if err := wholeDocument(n.Layout.Host(path)); err != nil {
			list = append(list, n.stateFinding(path, err))
		}
	}
	return append(append(list, lastResults(n)...), keptAside(n)...)
}

// keptAside are the files that archy could not understand and had to write anew.
func keptAside(n *Node) (list []Finding) {
	for _, in := range []string{n.Layout.Data(), n.Layout.State(), n.Layout.State("*")} {
		names, _ := filepath.Glob(n.Layout.Host(filepath.Join(in, "*"+state.Aside+"*")))
		for _, name := range names {
			path := strings.TrimPrefix(name, n.Layout.Root)
			list = append(list, info(path, "archy could not read it, and has written another in its place").by("look at it, then: sudo rm %s", path))
		}
	}
	return list
}

// lastResults are what the next run writes anew, whatever is there: nothing depends on them. After a power cut one may be cut short.
func lastResults(n *Node) (list []Finding) {
	for _, name := range []string{"reconcile-last", "follow-last"} {
		path := n.Layout.State(name + ".json")
		switch err := wholeDocument(n.Layout.Host(path)); {
		case errors.Is(err, fs.ErrPermission):
			list = append(list, n.stateFinding(path, err))
		case err != nil:
			list = append(list, info(path, "%v; it is no loss, the next pass writes it anew", err).by("archy reconcile"))
		}
	}
	return list
}

func (n *Node) stateFinding(path string, err error) Finding {
	switch {
	case strings.Contains(err.Error(), "newer archy"):
		return failure(path, "%v; it is left alone", err).by("install that archy again: an older one cannot go on from here")
	case errors.Is(err, fs.ErrPermission):
		// Never recursive: the data of the apps lie beside user-stopped.json, and below state in the trash (incident 13).
		return failure(path, "%v", err).by("sudo chown %s: %s %s", n.User.Name, filepath.Dir(path), path)
	}
	return failure(path, "%v; it is kept aside when archy has to write in its place", err).by("sudo mv %s %s.broken, then archy reconcile", path, path)
}

// wholeDocument tells what is wrong with a state file that is there.
func wholeDocument(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var head struct {
		Schema int `json:"schema"`
	}
	switch err := json.Unmarshal(data, &head); {
	case err != nil:
		return errors.New("not a whole JSON document (" + itoa(len(data)) + " bytes)")
	case head.Schema > state.Schema:
		return errors.New("written by a newer archy (schema " + itoa(head.Schema) + ")")
	}
	return nil
}

func manifests(_ context.Context, n *Node) []Finding {
	var list []Finding
	for _, f := range n.Findings {
		severity := Info
		if f.Severity == manifest.Error {
			severity = Error
		}
		list = append(list, Finding{Severity: severity, Text: f.String(), Mend: "archy apps lint"})
	}
	return list
}

// secretModes mends at the level safe: the mode and the owner of a file, never a content.
func secretModes(_ context.Context, n *Node) []Finding {
	var list []Finding
	for _, f := range n.Secrets.Check(n.Wanted) {
		if !f.Fixable() {
			continue
		}
		list = append(list, failure(f.Path, "it %s", f.Detail).by("sudo archy doctor --fix").
			fixable(Safe, func(context.Context) error { return n.Secrets.Repair(f) }))
	}
	return list
}

func secretContents(_ context.Context, n *Node) []Finding {
	if !n.firstBootDone() && !n.exists(n.Layout.Secrets()) {
		return skip("this machine had no first boot")
	}
	var list []Finding
	for _, f := range n.Secrets.Check(n.Wanted) {
		if f.Fixable() {
			continue
		}
		found := failure(f.Path, "it %s", f.Detail).by("%s", f.Repair)
		found.Human = f.Code == secrets.DirMissing && n.firstBootDone()
		if f.Code == secrets.Newline || f.Code == secrets.PlainAbsent || f.Code == secrets.BadName {
			found.Severity = Warning
		}
		list = append(list, found)
	}
	return list
}

func breakers(_ context.Context, n *Node) []Finding {
	histories, _ := n.State.ReadHistories()
	var list []Finding
	for _, id := range sortedKeys(histories) {
		if h := histories[id]; h.IsOpen() {
			list = append(list, warning(id, "its breaker is open since %s (%s): %s; archy does not start it by itself",
				stamp(h.OpenSince), ago(n.Now(), h.OpenSince), h.Reason).by("archy logs %s; then archy start %s", id, id))
		}
	}
	return list
}

// ago is how long something has been, in words; a time of the future is now.
func ago(now, since time.Time) string {
	d := max(now.Sub(since), 0)
	switch {
	case d < time.Hour:
		return itoa(int(d.Minutes())) + " min"
	case d < 48*time.Hour:
		return itoa(int(d.Hours())) + " h"
	}
	return itoa(int(d.Hours()/24)) + " days"
}

// staleAfter is how long an operation may be under way.
const staleAfter = time.Hour

func staleOperations(_ context.Context, n *Node) []Finding {
	records, _ := n.State.ReadRecords()
	var list []Finding
	for _, id := range sortedKeys(records) {
		op := records[id].Op
		if op == nil {
			continue
		}
		since := op.StartedAt
		if op.StepAt.After(since) {
			since = op.StepAt
		}
		if n.Now().Sub(since) > staleAfter && !n.atWork("app-"+id+".lock") {
			list = append(list, warning(id, "%s is at step %d since %s and nobody works on it", op.Kind, op.Step, ago(n.Now(), since)).
				by("archy reconcile --container=%s", id))
		}
	}
	return list
}

// atWork tells that the process which signed a lock last is still there.
func (n *Node) atWork(lock string) bool {
	data, err := os.ReadFile(n.Layout.Host(filepath.Join(n.Layout.LockDir, lock)))
	var h state.Holder
	if err != nil || json.Unmarshal(data, &h) != nil || h.PID == 0 {
		return false
	}
	return n.exists("/proc/" + itoa(h.PID))
}

func conflicts(_ context.Context, n *Node) []Finding {
	records, _ := n.State.ReadRecords()
	running := n.alive()
	var list []Finding
	for _, id := range n.Set.Order() {
		for _, other := range n.Set.Alternatives(id) {
			switch {
			case other < id:
			case records[id].Installed && records[other].Installed:
				list = append(list, warning(id, "it and %s are alternatives, and both are installed: only one of them can serve the others", other).
					by("archy remove %s, or archy remove %s", id, other))
			case running[id] && running[other]:
				list = append(list, warning(id, "it and %s are alternatives, and both run: only one of them can serve the others", other).
					by("archy stop %s, or archy stop %s", id, other))
			}
		}
	}
	return list
}

// alive are the apps whose containers live, whoever made them and whatever is remembered of them.
func (n *Node) alive() map[string]bool {
	alive := map[string]bool{}
	for _, p := range heal.Monitors(n.Layout.Host("/proc"), n.User.UID) {
		for _, id := range n.Set.Order() {
			alive[id] = alive[id] || n.Set.Apps[id].Unit() == p.Name
		}
	}
	return alive
}
