//go:build !failpoints

package failpoint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// allowed are the files that may use what reaches the outside, with the limit that such a call has there. Everything else goes
// through them.
var allowed = map[string]map[string]string{
	"exec.CommandContext": {
		"internal/command/command.go": "Cmd.Limit, or the caller's context",
		"internal/firstboot/child.go": "the apps stage ends with its parent",
	},
	"exec.Command": {},
	"http.Client": {
		"internal/podman/client.go":        "each request has its limit",
		"internal/release/mirrors_http.go": "the caller's context",
		"internal/stage/stage.go":          "askLimit",
		"internal/update/probe.go":         "requestLimit",
		"internal/wallet/rest.go":          "the caller's context",
	},
	"http.Get": {}, "http.Post": {}, "http.Head": {}, "http.DefaultClient": {},
	"net.Dial":        {"internal/node/facts_read.go": "UDP: asks the routing table, sends nothing"},
	"net.DialTimeout": {"internal/doctor/rootless.go": "one second", "internal/firstboot/rootless.go": "one second", "internal/podman/heal/facts.go": "its limit is a parameter"},
	"godbus.Dial":     {"internal/systemd/manager.go": "Limits.Connect"},
}

// unlimited are the files whose commands have no limit of their own, and why.
var unlimited = map[string]string{
	"internal/applog/applog.go": "archy logs: its reader ends it, and may be a pager that keeps it waiting",
}

// signals are the files that may signal a process, and whose it is (incident 22: a doctor killed live conmon processes).
var signals = map[string]string{
	"internal/command/command.go": "the group of archy's own child",
	"internal/failpoint/on.go":    "archy itself, in binaries for tests",
	"internal/firstboot/child.go": "archy's own child",
	// Healing asks, and never with SIGKILL: a name server to read its file again, and with --stop-apps a payload to end.
	"internal/podman/heal/names.go": "podman's name server",
	"internal/podman/heal/rungs.go": "the first process of a container, when the owner asked for it",
}

// TestIncident19EveryCallHasALimit: no source but a few reaches the outside by itself, and each of these has a limit (incident 19).
func TestIncident19EveryCallHasALimit(t *testing.T) {
	seen := map[string]bool{}
	commands := 0
	eachSource(t, func(file string, tree *ast.File) {
		ast.Inspect(tree, func(n ast.Node) bool {
			name := selector(n)
			if lit, ok := n.(*ast.CompositeLit); ok {
				name = selector(lit.Type)
			} else if name == "http.Client" {
				name = "" // naming the type makes none
			}
			files, watched := allowed[name]
			if _, ok := files[file]; watched && !ok {
				t.Errorf("%s uses %s itself: let it go through internal/command, internal/podman or internal/systemd, or name its limit here", file, name)
			}
			seen[name] = seen[name] || watched
			if lit, ok := n.(*ast.CompositeLit); ok && selector(lit.Type) == "net.Dialer" && !hasField(lit, "Timeout") {
				t.Errorf("%s: a net.Dialer without a Timeout", file)
			}
			if lit, ok := n.(*ast.CompositeLit); ok && selector(lit.Type) == "command.Cmd" {
				commands++
				if !hasField(lit, "Limit") && unlimited[file] == "" {
					t.Errorf("%s: a command.Cmd without a Limit, for which zero means none", file)
				}
			}
			return true
		})
	})
	for name, files := range allowed {
		if len(files) > 0 && !seen[name] {
			t.Errorf("%s is used nowhere: this test sees nothing, or the list is old", name)
		}
	}
	if commands < 10 {
		t.Errorf("only %d commands found: this test sees nothing", commands)
	}
}

// TestIncident22NoForeignProcessIsKilled: archy signals nobody but processes that it has started, and those that healing names.
func TestIncident22NoForeignProcessIsKilled(t *testing.T) {
	found := 0
	eachSource(t, func(file string, tree *ast.File) {
		ast.Inspect(tree, func(n ast.Node) bool {
			name := selector(n)
			if name != "syscall.Kill" && name != "unix.Kill" && name != "unix.PidfdSendSignal" && !strings.HasSuffix(name, "Process.Kill") && !strings.HasSuffix(name, "Process.Signal") {
				return true
			}
			found++
			if signals[file] == "" {
				t.Errorf("%s signals a process with %s: whose is it?", file, name)
			}
			return true
		})
	})
	if found < 3 {
		t.Errorf("only %d signals found: this test sees nothing", found)
	}
}

// renames are the calls that put a file in its place or take it away.
var renames = []string{"os.Rename", "os.Remove", "os.RemoveAll", "os.Link", "os.Symlink", "unix.Rename", "unix.Renameat", "unix.Renameat2",
	"unix.Linkat", "unix.Symlinkat", "unix.Unlink", "unix.Unlinkat", "syscall.Rename", "syscall.Unlink"}

// pointless are the functions in which such a call is no point, and why it need not be one.
var pointless = map[string]string{
	"internal/firstboot/disk.go makeDir":           "the new directory before it has its name",
	"internal/firstboot/disk.go remove":            "a file that was never part of anything",
	"internal/firstboot/wireguard.go syncTunnel":   "a copy that wg was to take; the next one is written over it",
	"internal/firstboot/disk.go writeAt":           "the new file before it has its name",
	"internal/firstboot/tor.go applyTor":           "a copy that Tor was to check; the next one is written over it",
	"internal/metrics/metrics.go Write":            "the new file before it has its name",
	"internal/podman/writefile.go replaceFile":     "the new file before it has its name",
	"internal/podman/writefile.go removeLeftovers": "files that were never part of anything",
	"internal/reconcile/disk.go Context":           "a directory of archy's own below /tmp",
	"internal/reconcile/disk.go Sweep":             "files that were never part of anything",
	"internal/reconcile/disk_units.go TryUnit":     "a directory of archy's own below /tmp",
	"internal/release/create.go cleanup":           "makes a release, on no node",
	"internal/release/create.go partial":           "makes a release, on no node",
	"internal/release/create.go publish":           "makes a release, on no node",
	"internal/release/create.go removeManifest":    "makes a release, on no node",
	"internal/release/extract.go extract":          "the directory before it has its name",
	"internal/release/files.go writeNew":           "makes a release, on no node",
	"internal/release/keygen.go generate":          "makes a release, on no node",
	"internal/secrets/write.go place":              "the new file before it has its name",
	"internal/secrets/write.go removeTemps":        "files that were never part of anything",
	"internal/secrets/write.go writeTemp":          "the new file before it has its name",
	"internal/secrets/write.go create":             "the point is in place, which calls it",
	"internal/secrets/write.go replace":            "the point is in place, which calls it",
	"internal/state/full.go dropReserve":           "empty space; it is there to be given up when nothing else can be written",
	"internal/state/full.go setAside":              "empty space",
	"internal/update/disk.go Install":              "the new file before it has its name",
}

// TestEveryRenameIsAPoint: a file that matters gets its name, or loses it, only where a test can break archy off.
func TestEveryRenameIsAPoint(t *testing.T) {
	points, used := 0, map[string]bool{}
	eachSource(t, func(file string, tree *ast.File) {
		for _, d := range tree.Decls {
			where := file
			if f, ok := d.(*ast.FuncDecl); ok {
				where += " " + f.Name.Name
			}
			var look func(n ast.Node, point bool)
			look = func(n ast.Node, point bool) {
				ast.Inspect(n, func(n ast.Node) bool {
					if call, ok := n.(*ast.CallExpr); ok && selector(call.Fun) == "failpoint.Write" {
						for _, arg := range call.Args {
							look(arg, true)
						}
						return false
					}
					switch name := selector(n); {
					case !slices.Contains(renames, name):
					case point:
						points++
					case pointless[where] == "":
						t.Errorf("%s calls %s outside of failpoint.Write: make it a point, or say here why it is none", where, name)
					default:
						used[where] = true
					}
					return true
				})
			}
			look(d, false)
		}
	})
	for where := range pointless {
		if !used[where] {
			t.Errorf("%s is on the list and has no such call", where)
		}
	}
	if points < 10 {
		t.Errorf("only %d points found: this test sees nothing", points)
	}
}

// eachSource parses the sources of archy, without tests and fakes.
func eachSource(t *testing.T, use func(file string, tree *ast.File)) {
	t.Helper()
	root := filepath.Join("..", "..")
	for _, top := range []string{"internal", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() && (d.Name() == "testdata" || d.Name() == "podmantest" || d.Name() == "systemdtest") {
				if err == nil {
					err = fs.SkipDir
				}
				return err
			}
			if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			tree, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			file, err := filepath.Rel(root, path)
			use(filepath.ToSlash(file), tree)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// selector is a.b or x.a.b of an expression, else empty.
func selector(n ast.Node) string {
	s, ok := n.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	switch x := s.X.(type) {
	case *ast.Ident:
		return x.Name + "." + s.Sel.Name
	case *ast.SelectorExpr:
		return selector(x) + "." + s.Sel.Name
	}
	return ""
}

func hasField(lit *ast.CompositeLit, name string) bool {
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if id, ok := kv.Key.(*ast.Ident); ok && id.Name == name {
				return true
			}
		}
	}
	return false
}
