package podman

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"git.tx1138.com/lfg2025/archy/internal/command"
)

// CLI runs the podman commands that the REST API does not have. They need the service user's session:
// XDG_RUNTIME_DIR and HOME.
type CLI struct {
	Runner command.Runner
	// Pause is the file with the pid of podman's pause process, which holds the user namespace; empty means not to look.
	Pause string
	// Self is the program that knows "internal write-file"; empty means the running one.
	Self string
}

// Chown changes the owner of one path, neither its content nor what a symbolic link points to. uid and gid are
// those inside podman's user namespace: 0 is the service user, 1 the first of its range in /etc/subuid.
func (c CLI) Chown(ctx context.Context, path string, uid, gid int) error {
	_, err := c.unshare(ctx, nil, "chown", "-h", "--", fmt.Sprintf("%d:%d", uid, gid), path)
	return err
}

// ReadFile reads a file that belongs to a mapped user. A missing one is an fs.ErrNotExist.
func (c CLI) ReadFile(ctx context.Context, path string) ([]byte, error) {
	res, err := c.look(ctx, "cat", "--", path)
	if absent(err) {
		return nil, fmt.Errorf("read %s: %w", path, fs.ErrNotExist)
	}
	return res.Stdout, err
}

// Holds tells whether a directory of a mapped user holds anything. A missing one holds nothing.
func (c CLI) Holds(ctx context.Context, dir string) (bool, error) {
	res, err := c.look(ctx, "ls", "-A", "--", dir)
	if absent(err) {
		return false, nil
	}
	return len(res.Stdout) > 0, err
}

// Exists tells whether there is something at a path below a directory of a mapped user.
func (c CLI) Exists(ctx context.Context, path string) (bool, error) {
	_, err := c.unshare(ctx, nil, "test", "-e", path)
	var exit *command.ExitError
	if errors.As(err, &exit) && exit.Code == 1 && exit.Stderr == "" {
		return false, nil
	}
	return err == nil, err
}

// absent tells that cat or ls has found nothing there, and not that something on the way to them has.
func absent(err error) bool {
	var exit *command.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	return slices.ContainsFunc(strings.Split(exit.Stderr, "\n"), func(line string) bool {
		return (strings.HasPrefix(line, "cat: ") || strings.HasPrefix(line, "ls: ")) && strings.HasSuffix(line, "No such file or directory")
	})
}

// look reads in the user namespace that podman's pause process holds: joining it takes 2 ms, podman unshare 60. If there is
// no way into it, podman unshare has the last word.
func (c CLI) look(ctx context.Context, argv ...string) (command.Result, error) {
	if pid := c.pausePid(); pid != "" {
		res, err := c.Runner.Run(ctx, command.Cmd{Limit: DefaultLimits().Mapped, Env: plainWords,
			Argv: append([]string{"nsenter", "--user", "--preserve-credentials", "--target", pid}, argv...)})
		if err == nil || absent(err) {
			return res, err
		}
	}
	return c.unshare(ctx, nil, argv...)
}

// pausePid is the pid of podman's pause process, "" when there is none that is ours.
func (c CLI) pausePid() string {
	text, err := os.ReadFile(c.Pause)
	if err != nil {
		return ""
	}
	pid := strings.TrimSpace(string(text))
	var st syscall.Stat_t
	if err := syscall.Stat("/proc/"+pid+"/ns/user", &st); pid == "" || err != nil {
		return ""
	}
	return pid
}

// WriteFile replaces a file in a directory that belongs to a mapped user, atomically and durably. An existing file
// keeps its owner, a new one gets that of the directory. The content travels over stdin alone.
func (c CLI) WriteFile(ctx context.Context, path string, mode fs.FileMode, content []byte) error {
	self := c.Self
	if self == "" {
		var err error
		if self, err = os.Executable(); err != nil {
			return fmt.Errorf("write %s: find the archy program: %w", path, err)
		}
	}
	argv := append([]string{self}, InternalWriteFileArgs(path, mode, len(content))...)
	_, err := c.unshare(ctx, content, argv...)
	return err
}

// Rename renames a directory of a mapped user. It never copies: another file system is an error. A directory that
// changes its parent must be writable itself, which that of a mapped user is not for the service user.
func (c CLI) Rename(ctx context.Context, path, dest string) error {
	_, err := c.unshare(ctx, nil, "mv", "--no-copy", "--no-clobber", "--no-target-directory", "--", path, dest)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s was not moved: %s is there already", path, dest)
	}
	return nil
}

// DeleteTree deletes a directory of mapped users with all that is in it, and nothing of another file system.
func (c CLI) DeleteTree(ctx context.Context, path string) error {
	_, err := c.Runner.Run(ctx, command.Cmd{Argv: []string{"podman", "unshare", "rm", "-rf", "--one-file-system", "--", path}, Limit: DefaultLimits().Build})
	return err
}

// StartInScope starts a container that no unit owns, in a scope of its own, so that conmon and the port forwarder
// outlive archy (incident 1).
func (c CLI) StartInScope(ctx context.Context, name string) error {
	_, err := c.Runner.Run(ctx, command.Cmd{
		Argv:  []string{"systemd-run", "--user", "--scope", "--collect", "--quiet", "--slice=app.slice", "--", "podman", "start", name},
		Limit: DefaultLimits().Change,
	})
	if err != nil {
		return fmt.Errorf("start container %s: %w", name, err)
	}
	return nil
}

// plainWords is for commands whose messages are read.
var plainWords = []string{"LC_ALL=C"}

func (c CLI) unshare(ctx context.Context, stdin []byte, argv ...string) (command.Result, error) {
	cmd := command.Cmd{
		Argv:  append([]string{"podman", "unshare"}, argv...),
		Env:   plainWords,
		Limit: DefaultLimits().Mapped,
	}
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	return c.Runner.Run(ctx, cmd)
}
