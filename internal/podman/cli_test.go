package podman_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/podman"
)

// recorder keeps what it is asked to run and answers with err.
type recorder struct {
	cmd   command.Cmd
	stdin string
	err   error
}

func (r *recorder) Run(_ context.Context, cmd command.Cmd) (command.Result, error) {
	r.cmd = cmd
	if cmd.Stdin != nil {
		text, _ := io.ReadAll(cmd.Stdin)
		r.stdin = string(text)
	}
	return command.Result{Stdout: []byte("content")}, r.err
}

func TestCLI(t *testing.T) {
	ctx := context.Background()
	for want, call := range map[string]func(podman.CLI) error{
		"podman unshare chown -h -- 101:101 /data/bitcoin": func(c podman.CLI) error { return c.Chown(ctx, "/data/bitcoin", 101, 101) },
		"podman unshare cat -- /data/f":                    func(c podman.CLI) error { _, err := c.ReadFile(ctx, "/data/f"); return err },
		"podman unshare ls -A -- /data/d":                  func(c podman.CLI) error { _, err := c.Holds(ctx, "/data/d"); return err },
		"podman unshare test -e /data/f":                   func(c podman.CLI) error { _, err := c.Exists(ctx, "/data/f"); return err },
		"podman unshare /bin/archy internal write-file --path /data/f --mode 0600 --size 11": func(c podman.CLI) error {
			return c.WriteFile(ctx, "/data/f", 0o600, []byte("marker-4411"))
		},
		"systemd-run --user --scope --collect --quiet --slice=app.slice -- podman start lnd": func(c podman.CLI) error { return c.StartInScope(ctx, "lnd") },
	} {
		r := &recorder{}
		if err := call(podman.CLI{Runner: r, Self: "/bin/archy"}); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		if got := strings.Join(r.cmd.Argv, " "); got != want {
			t.Errorf("ran  %s\nwant %s", got, want)
		}
		if r.cmd.Limit <= 0 {
			t.Errorf("%s: no limit", want)
		}
		if strings.Contains(want, "write-file") && r.stdin != "marker-4411" {
			t.Errorf("%s: stdin %q", want, r.stdin)
		}
	}
}

func TestReadFileAbsent(t *testing.T) {
	missing := &command.ExitError{Argv: []string{"podman"}, Code: 1, Stderr: "cat: /data/f: No such file or directory"}
	if _, err := (podman.CLI{Runner: &recorder{err: missing}}).ReadFile(context.Background(), "/data/f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	denied := &command.ExitError{Argv: []string{"podman"}, Code: 1, Stderr: "cat: /data/f: Permission denied"}
	if _, err := (podman.CLI{Runner: &recorder{err: denied}}).ReadFile(context.Background(), "/data/f"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestHolds(t *testing.T) {
	ctx := context.Background()
	if found, err := (podman.CLI{Runner: &recorder{}}).Holds(ctx, "/data/d"); !found || err != nil {
		t.Errorf("%v, %v", found, err)
	}
	missing := &command.ExitError{Argv: []string{"podman"}, Code: 2, Stderr: "ls: cannot access '/data/d': No such file or directory"}
	if found, err := (podman.CLI{Runner: &recorder{err: missing}}).Holds(ctx, "/data/d"); found || err != nil {
		t.Errorf("missing: %v, %v", found, err)
	}
	denied := &command.ExitError{Argv: []string{"podman"}, Code: 2, Stderr: "ls: cannot open directory '/data/d': Permission denied"}
	if _, err := (podman.CLI{Runner: &recorder{err: denied}}).Holds(ctx, "/data/d"); err == nil {
		t.Error("a directory that cannot be listed counts as an empty one")
	}
}

func TestExists(t *testing.T) {
	ctx := context.Background()
	if found, err := (podman.CLI{Runner: &recorder{err: &command.ExitError{Code: 1}}}).Exists(ctx, "/data/f"); found || err != nil {
		t.Errorf("absent: %v, %v", found, err)
	}
	if found, err := (podman.CLI{Runner: &recorder{err: &command.ExitError{Code: 1, Stderr: "cannot set up namespace"}}}).Exists(ctx, "/data/f"); found || err == nil {
		t.Errorf("not asked: %v, %v", found, err)
	}
}

// byCommand answers each program as told, and counts.
type byCommand struct {
	answers map[string]error
	ran     []string
}

func (r *byCommand) Run(_ context.Context, c command.Cmd) (command.Result, error) {
	r.ran = append(r.ran, c.Argv[0])
	return command.Result{}, r.answers[c.Argv[0]]
}

// TestReadFileInThePauseProcess reads in the namespace of podman's pause process: what cat says there is taken, and what keeps
// cat from running there is not.
func TestReadFileInThePauseProcess(t *testing.T) {
	pause := filepath.Join(t.TempDir(), "pause.pid")
	if err := os.WriteFile(pause, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for stderr, want := range map[string][]string{
		"cat: /data/f: No such file or directory\n":                       {"nsenter"},
		"nsenter: cannot open /proc/7/ns/user: No such file or directory": {"nsenter", "podman"},
		"cat: /data/f: Permission denied\n":                               {"nsenter", "podman"},
	} {
		r := &byCommand{answers: map[string]error{"nsenter": &command.ExitError{Argv: []string{"nsenter"}, Code: 1, Stderr: stderr}}}
		_, err := podman.CLI{Runner: r, Pause: pause}.ReadFile(context.Background(), "/data/f")
		if !slices.Equal(r.ran, want) || errors.Is(err, fs.ErrNotExist) != (len(want) == 1) {
			t.Errorf("%q: ran %v, error %v, want %v", stderr, r.ran, err, want)
		}
	}
}
