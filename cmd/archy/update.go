package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/update"
)

func updateCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "update",
		GroupID: groupNode,
		Short:   "confirm a new version of the node's software, or put the old one back",
		Long: `An update that leaves the node without its page or its backend is undone without anybody
logging in. The updater calls mark before it restarts the backend; verify, which
systemd starts when it sees the marker, looks for at most 150 seconds whether the node
answers, and otherwise restores the backups. Once an update is decided nothing
rolls back on its own.`,
	}
	onlyCommands(cmd)
	cmd.AddCommand(updateMarkCmd(), updateVerifyCmd(), updateRollbackCmd(), updateStatusCmd())
	return cmd
}

// updateWindows replaces some of the times of a verification, as "settle=1s probes=10s": the tests on a node set it when
// they link their archy. No command line and no environment reaches it.
var updateWindows string

func windows() (update.Windows, error) {
	w := update.DefaultWindows()
	byName := map[string]*time.Duration{"restart": &w.Restart, "settle": &w.Settle, "every": &w.Every, "probes": &w.Probes,
		"deadline": &w.Deadline, "stale": &w.Stale, "poll": &w.Poll}
	for _, field := range strings.Fields(updateWindows) {
		name, value, _ := strings.Cut(field, "=")
		d, err := time.ParseDuration(value)
		if err != nil || byName[name] == nil {
			return w, fmt.Errorf("linked with the unknown window %q", field)
		}
		*byName[name] = d
	}
	return w, nil
}

// openUpdate is for the commands that change something: they are root's. A volume that takes no writes is told by the first of them: the unit
// that calls mark may see it so, and the disk be well.
func openUpdate(cmd *cobra.Command, wait time.Duration) (*env, *update.Updater, error) {
	if err := requireRoot(cmd.CommandPath(), os.Geteuid()); err != nil {
		return nil, nil, err
	}
	e, err := openEnv(cmd)
	if err != nil {
		return nil, nil, err
	}
	if err := node.FindVolume(e.Layout); err != nil {
		return nil, nil, err
	}
	u, err := e.updater(wait)
	return e, u, err
}

// requireRoot lets only root on: the pages and the program are root's.
func requireRoot(command string, uid int) error {
	if uid == 0 {
		return nil
	}
	return usage("sudo -n "+command, "%s must run as root, this is uid %d", command, uid)
}

// running refuses --root: nginx and the backend of another directory cannot be asked or restarted.
func (c *cli) running(cmd *cobra.Command) error {
	if c.root == "" || c.root == "/" {
		return nil
	}
	return usage("", "%s works on the running node; it takes no --root", cmd.CommandPath())
}

func (e *env) updater(wait time.Duration) (*update.Updater, error) {
	boot, err := update.SystemBootID()
	if err != nil {
		return nil, err
	}
	w, err := windows()
	return &update.Updater{
		Layout: e.Layout, Disk: update.NodeDisk{Layout: e.Layout}, Services: update.SystemServices{Runner: command.Exec{}},
		Prober: update.NewHTTPProber("https://127.0.0.1/"), Reporter: update.Journal{}, Locks: e.Locks,
		Clock: update.SystemClock{}, BootID: boot, Windows: w, WaitLock: wait, Say: e.say,
	}, err
}

// updateDocument is what mark, verify and rollback print with --json. Update is null when there was none.
type updateDocument struct {
	Schema   int            `json:"schema"`
	Update   *update.Marker `json:"update"`
	Warnings []string       `json:"warnings,omitempty"`
	ExitCode int            `json:"exit_code"`
}

// printUpdate prints a result and ends with its code.
func (e *env) printUpdate(r update.Result, code int) error {
	if e.json {
		if err := json.NewEncoder(e.out).Encode(updateDocument{1, r.Marker, r.Warnings, code}); err != nil {
			return err
		}
		return exitCode(code)
	}
	if r.Marker == nil {
		e.say("no update waits for a verdict")
		return exitCode(code)
	}
	if _, err := fmt.Fprintln(e.out, r.Marker.Sentence()); err != nil {
		return err
	}
	return exitCode(code)
}

// updateError gives the errors of an update their codes; unsound is that of damaged backups.
func (e *env) updateError(err error, unsound int) error {
	var (
		asked   *update.UsageError
		pending *update.PendingError
		backups *update.UnsoundError
		marker  *update.BadMarker
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &asked):
		return usage("archy update mark --help", "%w", err)
	case errors.As(err, &pending):
		return &exitError{exitLocked, "pending", err, "archy update status; archy update verify judges it"}
	case errors.As(err, &backups):
		return &exitError{unsound, "backups", err, "nothing was changed"}
	case errors.As(err, &marker):
		return &exitError{exitFailed, "marker", err, "archy update status"}
	case errors.Is(err, syscall.EROFS):
		return &exitError{exitFailed, "read-only", err,
			fmt.Sprintf("the unit that calls this needs: ReadWritePaths=%s %s (docs/update.md)", e.Layout.DataDir, e.Layout.LockDir)}
	}
	return err
}
