package doctor

import (
	"context"
	"slices"

	"git.tx1138.com/lfg2025/archy/internal/podman"
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
			for _, dir := range a.NotKept() {
				list = append(list, warning(a.ID, "its image keeps data at %s, for which its manifest has no directory: they go with the container at every stop", dir).
					by("podman cp %[1]s:%[2]s DIR, which saves them; then mount a directory at %[2]s in its manifest", a.C.Name, dir))
			}
		}
		for _, name := range w.Orphans {
			remedy := "archy remove " + name
			if slices.ContainsFunc(w.Apps, func(a *reconcile.App) bool { return a.ID == name }) {
				remedy = "archy prune --check-only" // the name is that of another app by now
			}
			list = append(list, info(name, "a container or unit of archy's without a manifest").by("%s", remedy))
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
	return reconcile.ServiceOf(n.text("/proc/" + itoa(pid) + "/cgroup"))
}
