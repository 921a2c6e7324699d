package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

const scripts = "../../testdata/script"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "internal" {
		main() // archy starts itself in podman's user namespace: in a node that is this program
	}
	testscript.Main(m, map[string]func(){"archy": main})
}

// TestScripts runs testdata/script/*.txtar, each at two umasks: what archy writes must not depend on it.
// $NODE is the root of a node whose service user is who runs the tests.
func TestScripts(t *testing.T) {
	for _, umask := range []int{0o022, 0o002} {
		t.Run(fmt.Sprintf("umask%03o", umask), func(t *testing.T) {
			defer syscall.Umask(syscall.Umask(umask))
			testscript.Run(t, testscript.Params{
				Dir:                 scripts,
				Setup:               setupScript,
				RequireExplicitExec: true,
				RequireUniqueNames:  true,
				UpdateScripts:       os.Getenv("ARCHY_TEST_UPDATE") != "",
				Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
					"exitcode": cmdExitcode,
					"mode":     cmdMode,
					"nothing":  cmdNothing,
					"scrub":    cmdScrub,
				},
			})
		})
	}
}

// TestATerminalThatIsGone: an SSH session that breaks off ends archy in order, as ^C does, and does not kill it for saying so twice.
func TestATerminalThatIsGone(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) { // the tests run under nohup, which archy would heed
		heard := make(chan os.Signal, 1)
		signal.Notify(heard, syscall.SIGHUP)
		signal.Stop(heard)
	}
	ctx := untilAsked(t.Context())
	for range 2 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
			t.Fatal("SIGHUP asks for no end")
		}
		time.Sleep(50 * time.Millisecond) // the second one too is there by then
	}
}

// TestUnderNohup: a terminal that is gone ends nothing that was started to outlive it.
func TestUnderNohup(t *testing.T) {
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	ctx := untilAsked(t.Context())
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ctx.Done():
		t.Error("SIGHUP ends it")
	case <-time.After(100 * time.Millisecond):
	}
}

func setupScript(env *testscript.Env) error {
	node := filepath.Join(env.WorkDir, "node")
	env.Setenv("NODE", node)
	env.Setenv("UID", strconv.Itoa(os.Getuid()))
	env.Setenv("OWNER", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()))
	env.Setenv("D", filepath.Join(node, "var/lib/archipelago"))
	passwd := fmt.Sprintf("archipelago:x:%d:%d::/home/archipelago:/bin/bash\n", os.Getuid(), os.Getgid())
	if err := os.MkdirAll(filepath.Join(node, "etc"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(node, "etc/passwd"), []byte(passwd), 0o644)
}

// cmdExitcode runs a program and wants an exit code: exitcode 2 archy status.
func cmdExitcode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode CODE PROGRAM [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(interface{ ExitCode() int }); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// cmdMode wants permissions: mode 0600 FILE...
func cmdMode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mode MODE FILE...")
	}
	for _, name := range args[1:] {
		info, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
			ts.Fatalf("%s has mode %s, want %s", name, got, args[0])
		}
	}
}

// cmdNothing wants a directory to hold nothing but etc/passwd, the one file of a fresh $NODE.
func cmdNothing(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: nothing DIR")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		if err == nil && rel != "." && rel != "etc" && rel != "etc/passwd" {
			return fmt.Errorf("%s is there", rel)
		}
		return err
	}))
}

var times = regexp.MustCompile(`\d{8}T\d{6}Z|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// cmdScrub copies stdout to a file with times, the user's id and the work directory replaced, to be compared with cmp.
func cmdScrub(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: scrub FILE")
	}
	text := times.ReplaceAllString(ts.ReadFile("stdout"), "TIME")
	text = strings.ReplaceAll(text, ts.Getenv("WORK"), "$$WORK")
	text = strings.ReplaceAll(text, fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()), "UID:GID")
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o644))
}
