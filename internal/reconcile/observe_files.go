package reconcile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/derived"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/quadlet"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/wallet"
)

// The secrets that derived files are made of.
const (
	rpcSecret    = "bitcoin-rpc-password"
	walletSecret = wallet.PasswordSecret
)

// modeFact is how much of the chain the installed bitcoin keeps.
type modeFact struct {
	mode derived.Mode
	// refused is what the owner asks of a chain that is kept otherwise.
	refused string
}

// filesFact is what the derived files of an app come to.
type filesFact struct {
	list   []File
	digest string
	fault  *Fault
}

// findBitcoin finds the installed bitcoin, its sizes and its mode.
func (ob *observation) findBitcoin(ctx context.Context) {
	app := ob.bitcoinApp()
	if app == nil {
		return
	}
	ob.bitcoin.Host, ob.bitcoinDisk = app.Unit(), ob.Facts.DataDisk
	cfg := derived.SizingConfig{}
	if n, err := strconv.ParseInt(ob.Config.Bitcoin.DBCacheMiB, 10, 64); err == nil {
		cfg.DBCacheMiB = n
	}
	if n, err := strconv.ParseInt(ob.Config.Bitcoin.Prune, 10, 64); err == nil {
		cfg.PruneMiB = &n
	}
	chain := ob.chain(ctx, app)
	size, err := derived.Size(ob.Facts.MemTotal, ob.Facts.Cores, ob.bitcoinDisk, cfg)
	ob.bitcoin.DBCacheMiB, ob.bitcoin.MemoryBytes = int(size.DBCacheMiB), size.MemoryBytes
	// A node that has a chain keeps its mode, whatever disk and configuration ask for now.
	mode, decided := chain.Mode(size.Mode())
	ob.mode.mode = mode
	switch {
	case err != nil:
		ob.w.Warnings = append(ob.w.Warnings, err.Error())
	case decided:
		ob.mode.refused = mode.Refuse(cfg.PruneMiB)
	default:
		ob.w.Warnings = append(ob.w.Warnings, size.Warnings...)
	}
}

// bitcoinApp is the alternative that is installed, else the one that others name.
func (ob *observation) bitcoinApp() *manifest.App {
	var found *manifest.App
	for _, id := range ob.Set.Order() {
		app := ob.Set.Apps[id]
		if app.Ext("sizing") == "bitcoin" && (found == nil || ob.named(id)) {
			found = ob.Set.Apps[ob.provider(ob.wants, id)]
		}
	}
	return found
}

// named tells whether a manifest depends on an app by its own name.
func (ob *observation) named(id string) bool {
	for _, app := range ob.Set.Apps {
		if slices.ContainsFunc(app.Dependencies, func(d manifest.Dependency) bool { return d.AppID == id }) {
			return true
		}
	}
	return false
}

// chain is what the node shows of its chain, and finds the size of the disk that it lies on. The record of either bitcoin counts, the later one's: they take over each
// other's directory. A container that archy did not make speaks for itself.
func (ob *observation) chain(ctx context.Context, app *manifest.App) derived.Chain {
	var c derived.Chain
	bitcoins, pinned := []string{app.ID}, ob.placed(app)
	if ob.legacy(app) {
		if in, err := ob.Engine.Inspect(ctx, app.Unit()); err == nil {
			c.Args, pinned = slices.Concat([]string{}, in.Entrypoint, in.Cmd), PinnedVolumes(app, in)
		}
	} else {
		bitcoins = append(bitcoins, ob.Set.Alternatives(app.ID)...)
	}
	dir := DataDir(app, pinned, ob.Layout.DataDir)
	if dir != DataDir(app, nil, ob.Layout.DataDir) && ob.awayFrom(app, dir) == "" {
		if size, err := node.DiskSize(ob.Layout.Host(dir)); err == nil {
			ob.bitcoinDisk = size
		}
	}
	if r, ok := state.Latest(ob.records, bitcoins); ok && r.Pinned.Prune != nil && r.Pinned.TxIndex != nil {
		return derived.Chain{Prune: r.Pinned.Prune, TxIndex: r.Pinned.TxIndex}
	}
	c.Conf, _ = ob.readFile(ctx, path.Join(dir, "bitcoin.conf"))
	c.Blocks = ob.holdsMapped(ctx, path.Join(dir, "blocks"))
	return c
}

// placed are the targets of an app that have another source than its manifest's, as its record says. Before it is installed, that of an
// alternative which was installed later counts: it takes over that one's directory. When the record cannot be read, the app's unit says it.
func (ob *observation) placed(app *manifest.App) []state.PinnedVolume {
	if _, found := ob.records[app.ID]; !found {
		if unit := ob.unitText(app); unit != nil {
			return unitVolumes(app, unit)
		}
	}
	last := ob.lastOf(app)
	if other := ob.Set.Apps[last.App]; other != nil && other != app {
		return moved(app.Volumes, other, last.Pinned.Volumes)
	}
	return last.Pinned.Volumes
}

// unitText is the app's unit, nil when there is none of archy's.
func (ob *observation) unitText(app *manifest.App) []byte {
	unit, _ := os.ReadFile(ob.Layout.Host(ob.Layout.Unit(app.Unit())))
	if id, ours := quadlet.App(unit); !ours || id != app.ID {
		return nil
	}
	return unit
}

// unitVolumes are the targets of the app's binds for which a unit of archy's has another source.
func unitVolumes(app *manifest.App, unit []byte) []state.PinnedVolume {
	var list []state.PinnedVolume
	for _, m := range unitMounts(unit) {
		for _, v := range app.Volumes {
			if m.Type == "bind" && v.Type == manifest.Bind && path.Clean(v.Target) == path.Clean(m.Target) && path.Clean(v.Source) != m.Source {
				list = append(list, state.PinnedVolume{Source: m.Source, Target: v.Target})
			}
		}
	}
	return list
}

// unitMounts are the binds and volumes in a unit of archy's. No path in one holds a colon.
func unitMounts(unit []byte) []spec.Mount {
	var list []spec.Mount
	for _, value := range unitValues(unit, "Volume") {
		parts := strings.SplitN(value, ":", 3)
		if len(parts) < 2 {
			continue
		}
		m := spec.Mount{Type: "volume", Source: parts[0], Target: parts[1]}
		if path.IsAbs(m.Source) {
			m.Type = "bind"
		}
		if len(parts) == 3 {
			m.Options = strings.Split(parts[2], ",")
		}
		list = append(list, m)
	}
	return list
}

// lastOf is the record of who had the app's data last: of the app while it is installed, else of that one of its alternatives and itself
// which was installed last.
func (ob *observation) lastOf(app *manifest.App) state.Record {
	if own := ob.records[app.ID]; own.Installed {
		return own
	}
	last, _ := state.Latest(ob.records, append([]string{app.ID}, ob.Set.Alternatives(app.ID)...))
	return last
}

// DataDir is the app's first directory of its own, as the node sees it; pinned are the targets that have another source than
// the manifest's.
func DataDir(app *manifest.App, pinned []state.PinnedVolume, base string) string {
	for _, v := range app.Volumes {
		if v.Type == "bind" && strings.HasPrefix(v.Source, base+"/") {
			return sourceOf(v, pinned)
		}
	}
	return path.Join(base, app.ID)
}

// RecordedDataDir is where an app has its data by its manifest and its record, for those who ask no podman.
func RecordedDataDir(set *manifest.Set, records *state.Store, l node.Layout, id string) string {
	if set == nil || set.Apps[id] == nil {
		return l.Data(id)
	}
	r, _, _ := records.ReadRecord(id)
	return DataDir(set.Apps[id], r.Pinned.Volumes, l.DataDir)
}

// DataDir is where the app has its data.
func (a *App) DataDir(base string) string { return DataDir(a.Manifest, a.Elsewhere, base) }

// sourceOf is the pinned source of the volume's target, else the manifest's.
func sourceOf(v manifest.Volume, pinned []state.PinnedVolume) string {
	for _, p := range pinned {
		if path.Clean(p.Target) == path.Clean(v.Target) {
			return p.Source
		}
	}
	return v.Source
}

// derivedFiles renders what archy derives for an app and compares it with what is on disk.
func (ob *observation) derivedFiles(ctx context.Context, a *App) filesFact {
	if len(a.Manifest.Container.GeneratedCerts) > 0 {
		return filesFact{fault: &Fault{Class: ClassFailed, Action: Failed, Code: "unsupported", Text: "container.generated_certs is not supported by this version of archy"}}
	}
	facts := ob.derivedFile(ctx, a)
	if facts.fault == nil {
		facts.list = append(facts.list, ob.manifestFiles(ctx, a)...)
	}
	ob.limitToComparing(a, facts.list)
	return facts
}

// manifestFiles are the files that a manifest brings along: written before the first start, again only with overwrite, or when
// the file itself is what the container mounts and it could not start.
func (ob *observation) manifestFiles(ctx context.Context, a *App) []File {
	var list []File
	up := a.Record != nil && a.Record.SpecHash != ""
	for _, f := range a.Manifest.Files {
		file, ok := hostPath(a, f.Path)
		have, err := ob.readFile(ctx, file)
		exists := err == nil
		if !ok || isReadError(err) || !f.Overwrite && (exists || a.Running() || up && !bindsItself(a, file)) {
			continue
		}
		out := File{Name: path.Base(file), Path: file, Content: []byte(f.Content), Have: have, Exists: exists, Mode: 0o644}
		out.Cause = differenceCause(out, "differs from the manifest")
		list = append(list, out)
	}
	return list
}

// hostPath is where a path of an app's data lies on the node: below the source that the container has.
func hostPath(a *App, p string) (string, bool) {
	file, ok := a.Manifest.HostPath(path.Clean(p))
	for _, v := range a.Manifest.Volumes {
		if rest, in := strings.CutPrefix(file+"/", path.Clean(v.Source)+"/"); ok && in && v.Type == manifest.Bind {
			return path.Join(sourceOf(v, a.Elsewhere), rest), true
		}
	}
	return file, ok
}

// bindsItself tells that a mount of the app has the file for its source.
func bindsItself(a *App, file string) bool {
	return slices.ContainsFunc(a.Manifest.Volumes, func(v manifest.Volume) bool { return v.Type == manifest.Bind && sourceOf(v, a.Elsewhere) == file })
}

// derivedFile renders the file that archy computes for the app from a secret.
func (ob *observation) derivedFile(ctx context.Context, a *App) filesFact {
	kind := a.Manifest.Ext("derived")
	if kind == "" {
		return filesFact{}
	}
	password, ok := ob.secret(a, rpcSecret)
	if !ok {
		return filesFact{fault: ob.secretFault(a, rpcSecret)}
	}
	a.Masked = append(a.Masked, password)
	dir := a.DataDir(ob.Layout.DataDir)
	var facts filesFact
	switch kind {
	case "bitcoin.conf":
		facts = ob.bitcoinConf(ctx, a, dir, password)
	case "lnd.conf":
		facts = ob.lndConf(ctx, a, dir, password)
	case "nginx.conf":
		facts = ob.nginxConf(ctx, path.Join(ob.Layout.DataDir, a.ID), password)
	default:
		facts.fault = &Fault{Class: ClassFailed, Action: Failed, Code: "derived", Text: "extensions.archipelago.derived: " + kind + " is not a file that archy derives"}
	}
	return facts
}

// limitToComparing: an adopted app's files are only compared. The one exception is a bitcoin.conf whose line for archy
// no longer verifies, with no other way in: whoever needs the node is cut off already.
func (ob *observation) limitToComparing(a *App, files []File) {
	if !a.Legacy() || ob.moves(a) {
		return
	}
	for i := range files {
		files[i].CompareOnly = files[i].Name != "bitcoin.conf" || !strings.HasPrefix(files[i].Cause, "rpcauth") || !files[i].Exists
	}
}

func (ob *observation) bitcoinConf(ctx context.Context, a *App, dir string, password secrets.Value) filesFact {
	file := path.Join(dir, "bitcoin.conf")
	have, err := ob.readFile(ctx, file)
	if isReadError(err) {
		return filesFact{fault: unreadable(a, file, err)}
	}
	f, rerr := derived.BitcoinConf(derived.BitcoinInput{Existing: have, Password: password, PruneMiB: ob.mode.mode.PruneMiB,
		TxIndex: ob.mode.mode.TxIndex, Bridge: bridgeAddresses(ob.Layout, a.Manifest.Container.Network), Salt: ob.Random})
	if rerr != nil {
		return filesFact{fault: unrendered(a, rerr)}
	}
	a.Archival, a.ModeRefused = ob.mode.mode.Archival(), ob.mode.refused
	a.Wallet = &Wallet{Kind: bitcoinWallet}
	a.freeze(ob.mode.mode)
	out := File{Name: "bitcoin.conf", Path: file, Content: f.Content, Have: have, Exists: err == nil, Mode: derived.FileMode, KeepOld: f.SaveOld}
	out.Cause = differenceCause(out, "its managed lines differ")
	if out.Exists && a.refusesRPC(have, password) {
		out.Cause = "rpcauth does not verify against its secret"
	}
	return filesFact{list: []File{out}, digest: f.Digest}
}

// bridgeAddresses are those of a bridge that is there, from podman's own file of it: asking podman would cost each pass a question. "" when it is
// not there, or cannot be read.
func bridgeAddresses(l node.Layout, name string) string {
	var made struct {
		Subnets []struct {
			Subnet string `json:"subnet"`
		} `json:"subnets"`
	}
	n := network(name)
	if n == nil {
		return ""
	}
	text, err := os.ReadFile(l.Host(l.Data("containers/storage/networks", n.Name+".json")))
	if err != nil || json.Unmarshal(text, &made) != nil || len(made.Subnets) == 0 {
		return ""
	}
	return made.Subnets[0].Subnet
}

// refusesRPC tells that bitcoin.conf keeps archy's apps out. An adopted container may let them in by other ways, and one that
// cannot be looked at is not said to do anything.
func (a *App) refusesRPC(conf []byte, password secrets.Value) bool {
	switch {
	case !a.Legacy():
		return !derived.RPCAuthVerifies(conf, password)
	case a.Inspect == nil:
		return false
	}
	return derived.RPCAuthBroken(conf, slices.Concat(a.Inspect.Entrypoint, a.Inspect.Cmd), password)
}

// freeze keeps the mode in the install record as soon as the app is installed.
func (a *App) freeze(m derived.Mode) { a.Mode = &m }

func (ob *observation) lndConf(ctx context.Context, a *App, dir string, password secrets.Value) filesFact {
	file := path.Join(dir, "lnd.conf")
	have, err := ob.readFile(ctx, file)
	if isReadError(err) {
		return filesFact{fault: unreadable(a, file, err)}
	}
	ob.lndWallet(ctx, a, dir)
	unlock := a.Wallet.startPassword()
	f, rerr := derived.LndConf(derived.LndInput{Existing: have, RPCPassword: password, WalletPassword: unlock,
		HostMDNS: ob.Facts.HostMDNS, BitcoinHost: ob.bitcoin.Host})
	if rerr != nil {
		return filesFact{fault: unrendered(a, rerr)}
	}
	out := File{Name: "lnd.conf", Path: file, Content: f.Content, Have: have, Exists: err == nil, Mode: derived.FileMode, KeepOld: f.SaveOld}
	out.Cause = differenceCause(out, "its managed lines differ")
	facts := filesFact{list: []File{out}, digest: f.Digest}
	if unlock.Missing() {
		return facts
	}
	return ob.walletFile(ctx, a, dir, unlock, facts)
}

// walletFile adds the file of the wallet's password. Whoever wrote what it held, it may be the only password that opens the wallet: none is overwritten
// without a copy.
func (ob *observation) walletFile(ctx context.Context, a *App, dir string, password secrets.Value, facts filesFact) filesFact {
	w, err := derived.WalletPasswordFile(password)
	if err != nil {
		return filesFact{fault: unrendered(a, err)}
	}
	file := path.Join(dir, "wallet-password")
	have, err := ob.readFile(ctx, file)
	if isReadError(err) {
		return filesFact{fault: unreadable(a, file, err)}
	}
	out := File{Name: "wallet-password", Path: file, Content: w.Content, Have: have, Exists: err == nil, Mode: derived.FileMode}
	out.KeepOld = len(bytes.TrimSpace(have)) > 0
	out.Cause = differenceCause(out, "differs from its secret")
	facts.list = append(facts.list, out)
	sum := sha256.Sum256([]byte(facts.digest + "\n" + w.Digest))
	facts.digest = hex.EncodeToString(sum[:8])
	return facts
}

func (ob *observation) nginxConf(ctx context.Context, dir string, password secrets.Value) filesFact {
	f, err := derived.NginxConf(derived.NginxInput{Password: password, NoIPv6: noIPv6(ob.Layout.Host("/proc/net/if_inet6"))})
	if err != nil {
		return filesFact{fault: &Fault{Class: ClassFailed, Action: Failed, Code: "derived", Text: err.Error()}}
	}
	file := path.Join(dir, "nginx.conf")
	have, rerr := ob.readFile(ctx, file)
	out := File{Name: "nginx.conf", Path: file, Content: f.Content, Have: have, Exists: rerr == nil, Mode: derived.FileMode}
	out.Cause = differenceCause(out, "differs from its template and secret")
	return filesFact{list: []File{out}, digest: f.Digest}
}

func noIPv6(file string) bool {
	_, err := os.Stat(file)
	return errors.Is(err, fs.ErrNotExist)
}

func differenceCause(f File, differs string) string {
	switch {
	case !f.Exists:
		return "is absent"
	case f.differs():
		return differs
	}
	return ""
}

// readFile reads directly where it may, else through podman's user namespace.
func (ob *observation) readFile(ctx context.Context, file string) ([]byte, error) {
	return readFile(ctx, ob.Mapped, ob.Layout.Host(file))
}

func readFile(ctx context.Context, mapped MappedReader, host string) ([]byte, error) {
	content, err := os.ReadFile(host)
	if errors.Is(err, fs.ErrPermission) && mapped != nil {
		return mapped.ReadFile(ctx, host)
	}
	return content, err
}

// holdsMapped is holds for a directory that may be a mapped user's. One that nobody can look into counts as full.
func (ob *observation) holdsMapped(ctx context.Context, dir string) bool {
	_, err := os.ReadDir(ob.Layout.Host(dir))
	if errors.Is(err, fs.ErrPermission) && ob.Mapped != nil {
		found, err := ob.Mapped.Holds(ctx, ob.Layout.Host(dir))
		return found || err != nil
	}
	return holds(ob.Layout.Host(dir))
}

// exists looks directly where it may, else through podman's user namespace.
func (ob *observation) exists(ctx context.Context, file string) bool {
	return exists(ctx, ob.Mapped, ob.Layout.Host(file))
}

func exists(ctx context.Context, mapped MappedReader, host string) bool {
	_, err := os.Stat(host)
	if errors.Is(err, fs.ErrPermission) && mapped != nil {
		found, err := mapped.Exists(ctx, host)
		return found && err == nil
	}
	return err == nil
}

func (ob *observation) isFile(path string) bool {
	info, err := os.Stat(ob.Layout.Host(path))
	return err == nil && !info.IsDir()
}

func isReadError(err error) bool { return err != nil && !errors.Is(err, fs.ErrNotExist) }

func unreadable(a *App, file string, err error) *Fault {
	return &Fault{Class: ClassFailed, Action: Failed, State: observedState(a), Code: "unreadable",
		Text: fmt.Sprintf("%s cannot be read: %v", file, err), Hint: "nothing was changed; check the owner and mode of the file and its directory"}
}

func unrendered(a *App, err error) *Fault {
	return &Fault{Class: ClassFailed, Action: Failed, State: observedState(a), Code: "derived", Text: err.Error()}
}

// pinned is what the record, or a migration that is about to be planned, takes over from an existing container.
func (ob *observation) pinned(a *App) spec.Pinned {
	var p state.Pinned
	image := ""
	if a.Record != nil {
		p, image = a.Record.Pinned, a.Record.Image
	}
	if a.Legacy() && a.Inspect != nil {
		p = a.Pins
	}
	p.Volumes = a.Elsewhere
	switch {
	case a.Legacy() && a.UpgradeBlocked != "":
		image = a.C.Image
	case a.Legacy(), a.Force && a.UpgradeBlocked == "":
		image = ""
	}
	image = ob.upgradeTo(a, image)
	out := spec.Pinned{Image: image, User: p.User, Env: p.Env}
	for _, e := range p.ExtraPorts {
		out.ExtraPorts = append(out.ExtraPorts, spec.Port{HostIP: e.HostIP, Host: e.Host, Container: e.Container, Protocol: e.Protocol})
	}
	for _, v := range append(slices.Clone(p.Volumes), ob.followed(a, p.Volumes)...) {
		out.Volumes = append(out.Volumes, spec.Mount{Type: "bind", Source: v.Source, Target: v.Target})
	}
	return out
}

// followed are the mounts in which the app reads other apps' directories, where these have them: fedimint-gateway finds LND's macaroon
// where LND writes it. What the app's own container had comes first.
func (ob *observation) followed(a *App, pinned []state.PinnedVolume) []state.PinnedVolume {
	reads := slices.DeleteFunc(slices.Clone(a.Manifest.Volumes), func(v manifest.Volume) bool {
		return !v.ReadOnly() || slices.ContainsFunc(pinned, func(p state.PinnedVolume) bool { return path.Clean(p.Target) == path.Clean(v.Target) })
	})
	if len(reads) == 0 {
		return nil
	}
	var list []state.PinnedVolume
	for _, id := range sortedKeys(ob.Set.Apps) {
		if want := ob.wants[id].Want; id != a.ID && (want == WantRunning || want == WantStopped) {
			list = append(list, moved(reads, ob.Set.Apps[id], ob.elsewhere(id))...)
		}
	}
	return list
}

// elsewhere are the targets for which an app's container has another source than its manifest, also of one that is not looked at yet.
func (ob *observation) elsewhere(id string) []state.PinnedVolume {
	if a := ob.w.app(id); a != nil {
		return a.Elsewhere
	}
	return ob.placed(ob.Set.Apps[id])
}

// moved are those of some mounts whose sources lie in a directory of an app which has that one elsewhere.
func moved(mounts []manifest.Volume, app *manifest.App, elsewhere []state.PinnedVolume) []state.PinnedVolume {
	var list []state.PinnedVolume
	for _, v := range mounts {
		for _, theirs := range app.Volumes {
			source := sourceOf(theirs, elsewhere)
			rest, in := strings.CutPrefix(path.Clean(v.Source)+"/", path.Clean(theirs.Source)+"/")
			if in && v.Type == manifest.Bind && theirs.Type == manifest.Bind && !theirs.ReadOnly() && source != theirs.Source {
				list = append(list, state.PinnedVolume{Source: path.Join(source, rest), Target: v.Target})
			}
		}
	}
	return list
}

// moves tells that this pass would move the app's adopted container to a unit.
func (ob *observation) moves(a *App) bool { return a.Force || ob.Options.Migrate || a.Upgrading }

// upgradeTo is the reference that the app shall have: the one that a command names, or that of an upgrade which was cut
// off after its unit had been written, or of a migration that was cut off.
func (ob *observation) upgradeTo(a *App, image string) string {
	if to, ok := ob.Options.Upgrade[a.ID]; ok {
		return to
	}
	if a.Record == nil || a.Record.Op == nil {
		return image
	}
	op := a.Record.Op
	if op.Kind == state.OpMigrate && (op.NewImage != "" || !a.Legacy()) {
		return op.NewImage
	}
	if op.Kind == state.OpReplace && !op.Rollback && op.NewImage != "" && a.specOnDisk() == op.NewHash {
		return op.NewImage
	}
	return image
}

// upgrade finds a newer reference in the manifest than the one the record pins, or an adopted container has. A migration takes it
// without being asked: none is told.
func (ob *observation) upgrade(a *App) {
	image, ran := a.Manifest.Container.Image, a.ran()
	if ran == "" || image == "" || ran == image {
		return
	}
	if !a.Legacy() {
		a.Upgrade = image
	}
	switch {
	case repository(ran) != repository(image):
		a.UpgradeBlocked = "another repository than " + ran
	case lowerVersion(image, ran):
		a.UpgradeBlocked = "a lower version than " + ran
	}
}

// ran is the image that last had the app's data, "" when that is not known.
func (a *App) ran() string {
	switch {
	case a.Legacy():
		return a.C.Image
	case a.Record != nil:
		return a.Record.Image
	}
	return ""
}
