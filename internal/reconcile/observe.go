package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/quadlet"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

// SecretReader gives secrets by file name.
type SecretReader interface {
	Read(name string) (secrets.Value, error)
}

// MappedReader reads what only podman's user namespace may read. A missing file is an fs.ErrNotExist, a missing directory
// holds nothing.
type MappedReader interface {
	ReadFile(ctx context.Context, path string) ([]byte, error)
	Holds(ctx context.Context, dir string) (bool, error)
	Exists(ctx context.Context, path string) (bool, error)
}

// StateReader gives what archy remembers.
type StateReader interface {
	ReadRecords() (map[string]state.Record, []state.Problem)
	ReadHistories() (map[string]state.History, []state.Problem)
	ReadIntent() state.Intent
	PrevUnit(container string) (text []byte, found bool, err error)
}

// Observer reads everything that a pass decides on. It changes nothing.
type Observer struct {
	Engine   Engine
	Units    Units
	State    StateReader
	Secrets  SecretReader
	Mapped   MappedReader
	Set      *manifest.Set
	Layout   node.Layout
	Config   node.Config
	Facts    node.Facts
	Options  Options
	Contexts func(app *manifest.App) (fs.FS, error)
	Stage    func(ctx context.Context, a *App) Stage
	// AskHost asks an app whose health check is a request from the host.
	AskHost func(ctx context.Context, h *spec.Health) bool
	Random  io.Reader
	Now     func() time.Time
	// Detailed asks for everything also of apps that are as they should be: a table for a person.
	Detailed bool
}

// observation is one Observe under way.
type observation struct {
	*Observer
	w          *World
	containers map[string]podman.Container
	records    map[string]state.Record
	// lost are the apps of whose records the units told, unread those whose records could not be read.
	lost      map[string]bool
	unread    map[string]state.Problem
	histories map[string]state.History
	intent    state.Intent
	bitcoin   spec.Bitcoin
	// bitcoinDisk is the size of the file system that the chain lies on, in bytes.
	bitcoinDisk int64
	mode        modeFact
	drafts      map[string]Secret
	conmons     map[string]int
	again       *secondLook
	listening   map[portKey]bool
	wants       map[string]want
	// guessed is what the apps are if podman says what it mostly says, heard what they said meanwhile.
	guessed *observation
	heard   map[string]heardStage
	// networks are those that were looked at, by name.
	networks map[string]*Network
	disks    *node.Disks
}

type want struct {
	Want
	by string
}

// Observe reads the node. An error means that podman or the user manager cannot be asked: nothing may be decided then.
func (o *Observer) Observe(ctx context.Context) (*World, error) {
	ob := &observation{Observer: o, drafts: map[string]Secret{}, networks: map[string]*Network{},
		w: &World{Now: o.Now(), BootID: o.Facts.BootID}}
	ob.w.measure(o.Facts)
	if err := ob.read(ctx); err != nil {
		return nil, err
	}
	ob.wants = ob.decideWants()
	ob.apps(ctx)
	if err := ob.services(ctx); err != nil {
		return nil, err
	}
	ob.strangers()
	if err := ob.doubts(ctx); err != nil {
		return nil, err
	}
	return ob.w, nil
}

// read asks podman and archy's own state, side by side.
func (ob *observation) read(ctx context.Context) error {
	var list []podman.Container
	var known []podman.Secret
	var listErr, secretErr error
	ob.disks = node.ReadDisks(ob.Layout)
	var wg sync.WaitGroup
	wg.Go(func() { list, listErr = ob.Engine.List(ctx) })
	wg.Go(func() { known, secretErr = ob.Engine.Secrets(ctx) })
	var problems []state.Problem
	wg.Go(func() {
		var more []state.Problem
		ob.records, problems = ob.State.ReadRecords()
		ob.restore(problems)
		ob.histories, more = ob.State.ReadHistories()
		for id, h := range ob.histories {
			h.Events = slices.Clone(h.Events)
			h.Clamp(ob.w.Now)
			ob.histories[id] = h
		}
		problems = append(problems, more...)
		ob.intent = ob.State.ReadIntent()
		ob.guessed = ob.guess(ctx)
		ob.heard = ob.guessed.listen(ctx)
	})
	wg.Wait()
	if err := errors.Join(listErr, secretErr); err != nil {
		return err
	}
	ob.containers = map[string]podman.Container{}
	for _, c := range list {
		ob.containers[c.Name] = c
	}
	ob.w.Podman, _ = ob.Engine.Version(ctx) // the answers have told
	ob.w.Secrets = map[string]string{}
	for _, s := range known {
		ob.w.Secrets[s.Name] = s.Labels[spec.LabelSecretEnvHash]
	}
	for _, p := range problems {
		ob.w.Warnings = append(ob.w.Warnings, p.Error())
		ob.w.Partial = true
	}
	if ob.intent.Warning != nil {
		ob.w.Partial = true
		ob.w.Warnings = append(ob.w.Warnings, ob.intent.Warning.Error()+"; the flag files in state/stopped are in force")
	}
	return nil
}

// decideWants says for every app what the owner wants of it. The presence comes first: nothing else is asked about an
// app that nobody wants (incident 20).
func (ob *observation) decideWants() map[string]want {
	wants := map[string]want{}
	for id, app := range ob.Set.Apps {
		wants[id] = ob.wantOf(app)
	}
	if ob.Options.CreateMissing {
		ob.createMissing(wants)
	}
	for id, by := range ob.Options.Install {
		if wants[id].Want != WantRunning {
			wants[id] = want{WantRunning, by}
		}
	}
	for _, id := range ob.Set.Order() {
		if wants[id].Want == WantRunning {
			ob.pullIn(wants, id)
		}
	}
	ob.companions(wants)
	for id, app := range ob.Set.Apps {
		switch {
		case slices.Contains(ob.Options.Remove, id):
			wants[id] = want{Want: WantAbsent}
		case wants[id].Want == WantRunning && ob.stopped(id, app.Unit()):
			wants[id] = want{WantStopped, wants[id].by}
		case wants[id].Want == WantNone && slices.Contains(ob.Options.Stop, id) && ob.containers[app.Unit()].Name != "":
			wants[id] = want{Want: WantStopped} // ours, and its record is lost
		}
	}
	return wants
}

// stopped tells that the owner wants the app stopped, as the command that is under way says or else as he said before.
func (ob *observation) stopped(id, container string) bool {
	switch {
	case slices.Contains(ob.Options.Stop, id):
		return true
	case slices.Contains(ob.Options.Start, id):
		return false
	}
	return ob.intent.Stopped(id, container)
}

func (ob *observation) wantOf(app *manifest.App) want {
	r, found := ob.records[app.ID]
	switch {
	case found && r.Installed:
		return want{Want: WantRunning}
	case found && !r.RemovedAt.IsZero() && ob.madeSince(app, r.RemovedAt):
		if ob.Options.AdoptOnly || ob.Options.Migrate {
			return want{WantRunning, state.ByAdopt}
		}
		return want{Want: WantNone}
	case found && !r.RemovedAt.IsZero():
		return want{Want: WantAbsent}
	case ob.legacy(app):
		return want{WantRunning, state.ByAdopt}
	case !app.Optional && ob.firstBootDone():
		return want{WantRunning, state.ByFirstBoot}
	}
	return want{Want: WantNone}
}

// legacy tells that a container of the app's name exists that is not ours: it is claimed.
func (ob *observation) legacy(app *manifest.App) bool { return ob.madeSince(app, time.Time{}) }

// madeSince tells that somebody else has made a container of the app's name after that time. One that was made after the owner
// removed the app is not what he removed: only he decides about it; nor is any while the clock, which was set back, shows a time before that.
func (ob *observation) madeSince(app *manifest.App, after time.Time) bool {
	return slices.ContainsFunc(append(legacyNames(app), app.Unit()), func(name string) bool {
		c, ok := ob.containers[name]
		return ok && c.Labels[spec.LabelManaged] != "true" && (after.IsZero() || c.Created.After(after) || after.After(ob.w.Now))
	})
}

func (ob *observation) firstBootDone() bool {
	_, err := os.Stat(ob.Layout.Host(ob.Layout.FirstBootDone()))
	return err == nil
}

// createMissing wants the optional apps too: all but removed ones and second alternatives, or just the named ones.
func (ob *observation) createMissing(wants map[string]want) {
	for _, id := range ob.Set.Order() {
		named := slices.Contains(ob.Options.Only, id)
		switch {
		case wants[id].Want == WantNone && (named || len(ob.Options.Only) == 0 && !ob.removed(id) && !ob.second(id)) && ob.provider(wants, id) == id:
			wants[id] = want{WantRunning, state.ByCreateMissing}
		case wants[id].Want == WantAbsent && named:
			wants[id] = want{WantRunning, state.ByCreateMissing}
		}
	}
}

// removed tells that the owner removed the app, whatever is there under its name now.
func (ob *observation) removed(id string) bool {
	r, found := ob.records[id]
	return found && !r.Installed && !r.RemovedAt.IsZero()
}

// second tells that an app is the alternative to one that other manifests name: the second bitcoin, which is made by its name only.
func (ob *observation) second(id string) bool {
	return !ob.named(id) && slices.ContainsFunc(ob.Set.Alternatives(id), ob.named)
}

// pullIn wants what a newly wanted app needs. Apps that are installed already got theirs when they were installed.
func (ob *observation) pullIn(wants map[string]want, id string) {
	if !slices.Contains([]string{state.ByCreateMissing, state.ByFirstBoot, state.ByDependency}, wants[id].by) {
		return
	}
	if len(ob.Options.Only) > 0 {
		return // dependencies are checked, not repaired
	}
	for _, n := range ob.Set.Needs(id) {
		p := ob.provider(wants, n.AppID)
		if wants[p].Want == WantNone && !ob.removed(p) && !ob.brokenAndHere(p) {
			wants[p] = want{WantRunning, state.ByDependency}
			ob.pullIn(wants, p)
		}
	}
}

// companions wants the pages that follow a newly wanted app.
func (ob *observation) companions(wants map[string]want) {
	for id, app := range ob.Set.Apps {
		if app.Follows == "" || wants[id].Want != WantNone || ob.removed(id) || len(ob.Options.Only) > 0 {
			continue
		}
		p := ob.provider(wants, app.Follows)
		if w := wants[p]; w.Want == WantRunning && (w.by == state.ByCreateMissing || w.by == state.ByFirstBoot || w.by == state.ByDependency) {
			wants[id] = want{WantRunning, state.ByCompanion}
		}
	}
}

// provider is the app that meets a dependency on need. One that is installed does so also while its manifest is broken: its
// alternative, which nobody installed, is no answer to a slip of the pen.
func (ob *observation) provider(wants map[string]want, need string) string {
	installed := func(id string) bool { return wants[id].Want == WantRunning || wants[id].Want == WantStopped }
	p := ob.Set.Provider(need, installed)
	if installed(p) {
		return p
	}
	for _, id := range sortedKeys(ob.Set.Broken) {
		if ob.brokenAndHere(id) && ob.Set.StandsFor(id, need) {
			return id
		}
	}
	return need
}

// brokenAndHere tells that an app is installed whose manifest cannot be used: so its record says, or, where none can be read, its
// container or its unit.
func (ob *observation) brokenAndHere(id string) bool {
	if _, broken := ob.Set.Broken[id]; !broken || ob.removed(id) {
		return false
	}
	r, found := ob.records[id]
	_, unread := ob.unread[id]
	container := ob.containerWithout(id)
	_, err := os.Stat(ob.Layout.Host(ob.Layout.Unit(container)))
	return found && r.Installed || unread || err == nil || ob.containers[container].Name != ""
}

// apps resolves every app, and asks those that run how they are.
func (ob *observation) apps(ctx context.Context) {
	if !ob.take(ob.guessed) {
		ob.findBitcoin(ctx)
		ob.resolveAll(ctx)
	}
	ob.broken()
	ob.stages(ctx)
}

// resolveAll resolves every app that is wanted or there, in the order of starts.
func (ob *observation) resolveAll(ctx context.Context) {
	for _, id := range ob.Set.Order() {
		a := ob.newApp(ob.Set.Apps[id])
		ob.w.Apps = append(ob.w.Apps, a)
		if a.Want == WantNone {
			continue
		}
		ob.unitFile(a)
		if a.Want != WantAbsent {
			ob.resolve(ctx, a)
			continue
		}
		a.Spec.StopGrace = a.Manifest.StopGrace()
		if a.Removing && a.Legacy() {
			ob.inspectLegacy(ctx, a)
			a.InItself = ob.inItself(ctx, a)
		}
		ob.ownData(a)
	}
}

func (ob *observation) newApp(app *manifest.App) *App {
	w := ob.wants[app.ID]
	a := &App{ID: app.ID, Container: app.Unit(), Tier: app.Tier(), Manifest: app, Want: w.Want, By: w.by,
		Selected: len(ob.Options.Only) == 0 || slices.Contains(ob.Options.Only, app.ID)}
	a.Force = ob.Options.Force && a.Selected
	ob.attach(a)
	ob.command(a)
	ob.needs(a)
	for _, n := range a.Needs {
		if ob.brokenAndHere(n.App) {
			a.Broken = append(a.Broken, manifest.Finding{File: app.File, Field: "app.dependencies", Severity: manifest.Error,
				Message: "needs " + n.App + ", whose manifest is broken", Hint: "correct " + ob.Set.Broken[n.App][0].File})
		}
	}
	for _, p := range app.Container.RestartOnPeerChange {
		a.Peers = append(a.Peers, ob.provider(ob.wants, p))
	}
	return a
}

func (ob *observation) needs(a *App) {
	for _, n := range ob.Set.Needs(a.ID) {
		a.Needs = append(a.Needs, Need{App: ob.provider(ob.wants, n.AppID), Condition: n.Condition})
	}
}

// command marks what a command of the owner wants of the app.
func (ob *observation) command(a *App) {
	o := ob.Options
	a.Asked, a.Anew, a.Removing = o.Owner && a.Selected, slices.Contains(o.Restart, a.ID), slices.Contains(o.Remove, a.ID)
	_, a.Upgrading = o.Upgrade[a.ID]
	a.Downgrade = a.Upgrading && o.AllowDowngrade
	_, installs := o.Install[a.ID]
	a.New = installs && a.Asked && a.C == nil && (a.Record == nil || !a.Record.Installed)
}

func (ob *observation) attach(a *App) {
	if r, ok := ob.records[a.ID]; ok {
		a.Record, a.RecordLost = &r, ob.lost[a.ID]
	}
	if p, ok := ob.unread[a.ID]; ok && a.Record == nil {
		a.Unread = p.Err
	}
	a.History = ob.histories[a.ID]
	if c, ok := ob.containers[a.Container]; ok {
		a.C = &c
	} else if a.Manifest != nil {
		ob.legacyName(a)
	}
}

// legacyName claims a container under a name that older releases gave the app.
func (ob *observation) legacyName(a *App) {
	for _, name := range legacyNames(a.Manifest) {
		if c, ok := ob.containers[name]; ok && c.Labels[spec.LabelManaged] != "true" && (a.Record == nil || a.Record.Owner == state.Legacy) {
			a.C = &c
			return
		}
	}
}

// broken adds the apps whose manifests cannot be used: they are named and left, the rest goes on.
func (ob *observation) broken() {
	for _, id := range sortedKeys(ob.Set.Broken) {
		a := &App{ID: id, Container: ob.containerWithout(id), Tier: 3, Broken: ob.Set.Broken[id], Want: WantRunning, Nowhere: !ob.brokenAndHere(id),
			Selected: len(ob.Options.Only) == 0 || slices.Contains(ob.Options.Only, id)}
		ob.needs(a)
		ob.attach(a)
		ob.command(a)
		ob.brokenWant(a)
		ob.w.Apps = append(ob.w.Apps, a)
	}
}

// brokenWant: an app can be stopped and removed whatever became of its manifest. How long it may take to end, its unit
// says; the longest grace of all is given to one without.
func (ob *observation) brokenWant(a *App) {
	switch {
	case a.Removing:
		a.Want = WantAbsent
	case ob.stopped(a.ID, a.Container):
		a.Want = WantStopped
	default:
		return
	}
	ob.unitFile(a)
	a.Spec.StopGrace = longestGrace
}

// longestGrace is that of a bitcoin which writes its chain state to disk, in seconds.
const longestGrace = 600

func (ob *observation) unitFile(a *App) {
	path := ob.Layout.Host(ob.Layout.Unit(a.Container))
	content, err := os.ReadFile(path)
	if err != nil {
		return
	}
	a.Unit = &UnitFile{Content: content}
	if info, err := os.Stat(path); err == nil {
		a.Unit.ModTime = info.ModTime()
	}
}

// resolve computes the wanted container, its unit and its files.
func (ob *observation) resolve(ctx context.Context, a *App) {
	a.Elsewhere = ob.placed(a.Manifest)
	if a.Legacy() {
		ob.inspectLegacy(ctx, a)
	}
	if a.Inspect != nil {
		a.Elsewhere = a.Pins.Volumes
	}
	ob.upgrade(a)
	ob.resolveSpec(ctx, a)
	if a.Legacy() {
		ob.compareLegacy(ctx, a)
	}
	if a.LeftBehind == nil {
		a.LeftBehind = ob.leftBehind(a)
	}
	if a.LeftBehind == nil {
		a.LeftBehind = ob.lostInItself(ctx, a)
	}
	if a.Record != nil && a.Record.FailedHash != "" || a.Record != nil && a.Record.Op != nil {
		a.Prev, _, _ = ob.State.PrevUnit(a.Container)
	}
}

func (ob *observation) resolveSpec(ctx context.Context, a *App) {
	files := ob.derivedFiles(ctx, a)
	facts := ob.Facts
	if ob.bitcoin.Host != "" {
		facts.DataDisk = ob.bitcoinDisk
	}
	in := spec.Input{App: a.Manifest, Layout: ob.Layout, Facts: facts, Config: ob.Config, Bitcoin: ob.bitcoin,
		Container: func(id string) string { return ob.containerOf(id) }, Called: ob.called, ConfigDigest: files.digest, Pinned: ob.pinned(a),
		Secret:    func(name string) (secrets.Value, bool) { return ob.secret(a, name) },
		Generated: ob.generatedByAnyone, IsFile: ob.isFile}
	if a.Manifest.Container.Build != nil {
		in.ContextTag = ob.contextTag(a)
	}
	c, problems := spec.Resolve(in)
	ob.userFollowsData(a, &c)
	a.Spec = c
	ob.findDisks(a)
	if a.Legacy() {
		in.Pinned.Volumes, in.Pinned.ExtraPorts, in.Pinned.Env = nil, nil, nil
		a.plain, _ = spec.Resolve(in)
	}
	a.Files = files.list
	if a.Fault == nil {
		a.Fault = ob.fault(a, problems)
	}
	ob.mountedSecrets(a)
	if a.Fault == nil {
		a.Fault = files.fault
	}
	ob.render(a)
	// The unit says the hash already, and a hash costs as much as its unit.
	if a.Hash = labelIn(a.UnitText, spec.LabelSpecHash); a.Hash == "" {
		a.Hash = c.Hash()
	}
	a.Network = ob.network(c.Network)
}

func (ob *observation) render(a *App) {
	if a.Fault != nil {
		return
	}
	text, err := quadlet.Render(a.Spec, ob.Layout)
	if err != nil {
		a.Fault = &Fault{Class: ClassFailed, Action: Failed, State: observedState(a), Code: "unit", Text: err.Error(), Hint: "run: archy apps lint"}
		return
	}
	a.UnitText = text
	if a.Unit != nil && string(a.Unit.Content) == string(text) {
		return // it was converted before it was written
	}
	if err := ob.convert(a, text); err != nil {
		a.Fault = &Fault{Class: ClassFailed, Action: Failed, State: observedState(a), Code: "unit", Text: err.Error(), Hint: "podman's own Quadlet parser refuses the unit; run: archy apps render " + a.ID}
	}
}

func (ob *observation) convert(a *App, text []byte) error {
	units := map[string][]byte{a.Container + ".container": text}
	if n := network(a.Spec.Network); n != nil {
		unit, err := quadlet.RenderNetwork(n.Name, n.Subnet, n.Gateway)
		if err != nil {
			return err
		}
		units[n.Name+".network"] = unit
	}
	return quadlet.Validate(units)
}

// network is the bridge of an app with the state of its unit.
func (ob *observation) network(name string) *Network {
	if n, ok := ob.networks[name]; ok {
		return n
	}
	n := network(name)
	if ob.networks[name] = n; n == nil {
		return nil
	}
	n.Stale = staleNetworkUnit(ob.Layout, n)
	return n
}

// network says which bridge must be there, nil for the modes that need none.
func network(name string) *Network {
	switch name {
	case "host", "none", "pasta":
		return nil
	case "", "archy-net":
		return &Network{Name: "archy-net", Subnet: "10.89.0.0/24", Gateway: "10.89.0.1"}
	case "immich-net":
		return &Network{Name: "immich-net", Subnet: "10.89.1.0/24", Gateway: "10.89.1.1"}
	}
	return &Network{Name: name}
}

func (ob *observation) containerOf(id string) string {
	if app, ok := ob.Set.Apps[ob.provider(ob.wants, id)]; ok {
		return app.Unit()
	}
	return ""
}

// called is what answers for an app on its bridge: an adopted container does so under the name that older releases gave it, until it
// moves to a unit. One that is gone for the moment keeps it.
func (ob *observation) called(id string) string {
	a := ob.w.app(ob.provider(ob.wants, id)) // needs are resolved first
	switch {
	case a == nil:
		return ob.containerOf(id)
	case a.Legacy() && a.Selected && ob.moves(a) && a.MigrationFault == nil:
		return a.Container
	case a.C == nil && isLegacyRecord(a):
		return cmp.Or(a.Record.Pinned.Name, a.Container)
	}
	return a.liveName()
}

// services asks systemd about all services at once, about those in more detail that are not simply running or whose change was cut off, and
// for the restarts of those that have been running for a short while only.
func (ob *observation) services(ctx context.Context) error {
	var names []string
	for _, a := range ob.w.Apps {
		if a.Want != WantNone {
			names = append(names, a.Container+".service")
		}
	}
	units, err := ob.Units.Units(ctx, names)
	if err != nil {
		return err
	}
	var young []*App
	for _, a := range ob.w.Apps {
		u, ok := units[a.Container+".service"]
		if !ok {
			continue
		}
		a.Service.Unit = u
		if u.LoadState == "not-found" || a.Legacy() {
			continue
		}
		if u.ActiveState == "active" && a.Running() && !cutOff(a) {
			if ob.Detailed || age(a.C.StartedAt, ob.w.Now) <= state.HealthyReset {
				young = append(young, a)
			}
			continue
		}
		if d, err := ob.Units.Detail(ctx, a.Container+".service"); err == nil {
			d.Job, a.Service = u.Job, d
		} else if !errors.Is(err, systemd.ErrNoUnit) {
			return err
		}
	}
	if len(young) == 0 {
		return nil
	}
	return ob.restarts(ctx, young)
}

func (ob *observation) restarts(ctx context.Context, apps []*App) error {
	var names []string
	for _, a := range apps {
		names = append(names, a.Container+".service")
	}
	counts, err := ob.Units.Restarts(ctx, names)
	for _, a := range apps {
		a.Service.NRestarts = counts[a.Container+".service"]
	}
	return err
}

// strangers sorts the containers that belong to no manifest: never touched, but named.
func (ob *observation) strangers() {
	ours := map[string]bool{}
	for _, a := range ob.w.Apps {
		ours[a.Container], ours[a.liveName()] = true, true
		if a.Record != nil {
			for _, old := range a.Record.OldContainers {
				ours[old.Name] = true
			}
			if a.Record.Op != nil {
				ours[a.Record.Op.OldName] = true
			}
		}
	}
	for _, name := range sortedKeys(ob.containers) {
		switch {
		case ours[name]:
		case ob.containers[name].Labels[spec.LabelManaged] == "true":
			ob.w.Orphans = append(ob.w.Orphans, name)
			ob.w.orphans++
		default:
			ob.w.Unknown = append(ob.w.Unknown, name)
		}
	}
	ob.orphanUnits(ours)
}

// stages asks the apps themselves how far they are, side by side and briefly.
func (ob *observation) stages(ctx context.Context) {
	if ob.Stage == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, a := range ob.w.Apps {
		if a.Running() && a.Want == WantRunning && a.Manifest != nil {
			wg.Go(func() {
				a.Stage = ob.hear(ctx, a)
				ob.askHost(ctx, a)
			})
		}
	}
	wg.Wait()
}

// askHost is the health of an app that archy asks from the host, in place of podman.
func (ob *observation) askHost(ctx context.Context, a *App) {
	h := a.Spec.Health
	if h == nil || h.HostHTTP == "" || ob.AskHost == nil {
		return
	}
	c := *a.C
	switch {
	case ob.AskHost(ctx, h):
		c.Health = podman.HealthHealthy
	case inStartPeriod(a, ob.w.Now):
		c.Health = podman.HealthStarting
	default:
		c.Health = podman.HealthUnhealthy
	}
	a.C = &c
}

func (ob *observation) contextTag(a *App) string {
	context, err := ob.Contexts(a.Manifest)
	if err == nil {
		var tag string
		if tag, err = spec.ContextTag(context); err == nil {
			return tag
		}
	}
	a.Fault = &Fault{Class: ClassFailed, Action: Failed, State: observedState(a), Code: "build-context",
		Text: fmt.Sprintf("build context: %v", err), Hint: "the context of " + a.ID + " must be a directory with a Dockerfile"}
	return ""
}

func legacyNames(app *manifest.App) []string {
	return app.ExtList("legacy_names")
}

// OlderNames are the names that older releases gave the containers of apps, by app.
func OlderNames(set *manifest.Set) map[string][]string {
	out := map[string][]string{}
	for id, app := range set.Apps {
		if names := legacyNames(app); len(names) > 0 {
			out[id] = names
		}
	}
	return out
}
