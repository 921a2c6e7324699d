package heal

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Incident 22: the doctor of old killed live conmon processes. Nothing in the program signals a process that it has not started itself, except
// here: the first process of a legacy container on the operator's explicit wish, and podman's name server, told to read its files.
func TestNoForeignProcessIsSignalled(t *testing.T) {
	allowed := map[string]string{
		"internal/command/command.go":   "its own children",
		"internal/podman/heal/rungs.go": "SIGTERM to a payload, with --stop-apps",
		"internal/podman/heal/names.go": "SIGHUP to aardvark-dns",
		"internal/firstboot/child.go":   "its own child",
	}
	root := "../../.."
	for _, dir := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			name, _ := filepath.Rel(root, path)
			for _, call := range signals(t, path) {
				if allowed[name] == "" {
					t.Errorf("%s: %s", name, call)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// signals are the calls in a file that send a signal, in process or by a program.
func signals(t *testing.T, path string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && (x.Name == "syscall" || x.Name == "unix") && strings.Contains("Kill Tgkill PidfdSendSignal", n.Sel.Name) && n.Sel.Name != "" {
				found = append(found, x.Name+"."+n.Sel.Name)
			}
			if n.Sel.Name == "FindProcess" {
				found = append(found, "FindProcess")
			}
		case *ast.BasicLit:
			if word := strings.Trim(n.Value, "`\""); word == "kill" || word == "pkill" || word == "killall" {
				found = append(found, "runs "+word)
			}
		}
		return true
	})
	return found
}
