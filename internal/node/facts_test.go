package node

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// machine lays out a directory with the given files and links, and returns the layout below it.
func machine(t *testing.T, files map[string]string) Layout {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		write := func() error { return os.WriteFile(path, []byte(text), 0o644) }
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			write = func() error { return os.Symlink(target, path) }
		}
		if err := write(); err != nil {
			t.Fatal(err)
		}
	}
	return NewLayout(root, Default(), DefaultUser("archipelago"))
}

func TestFacts(t *testing.T) {
	l := machine(t, map[string]string{
		"proc/meminfo":                    "MemTotal:       16318484 kB\nMemFree:         1 kB\n",
		"proc/sys/kernel/hostname":        "shelf.lan\n",
		"proc/sys/kernel/random/boot_id":  "3a1f7b0c-0000-4000-8000-000000000001\n",
		"sys/devices/system/cpu/online":   "0-3,6\n",
		"etc/localtime":                   "-> /usr/share/zoneinfo/Europe/Zurich",
		"etc/timezone":                    "Etc/Old\n",
		"etc/subuid":                      "other:1:2\narchipelago:200000:65536\narchipelago:400000:10\n",
		"etc/subgid":                      "1000:300000:70000\n",
		"var/lib/archipelago/bitcoin/x":   "",
		"sys/fs/cgroup/user.slice/unused": "",
		"sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/cgroup.controllers": "cpu memory\n",
	})
	got, err := ReadFacts(l, DefaultUser("archipelago"))
	if err != nil {
		t.Fatal(err)
	}
	if got.DataDisk <= 0 || got.DataFree <= 0 || got.DataFree > got.DataDisk {
		t.Errorf("disk %d free %d", got.DataDisk, got.DataFree)
	}
	got.DataDisk, got.DataFree, got.HostIP = 0, 0, ""
	want := Facts{
		MemTotal: 16318484 << 10, Cores: 5, HostMDNS: "shelf.local", TimeZone: "Europe/Zurich", UID: 1000, GID: 1000,
		SubUID: SubRange{200000, 65536}, SubGID: SubRange{300000, 70000},
		Delegated: Controllers{CPU: true, Memory: true}, BootID: "3a1f7b0c-0000-4000-8000-000000000001",
	}
	if got != want {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}

func TestFactsOfABareDirectory(t *testing.T) {
	got, err := ReadFacts(machine(t, nil), DefaultUser("archipelago"))
	if err == nil || !strings.Contains(err.Error(), "/proc/meminfo") {
		t.Errorf("missing memory must be said: %v", err)
	}
	if got.HostMDNS != "archipelago.local" || got.TimeZone != "UTC" || got.Cores < 1 || got.MemTotal != 0 ||
		got.SubUID != (SubRange{}) || got.Delegated != (Controllers{}) || got.DataFree <= 0 {
		t.Errorf("%+v", got)
	}
}

func TestFactsTimeZone(t *testing.T) {
	tests := []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{"etc/timezone": "Europe/Zurich\n"}, "Europe/Zurich"},
		{map[string]string{"etc/localtime": "-> ../usr/share/zoneinfo/America/Argentina/Ushuaia"}, "America/Argentina/Ushuaia"},
		{map[string]string{"etc/localtime": "TZif2", "etc/timezone": "Asia/Tokyo"}, "Asia/Tokyo"},
		{nil, "UTC"},
	}
	for _, tt := range tests {
		if got := timeZone(machine(t, tt.files)); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.files, got, tt.want)
		}
	}
}

func TestSubRangeIgnoresNonsense(t *testing.T) {
	l := machine(t, map[string]string{"etc/subuid": "archipelago:x:1\narchipelago:5\n\n# c\narchipelago:0:5\narchipelago:100000:65536"})
	if got := subRange(l.Host("/etc/subuid"), "archipelago", 1000); got != (SubRange{100000, 65536}) {
		t.Errorf("%+v", got)
	}
}

func TestLookupUser(t *testing.T) {
	l := machine(t, map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/bash\narchipelago:x:1001:1002:,,,:/home/archy:/bin/bash\nbad:x:a:b::/h:/s\n",
		"etc/group":  "sudo:x:27:me,archipelago\nplugdev:x:46:archipelago2\narchipelago:x:1002:\n",
	})
	u, err := LookupUser(l.Root, "archipelago")
	if err != nil || u.UID != 1001 || u.GID != 1002 || u.Home != "/home/archy" || !slices.Equal(u.Groups, []int{1002, 27}) {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := LookupUser(l.Root, "nobody"); !errors.Is(err, ErrNoUser) {
		t.Errorf("absent user: %v", err)
	}
	if _, err := LookupUser(l.Root, "bad"); err == nil || errors.Is(err, ErrNoUser) {
		t.Errorf("user without numbers: %v", err)
	}
	if got := NewLayout("/", Default(), u); got.Host("/etc") != "/etc" || got.RuntimeDir != "/run/user/1001" || got.UnitDir() != "/home/archy/.config/containers/systemd" {
		t.Errorf("%+v", got)
	}
}

func TestDelegatedFollowsTheUser(t *testing.T) {
	l := machine(t, map[string]string{
		"sys/fs/cgroup/user.slice/user-7.slice/user@7.service/cgroup.controllers": "cpuset cpu io memory pids\n",
	})
	if got := delegated(l, 7); got != (Controllers{true, true, true}) {
		t.Errorf("%+v", got)
	}
	if got := delegated(l, 1000); got != (Controllers{}) {
		t.Errorf("another user's controllers: %+v", got)
	}
}

func BenchmarkReadFacts(b *testing.B) {
	l := NewLayout("", Default(), DefaultUser("archipelago"))
	for b.Loop() {
		if _, err := ReadFacts(l, DefaultUser("archipelago")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoadConfig(b *testing.B) {
	path := filepath.Join(b.TempDir(), "archy.yaml")
	if err := os.WriteFile(path, []byte("reconcile: {interval: 1m}\nimages: {mirrors: [{location: a.example, layout: flat}]}\n"), 0o644); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := LoadConfig(path, nil); err != nil {
			b.Fatal(err)
		}
	}
}
