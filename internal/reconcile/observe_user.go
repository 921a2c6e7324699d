package reconcile

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/spec"
)

// userFollowsData gives an app whose directory belongs to another user than its own that user: nobody changes the owner of data
// that are there, and as itself the app could not open them. An app that has been up keeps the user that it has.
func (ob *observation) userFollowsData(a *App, c *spec.Container) {
	up := false
	if r := a.Record; r != nil {
		a.Pins.User, up = r.Pinned.User, r.SpecHash != ""
	}
	if up && a.Pins.User == "" {
		return
	}
	dir, info := ob.firstData(c)
	uid, _ := spec.HostOwner(a.Manifest.Container.DataUID, ob.Facts)
	if up && info != nil && !ob.notYetGiven(dir, info, uid) {
		return
	}
	user, group := runsAs(a.Manifest, ob.Facts)
	follows := *c
	follows.User = a.Manifest.Security.User
	if user > 0 && info != nil && ob.directoryFault(dir, uid) == "" {
		have, _ := ownerIDs(info)
		if n, ok := spec.UserInside(have, ob.Facts); ok && n != user {
			follows.User = strconv.Itoa(n) + group
		}
	}
	if a.Managed() && a.C.Labels[spec.LabelSpecHash] != follows.Hash() {
		return // it was made with another user, and somebody has seen it run
	}
	*c, a.Pins.User = follows, ""
	if c.User != a.Manifest.Security.User {
		a.Pins.User = c.User
	}
}

// firstData is the first directory of the app's own that is there; info is nil without one.
func (ob *observation) firstData(c *spec.Container) (dir string, info os.FileInfo) {
	for _, m := range c.Mounts {
		if !m.Own || m.File || m.Type != "bind" {
			continue
		}
		if info, err := os.Stat(ob.Layout.Host(m.Source)); err == nil && info.IsDir() {
			return m.Source, info
		}
	}
	return "", nil
}

// runsAs is the user inside the container, 0 for root or when the manifest does not tell, and ":gid" when it does. An image
// that may not become somebody else runs from the start as whom its data are for.
func runsAs(m *manifest.App, f node.Facts) (user int, group string) {
	if uid, gid, ok := strings.Cut(m.Security.User, ":"); uid != "" {
		user, _ = strconv.Atoi(uid)
		if ok {
			group = ":" + gid
		}
		return user, group
	}
	if m.Container.DataUID == "" || slices.ContainsFunc(m.Security.Capabilities, func(c string) bool { return strings.HasSuffix(strings.ToUpper(c), "SETUID") }) {
		return 0, ""
	}
	uid, gid := spec.HostOwner(m.Container.DataUID, f)
	user, ok := spec.UserInside(uid, f)
	if !ok {
		return 0, ""
	}
	if n, ok := spec.GroupInside(gid, f); ok {
		group = ":" + strconv.Itoa(n)
	}
	return user, group
}

// pinUser keeps the user that was found with the data.
func (c *change) pinUser() { c.record.Pinned.User = c.Pins.User }
