package firstboot

import (
	"os"
	"slices"
	"strconv"

	"git.tx1138.com/lfg2025/archy/internal/derived"
)

// Archival tells whether bitcoin keeps the whole chain with its index, or will on a node that has none yet: what is
// recorded counts first, then what an existing chain was made with, then disk and configuration.
func (h *Host) Archival() bool {
	if mode, known := h.chainMode(); known {
		return mode.Archival()
	}
	size, err := h.sizing()
	return err == nil && size.Mode().Archival()
}

// chainMode is the mode that is decided already, by the record or by the chain that there is.
func (h *Host) chainMode() (mode derived.Mode, known bool) {
	records, _ := h.State.ReadRecords()
	for _, id := range []string{"bitcoin-knots", "bitcoin-core"} {
		if r, ok := records[id]; ok && r.Pinned.Prune != nil && r.Pinned.TxIndex != nil {
			return derived.Mode{PruneMiB: int64(*r.Pinned.Prune), TxIndex: *r.Pinned.TxIndex}, true
		}
	}
	if h.hasData(h.Layout.Data("bitcoin/blocks")) {
		conf, _ := os.ReadFile(h.Layout.Host(h.Layout.Data("bitcoin/bitcoin.conf")))
		return derived.RunningMode(conf, nil).Mode, true
	}
	return derived.Mode{}, false
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
	return derived.Size(h.Facts.MemTotal, h.Facts.Cores, h.Facts.DataDisk, cfg)
}

// chain warns of what the machine's sizes make of a bitcoin that has no chain yet: later they change nothing any more.
func (h *Host) chain(p *Plan) {
	isBitcoin := func(id string) bool { return h.Set.Apps[id] != nil && h.Set.Apps[id].Ext("sizing") == "bitcoin" }
	if _, known := h.chainMode(); known || !slices.ContainsFunc(h.Chosen, isBitcoin) {
		return
	}
	size, err := h.sizing()
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
