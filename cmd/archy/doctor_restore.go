package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/doctor"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
)

// restoreQuarantine is the operator's way back from a heal: podman is quiet meanwhile, and the node is locked.
func (o *doctorOptions) restoreQuarantine(cmd *cobra.Command, e *examiner) error {
	if err := e.running(cmd); err != nil {
		return err
	}
	if err := e.requireServiceUser(cmd, e.User); err != nil {
		return err
	}
	if err := node.CheckVolume(e.Layout); err != nil {
		return err
	}
	lock, err := e.Locks.NodeExclusive(cmd.Context(), o.waitLock)
	if err != nil {
		return err
	}
	defer lock.Release()
	r := doctor.Restorer{Layout: e.Layout, Now: time.Now, Live: e.liveContainers, Quiet: e.quietPodman}
	said, err := r.Restore(cmd.Context(), o.restore)
	if err != nil {
		return restoreError(err)
	}
	if e.json {
		return json.NewEncoder(e.out).Encode(map[string]any{"schema": 1, "restored": said, "exit_code": exitOK})
	}
	for _, line := range said {
		fmt.Fprintln(e.out, line)
	}
	return nil
}

func restoreError(err error) error {
	var absent *doctor.NotFoundError
	var live *doctor.LiveError
	switch {
	case errors.As(err, &absent) && len(absent.Have) == 0:
		return usage("", "%w: it is empty", err)
	case errors.As(err, &absent):
		return usage("one of "+strings.Join(absent.Have, ", "), "%w", err)
	case errors.As(err, &live):
		return &exitError{exitHuman, "containers-live", err, "stop every app, in any order: archy stop APP...; then try again; nothing was changed"}
	}
	return err
}

// liveContainers are the service user's containers that live, by their names.
func (e *examiner) liveContainers() (live []string) {
	for _, p := range heal.Monitors(e.Layout.Host("/proc"), e.User.UID) {
		live = append(live, p.Name)
	}
	return live
}

// quietPodman stops the service that keeps the database open, and its socket so that nobody starts it again.
func (e *examiner) quietPodman(ctx context.Context) (resume func(), err error) {
	systemctl := func(ctx context.Context, args ...string) error {
		_, err := command.Exec{}.Run(ctx, command.Cmd{Argv: append([]string{"systemctl", "--user"}, args...), Limit: 30 * time.Second})
		return err
	}
	resume = func() {
		if err := systemctl(context.WithoutCancel(ctx), "start", "podman.socket"); err != nil {
			fmt.Fprintln(e.err, "warning: podman's socket could not be opened again:", err)
		}
	}
	if err := systemctl(ctx, "stop", "podman.socket", "podman.service"); err != nil {
		resume()
		return nil, err
	}
	return resume, nil
}
