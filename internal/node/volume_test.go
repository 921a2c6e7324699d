package node

import (
	"errors"
	"testing"
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
		"fstab, mounted": {map[string]string{
			"etc/fstab":        "UUID=x /var/lib/archipelago ext4 defaults 0 2\n",
			"proc/self/mounts": "/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 /var/lib/archipelago ext4 rw 0 0\n",
		}, ""},
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
