package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/node"
)

// requireServiceUser lets only the service user on, because root has another podman with other containers
// (incident 22). As root with --as-service-user the program starts again as that user, and this call does not return.
func (c *cli) requireServiceUser(cmd *cobra.Command, u node.User) error {
	uid := os.Geteuid()
	switch {
	case uid == u.UID:
		return nil
	case uid != 0:
		return usage("sudo -u "+u.Name+" "+cmd.CommandPath(), "%s must run as %s, this is uid %d", cmd.CommandPath(), u.Name, uid)
	case !c.asServiceUser:
		return usage(fmt.Sprintf("sudo -u %s %s, or %s --as-service-user", u.Name, cmd.CommandPath(), cmd.CommandPath()),
			"%s must run as %s, not as root", cmd.CommandPath(), u.Name)
	}
	return c.become(u)
}

// become gives up root for good and starts the program again with the same arguments and a clean environment.
func (c *cli) become(u node.User) error {
	for _, path := range []string{c.root, c.config} {
		if path != "" && !filepath.IsAbs(path) {
			return usage("", "%s: with --as-service-user paths must be absolute", path)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Chdir(u.Home); err != nil {
		return fmt.Errorf("home of %s: %w", u.Name, err)
	}
	if err := drop(u); err != nil {
		return fmt.Errorf("becoming %s: %w", u.Name, err)
	}
	return syscall.Exec(self, os.Args, serviceEnv(c.environ, u))
}

func drop(u node.User) error {
	if err := syscall.Setgroups(u.Groups); err != nil {
		return err
	}
	if err := syscall.Setresgid(u.GID, u.GID, u.GID); err != nil {
		return err
	}
	return syscall.Setresuid(u.UID, u.UID, u.UID)
}

// systemPath is where the programs are that archy runs; cron, env -i and a plain su leave some of it out.
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment gives the programs that archy runs what a session has. sudo -u leaves the service user without the variables by which
// systemctl --user and podman find its manager, and su may leave it with those of somebody else.
func (c *cli) environment(u node.User, l node.Layout) {
	_ = os.Setenv("PATH", fullPath(os.Getenv("PATH"))) // a constant name and no NUL: cannot fail
	if os.Geteuid() != u.UID {
		return
	}
	_ = os.Setenv("XDG_RUNTIME_DIR", l.RuntimeDir)
	_ = os.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+l.UserBus())
	if os.Getenv("HOME") == "" {
		_ = os.Setenv("HOME", u.Home)
	}
}

// fullPath is a PATH with what it lacks of the system's directories behind its own.
func fullPath(path string) string {
	list := filepath.SplitList(path)
	for _, dir := range filepath.SplitList(systemPath) {
		if !slices.Contains(list, dir) {
			list = append(list, dir)
		}
	}
	return strings.Join(list, string(os.PathListSeparator))
}

// serviceEnv is the environment of a session of the service user; of the caller's own only what concerns the
// terminal and archy is kept.
func serviceEnv(environ []string, u node.User) []string {
	runtimeDir := fmt.Sprintf("/run/user/%d", u.UID)
	env := []string{
		"PATH=" + systemPath,
		"HOME=" + u.Home,
		"USER=" + u.Name,
		"LOGNAME=" + u.Name,
		"XDG_RUNTIME_DIR=" + runtimeDir,
		"DBUS_SESSION_BUS_ADDRESS=unix:path=" + runtimeDir + "/bus",
	}
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if name == "TERM" || name == "NO_COLOR" || name == "LANG" || strings.HasPrefix(name, "ARCHY_") {
			env = append(env, entry)
		}
	}
	return env
}
