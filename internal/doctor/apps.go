package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/quadlet"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/spec"
)

// world is what a pass would find; without it the checks of the apps are skipped, because D_PODMAN tells why.
func (n *Node) seen(ctx context.Context, look func(w *reconcile.World, p reconcile.Plan) []Finding) []Finding {
	w, plan, err := n.World(ctx)
	if err != nil {
		return skip("the apps cannot be looked at: %v", err)
	}
	return look(w, plan)
}

// planned are the operations of the next pass of these kinds, each a finding.
func planned(p reconcile.Plan, severity Severity, kinds ...reconcile.Kind) []Finding {
	var list []Finding
	for _, op := range p.Ops {
		if slices.Contains(kinds, op.Kind) {
			f := Finding{Severity: severity, Object: op.Object, Text: op.Cause, Mend: "archy reconcile"}
			if op.App != "" {
				f.Text, f.Mend = op.App+": "+op.Cause, "archy reconcile --container="+op.App
			}
			list = append(list, f)
		}
	}
	return list
}

// secretDrift: the file is what counts; podman's copy and the container follow it in the next pass.
func secretDrift(ctx context.Context, n *Node) []Finding {
	return n.seen(ctx, func(w *reconcile.World, p reconcile.Plan) []Finding {
		list := planned(p, Warning, reconcile.SetSecret, reconcile.WriteSecret)
		for _, a := range w.Apps {
			if a.Fault != nil || a.Held || !a.Managed() || a.C.Labels[spec.LabelSecretEnvHash] == a.Spec.SecretEnvHash {
				continue
			}
			list = append(list, warning(a.ID, "its container was made with other values than its secret files hold").by("archy reconcile --container=%s", a.ID))
		}
		return list
	})
}

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
			list = append(list, warning(path, "it is not archy's, and bears the name of %s: the next pass writes its own in its place", id).
				by("mv %s %s.mine to keep it, then archy reconcile --container=%s", path, filepath.Join("~", container+".container"), id))
		default:
			list = append(list, warning(path, "it is not archy's, and bears the name of %s, which is not installed", id).by("rename it, or archy install %s", id))
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

func derivedFiles(ctx context.Context, n *Node) []Finding {
	return n.seen(ctx, func(_ *reconcile.World, p reconcile.Plan) []Finding { return planned(p, Warning, reconcile.WriteFile) })
}

func images(ctx context.Context, n *Node) []Finding {
	return n.seen(ctx, func(w *reconcile.World, p reconcile.Plan) []Finding {
		list := planned(p, Warning, reconcile.PullImage, reconcile.BuildImage)
		for _, a := range w.Apps {
			if a.Want == reconcile.WantRunning && a.Running() && w.Images != nil && a.C.Image != "" && w.Images[a.C.Image] == "" {
				list = append(list, warning(a.C.Image, "%s runs, and its image is gone: it could not be started again", a.ID).by("podman pull %s", a.C.Image))
			}
		}
		return list
	})
}

// appStates are judged as a pass judges them, without doing anything.
func appStates(ctx context.Context, n *Node) []Finding {
	return n.seen(ctx, func(w *reconcile.World, p reconcile.Plan) []Finding {
		var list []Finding
		for _, a := range p.Apps {
			switch {
			case a.Class == reconcile.ClassNeedsHuman:
				list = append(list, failure(a.ID, "%s: %s", a.State, a.Cause).by("%s", orElse(a.Hint, "archy status "+a.ID)).human())
			case a.Class == reconcile.ClassFailed:
				list = append(list, failure(a.ID, "%s: %s", a.State, a.Cause).by("%s", orElse(a.Hint, "archy logs "+a.ID)))
			case a.Class == reconcile.ClassNeedsConfig, a.Class == reconcile.ClassBlocked:
				list = append(list, info(a.ID, "%s: %s", a.State, a.Cause).by("%s", a.Hint))
			case a.Want == reconcile.WantRunning && !a.Running() && a.Class != reconcile.ClassWaiting:
				list = append(list, warning(a.ID, "it should run and does not: %s", a.Cause).by("archy reconcile --container=%s", a.ID))
			}
		}
		for _, name := range w.Orphans {
			list = append(list, info(name, "a container of archy's without a manifest").by("archy prune --check-only"))
		}
		return list
	})
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func ports(ctx context.Context, n *Node) []Finding {
	return n.seen(ctx, func(w *reconcile.World, _ reconcile.Plan) []Finding {
		var list []Finding
		for _, a := range w.Apps {
			if a.PortHolder != "" && a.Want == reconcile.WantRunning {
				list = append(list, failure(a.ID, "%s: the app cannot start before it is free", a.PortHolder).by("sudo ss -tulpn, then end that program; archy start %s", a.ID))
			}
		}
		return list
	})
}

// legacyCgroups, incident 1: a container in the control group of another service dies with that service.
func legacyCgroups(ctx context.Context, n *Node) []Finding {
	return n.seen(ctx, func(w *reconcile.World, _ reconcile.Plan) []Finding {
		var list []Finding
		for _, a := range w.Apps {
			if !a.Legacy() || a.C.State != podman.StateRunning {
				continue
			}
			if service := n.serviceOf(a.C.Pid); service != "" {
				list = append(list, warning(a.ID, "its container lives in the control group of %s and ends with it", service).by("archy adopt --migrate %s", a.ID))
			}
		}
		return list
	})
}

// serviceOf is the system's service in whose control group a process lives, "" for one of the user's own.
func (n *Node) serviceOf(pid int) string {
	group := n.text("/proc/" + itoa(pid) + "/cgroup")
	_, path, _ := strings.Cut(group, "::")
	if strings.Contains(path, "/user.slice/") || strings.HasPrefix(path, "/user.slice") {
		return ""
	}
	for _, part := range strings.Split(path, "/") {
		if strings.HasSuffix(part, ".service") {
			return part
		}
	}
	return ""
}

// quarantined are the files that a heal has renamed, with their size and age.
func quarantined(_ context.Context, n *Node) []Finding {
	var list []Finding
	for _, path := range reconcile.Quarantine(n.Layout) {
		info0, err := os.Lstat(n.Layout.Host(path))
		if errors.Is(err, fs.ErrNotExist) || err != nil {
			continue
		}
		list = append(list, info(path, "set aside by a heal %s ago, %s", ago(n.Now(), quarantinedAt(path, info0.ModTime())), size(treeSize(n.Layout.Host(path)))).
			by("archy prune removes it after 7 days; archy doctor --restore-quarantine %s puts it back", filepath.Base(path)))
	}
	return list
}

func treeSize(path string) (sum int64) {
	_ = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err == nil {
			if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
				sum += info.Size()
			}
		}
		return nil
	})
	return sum
}
