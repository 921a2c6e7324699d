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
	records, _ := h.State.ReadRecords()
	for _, id := range []string{"bitcoin-knots", "bitcoin-core"} {
		if r, ok := records[id]; ok && r.Pinned.Prune != nil && r.Pinned.TxIndex != nil {
			return derived.Mode{PruneMiB: int64(*r.Pinned.Prune), TxIndex: *r.Pinned.TxIndex}.Archival()
		}
	}
	if h.hasData(h.Layout.Data("bitcoin/blocks")) {
		conf, _ := os.ReadFile(h.Layout.Host(h.Layout.Data("bitcoin/bitcoin.conf")))
		return derived.RunningMode(conf, nil).Archival()
	}
	var prune *int64
	if n, err := strconv.ParseInt(h.Config.Bitcoin.Prune, 10, 64); err == nil {
		prune = &n
	}
	size, err := derived.Size(h.Facts.MemTotal, h.Facts.Cores, h.Facts.DataDisk, derived.SizingConfig{PruneMiB: prune})
	return err == nil && size.Mode().Archival()
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
