//go:build !failpoints

package failpoint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
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

// signals are the files that may signal a process, and whose it is (incident 22: a doctor killed live conmon processes).
var signals = map[string]string{
	"internal/command/command.go": "the group of archy's own child",
	"internal/failpoint/on.go":    "archy itself, in binaries for tests",
	"internal/firstboot/child.go": "archy's own child",
	// Healing asks, and never with SIGKILL: a name server to read its file again, and with --stop-apps a payload to end.
	"internal/podman/heal/names.go": "podman's name server",
	"internal/podman/heal/rungs.go": "the first process of a container, when the owner asked for it",
}

// TestEveryCallHasALimit: no source but a few reaches the outside by itself, and each of these has a limit (incident 19).
func TestEveryCallHasALimit(t *testing.T) {
	seen := map[string]bool{}
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
			return true
		})
	})
	for name, files := range allowed {
		if len(files) > 0 && !seen[name] {
			t.Errorf("%s is used nowhere: this test sees nothing, or the list is old", name)
		}
	}
}

// TestSignalsGoToOwnChildren: archy signals nobody but processes that it has started, and those that healing names.
func TestSignalsGoToOwnChildren(t *testing.T) {
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
