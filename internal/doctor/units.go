package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/quadlet"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

func unitForeign(_ context.Context, n *Node) []Finding {
	records, _ := n.State.ReadRecords()
	var list []Finding
	for _, id := range n.Set.Order() {
		container := n.Set.Apps[id].Unit()
		path := n.Layout.Unit(container)
		text, err := os.ReadFile(n.Layout.Host(path))
		if err != nil {
			continue
		}
		owner, ours := quadlet.App(text)
		switch installed := records[id].Installed; {
		case ours && owner == id:
		case ours:
			list = append(list, warning(path, "archy wrote it for %s, and the name is that of %s", owner, id).by("archy reconcile --container=%s", id))
		case installed:
			list = append(list, warning(path, "it is not archy's, and bears the name of %s: the next pass keeps it as %s.pre-archy-<time> and writes its own", id, filepath.Base(path)).
				by("archy reconcile --container=%s", id))
		default:
			list = append(list, warning(path, "it is not archy's, and bears the name of %s, which is not installed: an install keeps it as %s.pre-archy-<time> and writes its own", id, filepath.Base(path)).
				by("rename it, or archy install %s", id))
		}
	}
	return list
}

// unitEdited finds the units that differ from what archy would write.
func unitEdited(ctx context.Context, n *Node) []Finding {
	return n.seen(ctx, func(w *reconcile.World, p reconcile.Plan) []Finding {
		list := planned(p, Warning, reconcile.WriteUnit)
		for i, f := range list {
			list[i].Object = n.Layout.Unit(strings.TrimSuffix(f.Object, ".container"))
		}
		return list
	})
}

// unitRejected: a unit that podman's generator refuses is gone after the next reload, and systemd says nothing.
func unitRejected(ctx context.Context, n *Node) []Finding {
	list := n.unconvertible()
	told := len(list) > 0
	w, _, err := n.World(ctx)
	if err != nil {
		if told {
			return list
		}
		return skip("systemd cannot be asked for its units: %v", err)
	}
	for _, a := range w.Apps {
		if !told && a.Unit != nil && a.Service.LoadState == "not-found" && a.Want != reconcile.WantAbsent {
			list = append(list, failure(a.Container+".service", "its unit lies in %s and systemd does not know it: the generator left it out, or was not run", n.Layout.UnitDir()).
				by("systemctl --user daemon-reload; /usr/lib/systemd/user-generators/podman-user-generator --user --dryrun"))
		}
	}
	return list
}

// unconvertible asks podman's own parser, in this process.
func (n *Node) unconvertible() []Finding {
	units := map[string][]byte{}
	for _, pattern := range []string{"*.container", "*.network"} {
		files, _ := filepath.Glob(n.Layout.Host(filepath.Join(n.Layout.UnitDir(), pattern)))
		for _, file := range files {
			if text, err := os.ReadFile(file); err == nil {
				units[filepath.Base(file)] = text
			}
		}
	}
	var list []Finding
	for _, err := range joined(quadlet.Validate(units)) {
		name, _, _ := strings.Cut(err.Error(), ":")
		mend := "mend or remove it, then systemctl --user daemon-reload"
		if _, ours := quadlet.App(units[name]); ours {
			mend = "archy reconcile"
		}
		list = append(list, failure(filepath.Join(n.Layout.UnitDir(), name), "podman's generator refuses it: %v", err).by("%s", mend))
	}
	return list
}

// joined takes an errors.Join apart.
func joined(err error) []error {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	return []error{err}
}
