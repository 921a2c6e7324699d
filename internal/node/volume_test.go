package node

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCheckVolume(t *testing.T) {
	const id, mark = "etc/archipelago/volume-id", "var/lib/archipelago/.archy-volume"
	tests := map[string]struct {
		files map[string]string
		want  string
	}{
		"a new node": {nil, ""},
		"the volume": {map[string]string{id: "a-1\n", mark: "a-1"}, ""},
		"a bare mount point": {map[string]string{id: "a-1\n"},
			"/var/lib/archipelago: no data volume: /etc/archipelago/volume-id names a-1, and /var/lib/archipelago/.archy-volume is not there"},
		"another volume": {map[string]string{id: "a-1", mark: "b-2"},
			"/var/lib/archipelago: volume b-2, but /etc/archipelago/volume-id names a-1"},
		"another node": {map[string]string{mark: "b-2"},
			"/var/lib/archipelago: volume b-2 of another node: /etc/archipelago/volume-id is not there"},
		"a first boot was killed while it named the volume": {map[string]string{id + ".drawn": "a-1\n", mark: "a-1\n"}, ""},
		"a name was drawn, and the volume has another": {map[string]string{id + ".drawn": "a-1\n", mark: "b-2\n"},
			"/var/lib/archipelago: volume b-2, but /etc/archipelago/volume-id names a-1"},
		"fstab, not mounted": {map[string]string{
			"etc/fstab":        "# UUID=x /var/lib/other ext4\nUUID=x  /var/lib/archipelago\text4 defaults 0 2\n",
			"proc/self/mounts": "/dev/sda1 / ext4 rw 0 0\n",
		}, "/var/lib/archipelago: not mounted, though /etc/fstab has it"},
		"fstab with a slash behind it, not mounted": {map[string]string{"etc/fstab": "UUID=x /var/lib/archipelago/ ext4 nofail 0 2\n"},
			"/var/lib/archipelago: not mounted, though /etc/fstab has it"},
		"fstab with a slash behind it, mounted": {map[string]string{
			"etc/fstab":        "UUID=x /var/lib/archipelago/ ext4 nofail 0 2\n",
			"proc/self/mounts": "/dev/sdb1 /var/lib/archipelago ext4 rw 0 0\n",
		}, ""},
		"fstab, mounted": {map[string]string{
			"etc/fstab":        "UUID=x /var/lib/archipelago ext4 defaults 0 2\n",
			"proc/self/mounts": "/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 /var/lib/archipelago ext4 rw 0 0\n",
		}, ""},
		"read-only": {map[string]string{id: "a-1\n", mark: "a-1", "proc/self/mounts": "/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 /var/lib/archipelago ext4 ro,relatime,errors=remount-ro 0 0\n"},
			"/var/lib/archipelago: its file system is read-only: the kernel makes it so after an error of the disk"},
		"read-only, and mounted so by nobody": {map[string]string{"proc/self/mounts": "/dev/sda1 / ext4 rw,relatime,emergency_ro 0 0\n"},
			"/var/lib/archipelago: its file system is read-only: the kernel makes it so after an error of the disk"},
		"others are read-only": {map[string]string{
			"proc/self/mounts": "/dev/sda1 / ext4 ro 0 0\n/dev/sdb1 /var/lib ext4 ro 0 0\n/dev/sdb1 /var/lib ext4 rw 0 0\n/dev/sdc1 /var/lib/archipelago-2 ext4 ro 0 0\n"}, ""},
		"commented out in fstab": {map[string]string{"etc/fstab": "#UUID=x /var/lib/archipelago ext4\n"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := CheckVolume(machine(t, tt.files))
			var ve *VolumeError
			if tt.want == "" && err != nil || tt.want != "" && (!errors.As(err, &ve) || err.Error() != tt.want) {
				t.Errorf("\n got %v\nwant %s", err, tt.want)
			}
		})
	}
}

// What a person has to do is a command.
func TestHintOfABareMountPoint(t *testing.T) {
	e := VolumeError{Dir: "/srv/data", Reason: "no data volume"}
	if got := e.Hint(); !strings.Contains(got, "sudo mount /srv/data") || !strings.Contains(got, "nothing was written") {
		t.Error(got)
	}
}

// A disk that the kernel has made read-only can be read as before: whoever only looks may go on.
func TestReadOnlyVolume(t *testing.T) {
	defer func() { statfs = unix.Statfs }()
	l := machine(t, map[string]string{"var/x": ""})
	there := l.Host("/var") // a new machine has no data directory yet
	statfs = func(path string, st *unix.Statfs_t) error {
		if path != there {
			return unix.ENOENT
		}
		st.Flags = unix.ST_RDONLY | unix.ST_NOATIME
		return nil
	}
	var ve *VolumeError
	if err := CheckVolume(l); !errors.As(err, &ve) || !ve.ReadOnly || FindVolume(l) != nil {
		t.Errorf("%v, and to who only looks %v", err, FindVolume(l))
	}
	statfs = func(path string, _ *unix.Statfs_t) error {
		return &os.PathError{Op: "statfs", Path: path, Err: unix.EIO}
	}
	if err := CheckVolume(l); err != nil {
		t.Errorf("a file system that cannot be asked is said to be read-only: %v", err)
	}
}
