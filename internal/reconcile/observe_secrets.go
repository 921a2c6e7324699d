package reconcile

import (
	"os"
	"path"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// secret gives a secret's value: from its file, or a draft of one that is about to be made.
func (ob *observation) secret(a *App, name string) (secrets.Value, bool) {
	if d, ok := ob.drafts[name]; ok {
		a.draft(d)
		return d.Value, true
	}
	if v, ok := ob.taken(a, name); ok {
		ob.drafts[name] = Secret{Name: name, Value: v, Take: true}
		a.draft(ob.drafts[name])
		return v, true
	}
	v, err := ob.Secrets.Read(name)
	if err == nil {
		return v, true
	}
	if !secrets.IsMissing(err) {
		a.Fault = &Fault{Class: ClassFailed, Action: Failed, State: observedState(a), Code: "secret", Text: err.Error(), Hint: "run: archy secrets check"}
		return secrets.Value{}, false
	}
	return ob.makeDraft(a, name)
}

// taken is the value of a secret that the container of a migration uses where its file says something else.
func (ob *observation) taken(a *App, name string) (secrets.Value, bool) {
	if !ob.Options.TakeContainerSecret || a.Inspect == nil || !a.Selected {
		return secrets.Value{}, false
	}
	have, err := ob.Secrets.Read(name)
	env := a.Inspect.Env.Map()
	for _, s := range a.Manifest.Container.SecretEnv {
		if v := env[s.Key]; s.SecretFile == name && s.Passed() && v != "" && (err != nil || have.Reveal() != v) {
			return secrets.New(v), true
		}
	}
	return secrets.Value{}, false
}

func (a *App) draft(d Secret) {
	if !slices.ContainsFunc(a.Fresh, func(s Secret) bool { return s.Name == d.Name }) {
		a.Fresh = append(a.Fresh, d)
	}
}

// makeDraft, row 27: a missing secret is made anew only where nothing was initialised with the old one.
func (ob *observation) makeDraft(a *App, name string) (secrets.Value, bool) {
	kind := ob.kindOf(name)
	if !kind.Generated() || name == walletSecret { // see lndWallet
		return secrets.Value{}, false
	}
	if v, ok := ob.fromLegacy(name); ok {
		ob.drafts[name] = Secret{Name: name, Kind: string(kind), Value: v}
		a.draft(ob.drafts[name])
		return v, true
	}
	if ok, _ := secrets.GenerationRule(name, ob.hasData(name)); !ok {
		return secrets.Value{}, false
	}
	v, plain, err := secrets.Draft(kind, ob.Random)
	if err != nil {
		return secrets.Value{}, false
	}
	ob.drafts[name] = Secret{Name: name, Kind: string(kind), Value: v, Plain: plain}
	a.draft(ob.drafts[name])
	return v, true
}

// kindOf is how a secret is made: as a manifest says, else as first boot does.
func (ob *observation) kindOf(name string) secrets.Kind {
	if g := ob.maker(name); g != nil {
		for _, s := range g.Container.GeneratedSecrets {
			if s.Name == name {
				return secrets.Kind(s.Kind)
			}
		}
	}
	for _, w := range secrets.FirstBootSecrets() {
		if w.Name == name {
			return w.Kind
		}
	}
	return secrets.Text
}

// maker is the first app that declares that it generates the secret: its data were initialised with it.
func (ob *observation) maker(name string) *manifest.App {
	for _, id := range ob.Set.Order() {
		app := ob.Set.Apps[id]
		if slices.ContainsFunc(app.Container.GeneratedSecrets, func(s manifest.GeneratedSecret) bool { return s.Name == name }) {
			return app
		}
	}
	return nil
}

func (ob *observation) generatedByAnyone(name string) bool {
	return ob.kindOf(name).Generated() && name != walletSecret
}

// hasData tells that an app whose data depend on the secret has some.
func (ob *observation) hasData(name string) bool {
	for _, id := range ob.Set.Order() {
		app := ob.Set.Apps[id]
		if slices.ContainsFunc(app.Container.GeneratedSecrets, func(s manifest.GeneratedSecret) bool { return s.Name == name }) && ob.dataOf(app) {
			return true
		}
	}
	return false
}

// DataPresent tells whether one of the apps has data where its manifest and its record say, for those who ask no podman. Where an app whose
// manifest is broken has them nobody can tell: one that has been installed counts.
func DataPresent(set *manifest.Set, records map[string]state.Record, l node.Layout, ids []string) bool {
	ob := &observation{Observer: &Observer{Set: set, Layout: l}, records: records, disks: node.ReadDisks(l)}
	return slices.ContainsFunc(ids, func(id string) bool {
		_, broken := set.Broken[id]
		_, known := records[id]
		return broken && known || set.Apps[id] != nil && ob.dataOf(set.Apps[id])
	})
}

// dataOf tells that an app has data. What cannot be listed, what lies on a disk that is not mounted, and a volume that the app has had count as full.
func (ob *observation) dataOf(app *manifest.App) bool {
	placed, last := ob.placed(app), ob.lastOf(app)
	full := func(dir string) bool { return holds(ob.Layout.Host(dir)) || ob.awayFrom(app, dir) != "" }
	for _, v := range app.Volumes {
		switch {
		case v.Type == manifest.NamedVolume && last.SpecHash != "", v.Type == manifest.Bind && !v.ReadOnly() && full(sourceOf(v, placed)):
			return true
		}
	}
	return slices.ContainsFunc(last.Pinned.Held, func(h state.HeldMount) bool { return h.Volume != "" || full(h.Source) })
}

func holds(dir string) bool {
	list, err := os.ReadDir(dir)
	return len(list) > 0 || (err != nil && !os.IsNotExist(err))
}

// fromLegacy takes a secret from an adopted container that still holds it.
func (ob *observation) fromLegacy(name string) (secrets.Value, bool) {
	for _, a := range ob.w.Apps {
		if a.Inspect == nil || a.Manifest == nil {
			continue
		}
		for _, s := range a.Manifest.Container.SecretEnv {
			if v := a.Inspect.Env.Map()[s.Key]; s.SecretFile == name && s.Passed() && v != "" {
				return secrets.New(v), true
			}
		}
	}
	return secrets.Value{}, false
}

// mountedSecrets asks for the secrets that the app has as files of the node: podman would not start it without them.
func (ob *observation) mountedSecrets(a *App) {
	for _, m := range a.Spec.Mounts {
		name, ok := strings.CutPrefix(m.Source, ob.Layout.Secrets()+"/")
		if !ok || strings.Contains(name, "/") || ob.isFile(m.Source) {
			continue
		}
		if _, ok := ob.secret(a, name); !ok && a.Fault == nil {
			a.Fault = ob.secretFault(a, name)
		}
	}
}

// fault turns what the resolver misses into what is shown.
func (ob *observation) fault(a *App, problems []spec.Problem) *Fault {
	if len(problems) == 0 {
		return nil
	}
	p := problems[0]
	switch p.Kind {
	case spec.MissingGenerated, spec.MissingOperator:
		return ob.secretFault(a, p.Name)
	case spec.BadSecret:
		return &Fault{Class: ClassFailed, Action: Failed, State: observedState(a), Code: "secret", Text: p.Error(), Hint: "correct the file, then: archy reconcile"}
	case spec.BadPlaceholder:
		return &Fault{Class: ClassWaiting, Action: Waiting, State: observedState(a), Code: "placeholder", Text: p.Error(), Hint: ""}
	}
	return &Fault{Class: ClassFailed, Action: Failed, State: observedState(a), Code: "spec", Text: p.Error(), Hint: "run: archy apps lint"}
}

// secretFault, rows 27 and 28.
func (ob *observation) secretFault(a *App, name string) *Fault {
	file := path.Join(ob.Layout.Secrets(), name)
	if !ob.generatedByAnyone(name) {
		return &Fault{Class: ClassNeedsConfig, Action: Left, State: "needs-config", Code: "needs-config",
			Text: "secret " + name + " is missing", Hint: "write it to " + file + " (mode 0600)"}
	}
	_, why := secrets.GenerationRule(name, true)
	return &Fault{Class: ClassNeedsHuman, Action: NeedsHuman, State: observedState(a), Code: "secret-missing",
		Text: "secret " + name + " is missing and data made with it exist: " + strings.TrimSpace(why),
		Hint: "put the old value back into " + file + " (mode 0600), for instance from a backup; nothing was changed"}
}
