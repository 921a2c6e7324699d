package spec

import (
	"strconv"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/node"
)

// The numbers that manifests are written for: the service user and the start of its subordinate ids.
const (
	usualUID     = 1000
	usualSubID   = 100000
	usualSubSize = 65536
)

// HostOwner is the owner, in host numbers, of a directory that is made for an app with that data_uid. The manifest
// has the numbers of the usual service user (1000) and the usual subordinate range (100000:65536); they are shifted
// to the node's. Without a data_uid the service user is the owner.
func HostOwner(dataUID string, f node.Facts) (uid, gid int) {
	u, g, _ := strings.Cut(dataUID, ":")
	return hostID(u, f.UID, f.SubUID), hostID(g, f.GID, f.SubGID)
}

func hostID(text string, service int, sub node.SubRange) int {
	id, err := strconv.Atoi(text)
	switch {
	case err != nil, id == usualUID:
		return service
	case id >= usualSubID && id < usualSubID+usualSubSize && sub.Start > 0:
		return id - usualSubID + sub.Start
	}
	return id
}

// UserInside is the user inside the containers that uid of the host is; ok is false for one that they cannot have.
func UserInside(uid int, f node.Facts) (n int, ok bool) { return inside(uid, f.UID, f.SubUID) }

// GroupInside is the same of a group.
func GroupInside(gid int, f node.Facts) (n int, ok bool) { return inside(gid, f.GID, f.SubGID) }

func inside(id, service int, sub node.SubRange) (n int, ok bool) {
	if id == service {
		return 0, true
	}
	return id - sub.Start + 1, id >= sub.Start && id < sub.Start+sub.Count
}
