package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// User is an account of the node.
type User struct {
	Name     string
	UID, GID int
	Home     string
	// Groups are the ids of all its groups, GID included.
	Groups []int
}

// ErrNoUser says that an account does not exist.
var ErrNoUser = errors.New("no such user")

// DefaultUser is the service user as the installer makes it; for a root directory without accounts yet.
func DefaultUser(name string) User {
	return User{Name: name, UID: 1000, GID: 1000, Home: "/home/" + name, Groups: []int{1000}}
}

// LookupUser reads an account from etc/passwd and etc/group below root. The files are read
// directly, because the program is static and accounts of a directory are asked for too. An absent
// account is ErrNoUser.
func LookupUser(root, name string) (User, error) {
	for _, f := range colonLines(filepath.Join("/", root, "etc/passwd")) {
		if len(f) < 6 || f[0] != name {
			continue
		}
		uid, err1 := strconv.Atoi(f[2])
		gid, err2 := strconv.Atoi(f[3])
		if err1 != nil || err2 != nil {
			return User{}, fmt.Errorf("/etc/passwd: the line of %s has no numbers for uid and gid", name)
		}
		return User{Name: name, UID: uid, GID: gid, Home: f[5], Groups: groups(root, name, gid)}, nil
	}
	return User{}, fmt.Errorf("%w: %s is not in %s", ErrNoUser, name, filepath.Join("/", root, "etc/passwd"))
}

func groups(root, name string, primary int) []int {
	ids := []int{primary}
	for _, f := range colonLines(filepath.Join("/", root, "etc/group")) {
		if len(f) < 4 || !slices.Contains(strings.Split(f[3], ","), name) {
			continue
		}
		if id, err := strconv.Atoi(f[2]); err == nil && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// colonLines splits a file such as passwd(5); an absent file has no lines.
func colonLines(path string) [][]string {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var lines [][]string
	for line := range strings.Lines(string(data)) {
		lines = append(lines, strings.Split(strings.TrimSpace(line), ":"))
	}
	return lines
}
