package node

import (
	"fmt"
	"strings"
)

// VolumeError says that the directory for the data is not the node's data volume: most likely the disk is
// not mounted, and what were written there would be lost to sight (incident 17).
type VolumeError struct{ Dir, Reason string }

func (e *VolumeError) Error() string { return e.Dir + ": " + e.Reason }

// VolumeIDPath names the data volume; VolumeDrawn is added to it for a name that a first boot has drawn and not given
// to both sides yet.
const (
	VolumeIDPath = "/etc/archipelago/volume-id"
	VolumeDrawn  = ".drawn"
)

// VolumeMark is the file on the data volume that bears its name.
func (l Layout) VolumeMark() string { return l.Data(".archy-volume") }

// CheckVolume tells whether the data directory is what it should be. /etc/archipelago/volume-id names the
// volume and .archy-volume on it bears the same name; a node that has neither is new. A directory that
// fstab(5) mounts must be mounted. The error is a *VolumeError.
func CheckVolume(l Layout) error {
	if inMounts(l.Host("/etc/fstab"), l.DataDir) && !inMounts(l.Host("/proc/self/mounts"), l.DataDir) {
		return &VolumeError{l.DataDir, "not mounted, though /etc/fstab has it"}
	}
	want, have := text(l.Host(VolumeIDPath)), text(l.Host(l.VolumeMark()))
	if want == "" && have != "" {
		want = text(l.Host(VolumeIDPath + VolumeDrawn)) // a first boot was killed between the two files
	}
	switch {
	case want == have:
		return nil
	case have == "":
		return &VolumeError{l.DataDir, fmt.Sprintf("no data volume: /etc/archipelago/volume-id names %s, and %s is not there", want, l.Data(".archy-volume"))}
	case want == "":
		return &VolumeError{l.DataDir, fmt.Sprintf("volume %s of another node: /etc/archipelago/volume-id is not there", have)}
	}
	return &VolumeError{l.DataDir, fmt.Sprintf("volume %s, but /etc/archipelago/volume-id names %s", have, want)}
}

// inMounts tells whether a file in the form of fstab(5) has an entry for the directory.
func inMounts(path, dir string) bool {
	for line := range strings.Lines(text(path)) {
		f := strings.Fields(line)
		if len(f) >= 2 && !strings.HasPrefix(f[0], "#") && strings.ReplaceAll(f[1], `\040`, " ") == dir {
			return true
		}
	}
	return false
}
