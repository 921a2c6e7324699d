package node

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// VolumeError says that the directory for the data is not the node's data volume: most likely the disk is
// not mounted, and what were written there would be lost to sight (incident 17). Or that it is, and takes no writes.
type VolumeError struct {
	Dir, Reason string
	// ReadOnly tells that the volume is there and can be read.
	ReadOnly bool
}

func (e *VolumeError) Error() string { return e.Dir + ": " + e.Reason }

// Hint is what the operator can do next.
func (e *VolumeError) Hint() string {
	if !e.ReadOnly {
		return "mount it (sudo mount " + e.Dir + "), then try again; nothing was written, and the apps stay as they are"
	}
	return "sudo journalctl -k says why; let fsck check the disk (where fstab asks for it, a reboot does), then sudo mount -o remount,rw $(findmnt -nT " +
		e.Dir + " -o TARGET); nothing was written. Called from a unit with ProtectSystem=, archy needs ReadWritePaths=" + e.Dir + " there"
}

// VolumeIDPath names the data volume; VolumeDrawn is added to it for a name that a first boot has drawn and not given
// to both sides yet.
const (
	VolumeIDPath = "/etc/archipelago/volume-id"
	VolumeDrawn  = ".drawn"
)

// VolumeMark is the file on the data volume that bears its name.
func (l Layout) VolumeMark() string { return l.Data(".archy-volume") }

// CheckVolume tells whether the data directory is what it should be, and can be written to. The error is a *VolumeError.
func CheckVolume(l Layout) error {
	if err := FindVolume(l); err != nil {
		return err
	}
	if ReadOnly(l) {
		return &VolumeError{l.DataDir, "its file system is read-only: the kernel makes it so after an error of the disk", true}
	}
	return nil
}

// FindVolume is CheckVolume for those who only read. /etc/archipelago/volume-id names the volume and .archy-volume on it
// bears the same name; a node that has neither is new. A directory that fstab(5) mounts must be mounted.
func FindVolume(l Layout) error {
	if inMounts(l.Host("/etc/fstab"), l.DataDir) && !inMounts(l.Host("/proc/self/mounts"), l.DataDir) {
		return &VolumeError{Dir: l.DataDir, Reason: "not mounted, though /etc/fstab has it"}
	}
	want, have := text(l.Host(VolumeIDPath)), text(l.Host(l.VolumeMark()))
	if want == "" && have != "" {
		want = text(l.Host(VolumeIDPath + VolumeDrawn)) // a first boot was killed between the two files
	}
	switch {
	case want == have:
		return nil
	case have == "":
		return &VolumeError{Dir: l.DataDir, Reason: fmt.Sprintf("no data volume: /etc/archipelago/volume-id names %s, and %s is not there", want, l.Data(".archy-volume"))}
	case want == "":
		return &VolumeError{Dir: l.DataDir, Reason: fmt.Sprintf("volume %s of another node: /etc/archipelago/volume-id is not there", have)}
	}
	return &VolumeError{Dir: l.DataDir, Reason: fmt.Sprintf("volume %s, but /etc/archipelago/volume-id names %s", have, want)}
}

// statfs is statfs(2).
var statfs = unix.Statfs

// ReadOnly tells that the file system of the data directory takes no writes. After an error of the disk the kernel mounts it read-only;
// ext4 of newer kernels leaves it mounted as it is and says "emergency_ro" among its options.
func ReadOnly(l Layout) bool {
	st, err := fileSystem(l.Host(l.DataDir))
	options := mountOptions(l.Host("/proc/self/mounts"), l.DataDir)
	return err == nil && st.Flags&unix.ST_RDONLY != 0 || slices.Contains(options, "ro") || slices.Contains(options, "emergency_ro")
}

// mountOptions are those of the mount that a directory lies on, by a file in the form of fstab(5). What is mounted later lies above.
func mountOptions(path, dir string) (options []string) {
	on := ""
	for line := range strings.Lines(text(path)) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		at := strings.TrimSuffix(mountPoint(f[1]), "/")
		if (dir == at || strings.HasPrefix(dir, at+"/")) && len(at) >= len(on) {
			on, options = at, strings.Split(f[3], ",")
		}
	}
	return options
}

// mountPoint is the second field as a clean path: systemd mounts what is written with a slash behind it, too.
func mountPoint(field string) string { return filepath.Clean(strings.ReplaceAll(field, `\040`, " ")) }

// inMounts tells whether a file in the form of fstab(5) has an entry for the directory.
func inMounts(path, dir string) bool {
	for line := range strings.Lines(text(path)) {
		f := strings.Fields(line)
		if len(f) >= 2 && !strings.HasPrefix(f[0], "#") && mountPoint(f[1]) == dir {
			return true
		}
	}
	return false
}
