package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/applog"
	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

type logsOptions struct {
	follow bool
	lines  string
	since  string
}

func logsCmd() *cobra.Command {
	var o logsOptions
	cmd := &cobra.Command{
		Use: "logs APP...", GroupID: groupDaily, Short: "show what apps say, without their secrets",
		Long: `logs prints the journal of the apps' services, oldest line first; an adopted container's log
comes from podman. No secret of the node is printed, in whichever line it stands. With
several apps each line begins with the app's name. With --json each line is an object.`,
		Example: `  archy logs lnd
  archy logs -f bitcoin-knots lnd
  archy logs --since 2h mempool-api`,
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: completeApps,
		RunE: func(cmd *cobra.Command, names []string) error { return o.run(cmd, names) },
	}
	f := cmd.Flags()
	f.BoolVarP(&o.follow, "follow", "f", false, "go on with what is said from now on")
	f.StringVarP(&o.lines, "lines", "n", "", "the last `N` lines, or all (default 100; with --since all)")
	f.StringVar(&o.since, "since", "", "nothing older: `TIME` is 10m, 3d, 2026-01-31, \"2026-01-31 15:04\" or today")
	return lockless(cmd)
}

func (o *logsOptions) run(cmd *cobra.Command, names []string) error {
	options, err := o.parse(time.Now())
	if err != nil {
		return err
	}
	e, ids, err := namedApps(cmd, names)
	if err != nil {
		return err
	}
	client := podman.New(e.Layout.Host(e.Layout.PodmanSocket()))
	defer client.Close()
	mask, err := e.logSecrets()
	if err != nil {
		return err
	}
	var sources []applog.Source
	for _, id := range ids {
		source, hidden := e.logSource(cmd.Context(), client, id)
		sources, mask = append(sources, source), append(mask, hidden...)
	}
	out := &logWriter{out: e.out, json: e.json, named: len(ids) > 1}
	return readLogs(cmd.Context(), sources, options, applog.NewMask(mask), out)
}

func (o *logsOptions) parse(now time.Time) (applog.Options, error) {
	options := applog.Options{Follow: o.follow, Lines: 100}
	if o.since != "" {
		since, err := applog.ParseSince(o.since, now)
		if err != nil {
			return options, usage("", "--since: %w", err)
		}
		options.Since, options.Lines = since, applog.All
	}
	switch n, err := strconv.Atoi(o.lines); {
	case o.lines == "all":
		options.Lines = applog.All
	case o.lines != "" && (err != nil || n < 0):
		return options, usage("", "-n %s is neither a number of lines nor all", o.lines)
	case o.lines != "":
		options.Lines = n
	}
	return options, nil
}

// logSecrets are all secrets of the node: an app may well print that of another one which it was given.
func (e *env) logSecrets() ([]string, error) {
	store := e.secrets()
	list, err := store.List(nil)
	if err != nil {
		return nil, err
	}
	var values []string
	for _, s := range list {
		v, err := store.Read(s.Name)
		switch {
		case err == nil:
			values = append(values, v.Reveal())
		case !secrets.IsMissing(err): // no app was given it by archy either
			fmt.Fprintf(e.err, "warning: secret %s cannot be read and is not masked: %v\n", s.Name, err)
		}
	}
	return values, nil
}

// logSource finds an app's log. An adopted container may have been made with other secrets than the files hold.
func (e *env) logSource(ctx context.Context, client *podman.Client, id string) (applog.Source, []string) {
	s := applog.Source{App: id, Container: id}
	app := e.Set.Apps[id]
	if app != nil {
		s.Container = app.Unit()
	}
	record, found, err := e.State.ReadRecord(id)
	if found && err == nil && record.Owner == state.Quadlet {
		return s, nil
	}
	names := []string{s.Container}
	if app != nil {
		names = append(names, app.ExtList("legacy_names")...)
	}
	for _, name := range names {
		got, err := client.Inspect(ctx, name)
		if err != nil || got.Labels[spec.LabelManaged] == "true" {
			continue
		}
		s.Container, s.Legacy = name, true
		var hidden []string
		if app != nil {
			env := got.Env.Map()
			for _, secret := range app.Container.SecretEnv {
				hidden = append(hidden, env[secret.Key])
			}
		}
		return s, hidden
	}
	return s, nil
}

// readLogs prints the logs one after the other, or, when they are followed, as the lines come.
func readLogs(ctx context.Context, sources []applog.Source, o applog.Options, m *applog.Mask, out *logWriter) error {
	if !o.Follow {
		for _, s := range sources {
			if err := applog.Read(ctx, command.Exec{}, s, o, m, out.line); err != nil {
				return err
			}
		}
		return nil
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	errs := make([]error, len(sources))
	var all sync.WaitGroup
	for i, s := range sources {
		all.Go(func() {
			errs[i] = applog.Read(ctx, command.Exec{}, s, o, m, out.line)
			if errs[i] != nil {
				end() // what cannot be read is no silence
			}
		})
	}
	all.Wait()
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
}

// logWriter prints lines as they come.
type logWriter struct {
	mu    sync.Mutex
	out   io.Writer
	json  bool
	named bool
}

func (w *logWriter) line(l applog.Line) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := ""
	if !l.At.IsZero() {
		at = l.At.Format(time.RFC3339)
	}
	if w.json {
		return json.NewEncoder(w.out).Encode(map[string]string{"app": l.App, "time": at, "message": l.Text})
	}
	prefix := ""
	if w.named {
		prefix = l.App + " | "
	}
	if at != "" {
		prefix += at + " "
	}
	_, err := fmt.Fprintln(w.out, prefix+l.Text)
	return err
}
