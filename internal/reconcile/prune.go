package reconcile

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/quadlet"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// How long what nobody needs is kept.
const (
	imageKept = 7 * 24 * time.Hour
	trashKept = 7 * 24 * time.Hour
)

// Litter is everything among which prune looks for what nobody needs any more.
type Litter struct {
	*World
	Records    map[string]state.Record
	Containers []podman.Container
	Images     map[string]podman.Image
	Networks   []podman.Network
	Secrets    []podman.Secret
	// Units are the files of the unit directory, drop-ins included, by their path below it.
	Units  map[string][]byte
	Ledger state.Ledger
	// LedgerErr is why the ledger cannot be read.
	LedgerErr error
	// Trash and Quarantine are what lies there, by full path.
	Trash, Quarantine []string
}

// PlanPrune lists what may be removed, in order. It is pure. Never in it: a volume, anything below the directory of an
// app, a secret file, and whatever does not bear archy's mark.
func PlanPrune(l Litter) []Operation {
	p := &pruner{Litter: l}
	p.oldContainers()
	p.units()
	p.secrets()
	p.networks()
	p.images()
	p.files(l.Trash, trashAge, "in the trash for more than 7 days")
	p.files(l.Quarantine, quarantineAge, "quarantined for more than 7 days")
	return p.ops
}

type pruner struct {
	Litter
	ops []Operation
}

func (p *pruner) add(op Operation) {
	op.N = len(p.ops) + 1
	p.ops = append(p.ops, op)
}

// removed tells that the owner removed the app.
func (p *pruner) removed(app string) bool {
	r, ok := p.Records[app]
	return ok && !r.Installed && !r.RemovedAt.IsZero()
}

// oldContainers were set aside by a migration, at least a day ago, and their app is healthy without them or removed.
func (p *pruner) oldContainers() {
	for _, id := range sortedKeys(p.Records) {
		for _, old := range p.Records[id].OldContainers {
			a := p.app(id)
			proved := a != nil && a.Managed() && satisfied(a, "healthy", p.Now) || p.removed(id)
			if p.Now.Sub(old.RenamedAt) < oldKept || !proved || !strings.Contains(old.Name, oldSuffix) {
				continue
			}
			if slices.ContainsFunc(p.Containers, func(c podman.Container) bool { return c.Name == old.Name && c.ID == old.ID }) {
				p.add(Operation{Kind: RemoveOld, App: id, Object: old.Name, Cause: "replaced by a unit more than 24 h ago"})
			}
		}
	}
}

// units of removed apps, and the drop-ins that archy wrote for them. Those whose manifest is still there have gone with the
// removal; a unit that is left is stopped first.
func (p *pruner) units() {
	for _, name := range sortedKeys(p.Units) {
		app, ours := quadlet.App(p.Units[name])
		if !ours || app == "" || !p.removed(app) {
			continue
		}
		const why = "its app was removed"
		if container, ok := strings.CutSuffix(name, ".container"); ok {
			p.add(Operation{Kind: Stop, App: app, Object: container + ".service", Cause: why})
		}
		p.add(Operation{Kind: RemoveUnit, App: app, Object: name, Cause: why})
	}
}

// secrets that podman has for an app that was removed, or under a key that its app no longer has. A unit on disk that
// names the secret keeps it.
func (p *pruner) secrets() {
	for _, s := range p.Secrets {
		app, _, ok := cutSecret(s.Name)
		if !ok || s.Labels[spec.LabelManaged] != "true" || p.named(s.Name) {
			continue
		}
		a := p.app(app)
		switch {
		case p.removed(app):
			p.add(Operation{Kind: RemoveSecret, App: app, Object: s.Name, Cause: "its app was removed"})
		case a != nil && a.installed() && a.Manifest != nil && a.Fault == nil && !a.Held && !a.uses(s.Name):
			p.add(Operation{Kind: RemoveSecret, App: app, Object: s.Name, Cause: "its app has no such key"})
		}
	}
}

// cutSecret takes the name of a podman secret of archy's apart: archy.<app>.<KEY>.
func cutSecret(name string) (app, key string, ok bool) {
	rest, ok := strings.CutPrefix(name, "archy.")
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, ".")
}

func (p *pruner) named(secret string) bool {
	for _, text := range p.Units {
		if strings.Contains(string(text), secret) {
			return true
		}
	}
	return false
}

func (a *App) uses(secret string) bool {
	return slices.ContainsFunc(WantedSecrets(a.Spec), func(s Secret) bool { return s.Name == secret })
}

// networks that archy made, that no manifest names and no container is in.
func (p *pruner) networks() {
	named := map[string]bool{}
	for _, a := range p.Apps {
		if a.Manifest == nil {
			return // one whose manifest is broken may name any
		}
		if n := network(a.Manifest.Container.Network); n != nil {
			named[n.Name] = true
		}
	}
	for _, n := range p.Networks {
		used := slices.ContainsFunc(p.Containers, func(c podman.Container) bool { return slices.Contains(c.Networks, n.Name) })
		if n.Labels[spec.LabelManaged] == "true" && !named[n.Name] && !used {
			p.add(Operation{Kind: RemoveNetwork, Object: n.Name, Cause: "no manifest names it, no container is in it"})
		}
	}
}

// images that archy brought to the node and that no record, manifest or container has. A ledger that cannot be understood names none.
func (p *pruner) images() {
	var unread state.Problem
	if errors.As(p.LedgerErr, &unread) {
		cause := "it cannot be read (%v); the images that it named stay"
		if !unread.Damaged() {
			cause = "may be whole, so it is left (%v); the images that it names stay"
		}
		p.add(Operation{Kind: KeepAside, Object: unread.Path, Cause: fmt.Sprintf(cause, unread.Err)})
	}
	for _, i := range p.Ledger.Images {
		old := p.Now.Sub(i.At) >= imageKept
		if p.Images[i.Ref].ID != i.ID || p.wanted(i) || !old && p.Free >= node.SpaceAdvised {
			continue
		}
		cause := "nothing needs it, 7 days old"
		if !old {
			cause = fmt.Sprintf("nothing needs it, %d GiB free", p.Free>>30)
		}
		p.add(Operation{Kind: RemoveImage, App: i.App, Object: i.Ref, Cause: cause})
	}
}

// wanted tells that something still names the image. What cannot be known counts as wanting it.
func (p *pruner) wanted(i state.Image) bool {
	for _, r := range p.Records {
		if r.Image == i.Ref || r.ImageID == i.ID || slices.Contains(r.PreviousImages, i.Ref) {
			return true
		}
		if r.Op != nil && (r.Op.PreviousImage == i.Ref || r.Op.NewImage == i.Ref) {
			return true
		}
	}
	for _, a := range p.Apps {
		if a.Manifest == nil && a.ID == i.App || a.Spec.Image == i.Ref || a.Manifest != nil && a.Manifest.Container.Image == i.Ref {
			return true
		}
		built := a.Manifest != nil && a.Manifest.Container.Build != nil
		if built && a.ID == i.App && !a.installed() && !p.removed(a.ID) {
			return true
		}
	}
	return slices.ContainsFunc(p.Containers, func(c podman.Container) bool { return c.Image == i.Ref || c.ImageID == i.ID })
}

// files that have lain there for long enough; their names say since when.
func (p *pruner) files(paths []string, since *regexp.Regexp, cause string) {
	for _, file := range paths {
		m := since.FindStringSubmatch(path.Base(file))
		if m == nil {
			continue
		}
		at, err := time.Parse(trashTime, m[1])
		if err == nil && p.Now.Sub(at) >= trashKept {
			p.add(Operation{Kind: Delete, Object: file, Cause: cause, Path: file})
		}
	}
}

// The names of what may be deleted end with the time since when it is there.
var (
	trashAge      = regexp.MustCompile(`^.+-([0-9]{8}T[0-9]{6}Z)$`)
	quarantineAge = regexp.MustCompile(`^.+\.(?:archy-)?([0-9]{8}T[0-9]{6}Z)$`)
)
