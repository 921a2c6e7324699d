package firstboot

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"git.tx1138.com/lfg2025/archy/internal/derived"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// Archival tells whether bitcoin keeps the whole chain with its index, or will on a node that has none yet.
func (h *Host) Archival() bool {
	size, err := h.sizing()
	mode, decided := h.chain().Mode(size.Mode())
	return (decided || err == nil) && mode.Archival()
}

// chain is what the node shows of its chain, as reconcile sees it too.
func (h *Host) chain() derived.Chain {
	b := h.bitcoin()
	if r := b.record; r.Pinned.Prune != nil && r.Pinned.TxIndex != nil {
		return derived.Chain{Prune: r.Pinned.Prune, TxIndex: r.Pinned.TxIndex}
	}
	c := derived.Chain{Args: b.args}
	c.Conf, _ = os.ReadFile(h.Layout.Host(filepath.Join(b.dir, "bitcoin.conf")))
	c.Blocks = h.hasData(filepath.Join(b.dir, "blocks"))
	return c
}

// bitcoin is what is known of the bitcoin that has the chain.
type bitcoin struct {
	record state.Record
	args   []string
	// dir is where its data lie.
	dir string
}

// bitcoin finds it. Podman cannot be asked yet: what the containers were made of is read in its storage. Without a container, the record says
// where the data lie of the one that was installed last.
func (h *Host) bitcoin() bitcoin {
	b, ids := bitcoin{dir: h.Layout.Data("bitcoin")}, []string{"bitcoin-knots", "bitcoin-core"}
	var made madeOf
	for _, id := range ids {
		app, known := h.Set.Apps[id]
		if !known {
			continue
		}
		var found bool
		if made, found = h.madeOf(app.Unit()); found {
			ids, b.args = []string{id}, append([]string{}, made.Process.Args...)
			break
		}
	}
	records, _ := h.State.ReadRecords()
	b.record, _ = state.Latest(records, ids)
	for _, id := range ids {
		app, known := h.Set.Apps[id]
		if !known || len(app.Volumes) == 0 {
			continue
		}
		for _, p := range b.record.Pinned.Volumes {
			if b.record.App == id && p.Target == app.Volumes[0].Target {
				b.dir = p.Source
			}
		}
		if len(ids) == 1 {
			b.dir = made.source(app, b.dir)
		}
	}
	return b
}

// madeOf is what a container was made of when it was started last: config.json of the OCI runtime.
type madeOf struct {
	Process struct {
		Args []string `json:"args"`
	} `json:"process"`
	Mounts []struct {
		Source string `json:"source"`
		Target string `json:"destination"`
	} `json:"mounts"`
}

func (h *Host) madeOf(container string) (made madeOf, found bool) {
	for _, c := range h.stored() {
		if !slices.Contains(c.Names, container) {
			continue
		}
		text, err := os.ReadFile(h.Layout.Host(filepath.Join(Graphroot(h.Layout), "overlay-containers", c.ID, "userdata/config.json")))
		if err == nil {
			err = json.Unmarshal(text, &made)
		}
		return made, err == nil
	}
	return made, false
}

// source is where the container has the app's first directory, the given one when it does not say.
func (m madeOf) source(app *manifest.App, dir string) string {
	for _, mount := range m.Mounts {
		if len(app.Volumes) > 0 && mount.Target == app.Volumes[0].Target {
			return mount.Source
		}
	}
	return dir
}

// sizing is what disk, memory and configuration come to.
func (h *Host) sizing() (derived.Sizing, error) {
	var cfg derived.SizingConfig
	if n, err := strconv.ParseInt(h.Config.Bitcoin.Prune, 10, 64); err == nil {
		cfg.PruneMiB = &n
	}
	if n, err := strconv.ParseInt(h.Config.Bitcoin.DBCacheMiB, 10, 64); err == nil {
		cfg.DBCacheMiB = n
	}
	return derived.Size(h.Facts.MemTotal, h.Facts.Cores, h.Disk(), cfg)
}

// Disk is the size of the file system that the chain lies on, in bytes.
func (h *Host) Disk() int64 {
	if dir := h.bitcoin().dir; dir != h.Layout.Data("bitcoin") {
		if size, err := node.DiskSize(h.Layout.Host(dir)); err == nil {
			return size
		}
	}
	return h.Facts.DataDisk
}

// warnOfSize warns of what the machine's sizes make of a bitcoin that has no chain yet: later they change nothing any more.
func (h *Host) warnOfSize(p *Plan) {
	isBitcoin := func(id string) bool { return h.Set.Apps[id] != nil && h.Set.Apps[id].Ext("sizing") == "bitcoin" }
	size, err := h.sizing()
	if _, decided := h.chain().Mode(size.Mode()); decided || !slices.ContainsFunc(h.Chosen, isBitcoin) {
		return
	}
	if err != nil {
		p.warn("%v", err)
	}
	for _, w := range size.Warnings {
		p.warn("%s", w)
	}
}

// Present tells that an app is on the node, by its record or its container.
func (h *Host) Present(id string) bool {
	records, _ := h.State.ReadRecords()
	if r, ok := records[id]; ok {
		return r.Installed
	}
	app, ok := h.Set.Apps[id]
	return ok && slices.Contains(h.containerNames(), app.Unit())
}

// Removed tells that the owner removed an app.
func (h *Host) Removed(id string) bool {
	records, _ := h.State.ReadRecords()
	r, ok := records[id]
	return ok && !r.Installed && !r.RemovedAt.IsZero()
}

// installed are the apps that are on the node by their records, sorted.
func (h *Host) installed() (ids []string) {
	records, _ := h.State.ReadRecords()
	for id, r := range records {
		if _, known := h.Set.Apps[id]; known && r.Installed {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// unread are the apps of which cannot be told what they are to have: their records cannot be read, or they are on the node and their manifests
// are broken or gone.
func (h *Host) unread() (ids []string) {
	records, problems := h.State.ReadRecords()
	for id, r := range records {
		if _, known := h.Set.Apps[id]; !known && r.Installed {
			ids = append(ids, id)
		}
	}
	for _, p := range problems {
		ids = append(ids, p.App)
	}
	return ids
}
