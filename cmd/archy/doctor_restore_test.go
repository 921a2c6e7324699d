package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/node"
)

// TestWhatLivesBeforeARestore: the monitor of a command in a container stays for minutes when the container is gone, and is none that lives; what goes on
// without its monitor lives.
func TestWhatLivesBeforeARestore(t *testing.T) {
	root, uid := t.TempDir(), os.Getuid()
	process := func(pid int, cgroup string, args ...string) {
		dir := filepath.Join(root, "proc", strconv.Itoa(pid))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"cmdline": strings.Join(args, "\x00") + "\x00", "cgroup": "0::" + cgroup + "\n"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	process(100, "", "/usr/bin/conmon", "-c", strings.Repeat("a", 64), "-n", "lnd")
	process(200, "", "/usr/bin/conmon", "-c", strings.Repeat("b", 64), "-n", "gone", "--exec-process-spec", "/x")
	process(300, "/user.slice/user-"+strconv.Itoa(uid)+".slice/user@1000.service/app.slice/db.service/libpod-payload-"+strings.Repeat("c", 64), "postgres")
	e := &examiner{env: &env{Layout: node.Layout{Root: root}, User: node.User{UID: uid}}}
	if got, want := e.liveContainers(), []string{"container cccccccccccc", "lnd"}; !slices.Equal(got, want) {
		t.Errorf("%q live, want %q", got, want)
	}
}
