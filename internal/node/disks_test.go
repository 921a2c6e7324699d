package node

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestDisksOf(t *testing.T) {
	const root = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 21 0:5 / /proc rw - proc proc rw\n"
	const data = "/var/lib/archipelago"
	at := func(device, point string) string { return "30 21 " + device + " / " + point + " rw - ext4 /dev/x rw\n" }
	tests := map[string]struct {
		mounts string
		links  map[string]string
		dir    string
		want   []string
	}{
		"the root's own":                      {mounts: root, dir: data + "/lnd"},
		"the data volume":                     {mounts: root + at("8:17", data), dir: data + "/lnd"},
		"a bind of the data volume":           {mounts: root + at("8:17", data) + at("8:17", data+"/lnd"), dir: data + "/lnd"},
		"a node in a box":                     {mounts: "21 1 0:60 / / rw - overlay overlay rw\n" + at("8:1", data) + at("8:1", "/etc/hosts"), dir: data + "/lnd"},
		"a mount point itself":                {mounts: root + at("8:17", data+"/lnd"), dir: data + "/lnd", want: []string{data + "/lnd"}},
		"below a mount point":                 {mounts: root + at("8:17", "/mnt/disk"), dir: "/mnt/disk/old/lnd", want: []string{"/mnt/disk"}},
		"a name that begins alike":            {mounts: root + at("8:17", "/mnt/disk"), dir: "/mnt/disk2/lnd"},
		"a disk in it":                        {mounts: root + at("8:17", data+"/lnd/data"), dir: data + "/lnd", want: []string{data + "/lnd/data"}},
		"a disk on a disk":                    {mounts: root + at("8:17", "/mnt/disk") + at("8:33", "/mnt/disk/lnd"), dir: "/mnt/disk/lnd", want: []string{"/mnt/disk/lnd"}},
		"beside a disk":                       {mounts: root + at("8:17", "/mnt/disk"), dir: data + "/lnd"},
		"a link":                              {mounts: root + at("8:17", "/mnt/disk"), links: map[string]string{data + "/lnd": "/mnt/disk/lnd"}, dir: data + "/lnd", want: []string{"/mnt/disk"}},
		"a link from a link":                  {mounts: root + at("8:17", "/mnt/disk"), links: map[string]string{data + "/lnd": "../there", "/var/lib/there": "/mnt/disk"}, dir: data + "/lnd", want: []string{"/mnt/disk"}},
		"mounted on demand, not yet":          {mounts: root + "31 21 0:40 / /mnt/disk rw - autofs systemd-1 rw\n", dir: "/mnt/disk/lnd", want: []string{"/mnt/disk"}},
		"mounted on demand":                   {mounts: root + "31 21 0:40 / /mnt/disk rw - autofs systemd-1 rw\n" + at("8:17", "/mnt/disk"), dir: "/mnt/disk/lnd", want: []string{"/mnt/disk"}},
		"a service with a mount namespace":    {mounts: root + at("8:17", "/mnt/disk") + at("8:17", "/mnt/disk/old/lnd") + at("8:1", "/mnt"), dir: "/mnt/disk/old/lnd", want: []string{"/mnt/disk"}},
		"ProtectHome= and the like":           {mounts: root + at("8:1", "/home"), dir: "/home/x/lnd"},
		"a name with a space":                 {mounts: root + at("8:17", `/mnt/My\040Disk`), dir: "/mnt/My Disk/lnd", want: []string{"/mnt/My Disk"}},
		"a name that no unit can bear":        {mounts: root + at("8:17", `/mnt/a\134b`), dir: `/mnt/a\134b/lnd`},
		"the directory is not there (absent)": {mounts: root + at("8:17", "/mnt/disk"), dir: "/mnt/disk/absent"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := machine(t, map[string]string{"proc/self/mountinfo": tt.mounts})
			for link, target := range tt.links {
				must(t, os.MkdirAll(filepath.Dir(l.Host(link)), 0o755))
				must(t, os.Symlink(target, l.Host(link)))
			}
			d := ReadDisks(l)
			if filepath.Base(tt.dir) != "absent" {
				must(t, os.MkdirAll(l.Host(d.resolve(tt.dir)), 0o755))
			}
			for _, m := range d.list {
				must(t, os.MkdirAll(l.Host(m.at), 0o755))
			}
			got := d.Of(tt.dir)
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			for _, point := range got {
				if !d.Mounted(point) || !d.Lies(tt.dir, point) {
					t.Errorf("%s: mounted %v, lies there %v", point, d.Mounted(point), d.Lies(tt.dir, point))
				}
			}
		})
	}
}

// A link leads to where a disk is to be mounted also while it is not.
func TestADirectoryOfADiskThatIsAway(t *testing.T) {
	l := machine(t, nil)
	must(t, os.MkdirAll(l.Host("/var/lib/archipelago"), 0o755))
	must(t, os.Symlink("/mnt/disk/lnd", l.Host("/var/lib/archipelago/lnd")))
	must(t, os.Symlink("loop", l.Host("/var/lib/archipelago/loop")))
	d := ReadDisks(l)
	if !d.Lies("/var/lib/archipelago/lnd", "/mnt/disk") || d.Lies("/var/lib/archipelago/loop", "/mnt/disk") || d.Mounted("/mnt/disk") {
		t.Error("the disk is not seen to be missing")
	}
}

// A disk that is to be mounted is missed also by who never saw it, unless something lies in its place.
func TestDisksThatAreDue(t *testing.T) {
	const data = "/var/lib/archipelago"
	const root = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
	tests := map[string]struct {
		files map[string]string
		dir   string
		want  []string
	}{
		"nothing is said":        {dir: data + "/lnd"},
		"in fstab":               {map[string]string{"etc/fstab": "UUID=a / ext4 rw\nUUID=b\t" + data + "/lnd ext4 nofail 0 2\n"}, data + "/lnd", []string{data + "/lnd"}},
		"a comment":              {map[string]string{"etc/fstab": "# UUID=b " + data + "/lnd ext4\nUUID=c none swap\n"}, data + "/lnd", nil},
		"above it":               {map[string]string{"etc/fstab": "UUID=b " + data + "/big/ ext4\n"}, data + "/big/lnd", []string{data + "/big"}},
		"in it":                  {map[string]string{"etc/fstab": "UUID=b " + data + "/lnd/data ext4\n"}, data + "/lnd", []string{data + "/lnd/data"}},
		"elsewhere":              {map[string]string{"etc/fstab": "UUID=b /mnt/My\\040Disk ext4\n"}, "/mnt/My Disk/lnd", []string{"/mnt/My Disk"}},
		"another one":            {map[string]string{"etc/fstab": "UUID=b " + data + "/lnd2 ext4\n"}, data + "/lnd", nil},
		"the data volume":        {map[string]string{"etc/fstab": "UUID=b " + data + " ext4\nUUID=c /var ext4\n"}, data + "/lnd", nil},
		"in a unit":              {map[string]string{"etc/systemd/system/x.mount": "[Mount]\nWhat=/dev/sdb\nWhere=" + data + "/lnd\n"}, data + "/lnd", []string{data + "/lnd"}},
		"in both":                {map[string]string{"etc/fstab": "/dev/sdb " + data + "/lnd\n", "run/systemd/system/x.mount": "Where=" + data + "/lnd\n"}, data + "/lnd", []string{data + "/lnd"}},
		"mounted":                {map[string]string{"etc/fstab": "/dev/sdb " + data + "/lnd\n", "proc/self/mountinfo": root + "30 21 8:17 / " + data + "/lnd rw - ext4 /dev/x rw\n"}, data + "/lnd", nil},
		"a bind that is not":     {map[string]string{"etc/fstab": "/mnt/disk/lnd " + data + "/lnd none bind\n"}, data + "/lnd", []string{data + "/lnd"}},
		"data in its place":      {map[string]string{"etc/fstab": "/dev/sdb " + data + "/lnd\n", data + "/lnd/wallet": "x"}, data + "/lnd", nil},
		"beside what lies there": {map[string]string{"etc/fstab": "/dev/sdb " + data + "/big\n", data + "/big/other/x": "x"}, data + "/big/lnd", []string{data + "/big"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := ReadDisks(machine(t, tt.files)).Due(tt.dir); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
