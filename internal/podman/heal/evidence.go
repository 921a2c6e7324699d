package heal

import (
	"regexp"
	"strings"
)

// sign is a text of podman 5.4.2 that proves a state.
type sign struct {
	state State
	text  *regexp.Regexp
}

// signs in the order in which they are asked: a disk that cannot be written to explains whatever else is said. The texts are in testdata, word for word.
var signs = []sign{
	{ReadOnly, regexp.MustCompile(`[Rr]ead-only file system`)},
	{DiskFull, regexp.MustCompile(`no space left on device|database or disk is full|disk quota exceeded`)}, // crun's "Disk quota exceeded" may be of the kernel's keyrings
	{BootID, regexp.MustCompile(`current system boot ID differs from cached boot ID`)},
	{DBCorrupt, regexp.MustCompile(`file is not a database|database disk image is malformed`)},
	{DBConfig, regexp.MustCompile(`database configuration mismatch|database .* does not match our`)},
	{StalePause, regexp.MustCompile(`invalid internal status, try resetting the pause process|cannot set user namespace`)},
	{SubUID, regexp.MustCompile(`cannot find UID/GID for user`)},
	{Namespace, regexp.MustCompile(`unshare: operation not permitted|newuidmap: |newgidmap: |cannot clone: Operation not permitted`)},
	{LocksExhausted, regexp.MustCompile(`allocation failed; exceeded num_locks`)},
	{LocksBroken, regexp.MustCompile(`podman system renumber|deadlock due to lock mismatch|failed to open \d+ locks in `)},
	{NameInStorage, regexp.MustCompile(`the container name .* is already in use by .*You have to remove that container to be able to reuse that name`)},
	{LostTrack, regexp.MustCompile(`Refreshing container .*: acquiring lock .* for container .*: file exists`)},
}

// pathsIn are the paths in quotes of a boot-id message.
var pathsIn = regexp.MustCompile(`"(/[^"]+)"`)

// Read finds what a text of podman proves. The second value is false when it proves nothing that is known.
func Read(text, source string) (Finding, bool) {
	for _, s := range signs {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); s.text.MatchString(line) {
				return Finding{State: s.state, Evidence: line, Source: source, Paths: named(s.state, line)}, true
			}
		}
	}
	return Finding{}, false
}

// named are the directories that the message of a boot id names, and no others may be renamed.
func named(state State, line string) []string {
	if state != BootID {
		return nil
	}
	var paths []string
	for _, m := range pathsIn.FindAllStringSubmatch(line, -1) {
		paths = append(paths, m[1])
	}
	return paths
}

// errorLine is the last thing that a program said: its error.
func errorLine(text string) string {
	last := ""
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			last = line
		}
	}
	return last
}
