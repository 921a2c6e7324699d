package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
	"git.tx1138.com/lfg2025/archy/internal/watch"
)

// loop makes passes until it is told to end. A pass that fails is told and followed by the next; only what is wrong with
// the command line or the configuration at the start ends it.
func (o *reconcileOptions) loop(cmd *cobra.Command) error {
	c := cliOf(cmd)
	e, err := openNode(cmd)
	if err != nil {
		return err
	}
	c.beat = watch.NewBeat()
	defer c.beat.Stop()
	ctx, end := context.WithCancel(cmd.Context())
	defer end()
	cmd.SetContext(context.WithValue(ctx, cliKey{}, c))
	client := podman.New(e.Layout.Host(e.Layout.PodmanSocket()))
	defer client.Close()
	files := watch.Files{Dirs: e.watched()}
	var fatal error
	first := true
	l := &watch.Loop{Pace: watch.DefaultPace(o.pauseOf(c)), Beat: c.beat, Log: c.warn,
		Sources: []watch.Source{files.Source(), watch.Podman(client), watch.Units(e.userBus(), e.hasUnit)}}
	l.Before = func() { files.Refresh(); l.Pace.Interval = o.pauseOf(c) }
	l.Pass = func(_ context.Context, because string) time.Duration {
		due, err := o.watchedPass(cmd, c, because, first)
		if err != nil {
			fatal = err
			end()
		}
		first = false
		return due
	}
	context.AfterFunc(ctx, func() { c.beat.Tell("STOPPING=1") })
	l.Run(ctx)
	return fatal
}

// watchedPass makes one of many passes, and says when something is due after it. What went wrong is told here, but for an
// error of usage in the first pass, which ends the program.
func (o *reconcileOptions) watchedPass(cmd *cobra.Command, c *cli, because string, first bool) (due time.Duration, fatal error) {
	if c.verbose {
		fmt.Fprintln(c.err, "pass because of:", because)
	}
	result, err := o.once(cmd)
	switch {
	case first && isUsage(err):
		return 0, err
	case err != nil && cmd.Context().Err() == nil:
		c.report(classify(err))
	}
	status := "the last pass could not look"
	if result != nil {
		status, due = result.Line(), nextTry(result, time.Now())
	}
	if first {
		c.beat.Tell("READY=1")
	}
	c.beat.Status(status)
	return due, nil
}

// nextTry is how long from now the first app that backs off may be tried again; 0: none backs off.
func nextTry(r *reconcile.Result, now time.Time) time.Duration {
	var first time.Duration
	for _, a := range r.Apps {
		wait := a.Breaker.NextAttempt.Sub(now)
		if a.Class != reconcile.ClassWaiting || a.Breaker.Open || a.Breaker.NextAttempt.IsZero() {
			continue
		}
		if wait = max(wait, time.Millisecond); first == 0 || wait < first {
			first = wait
		}
	}
	return first
}

func isUsage(err error) bool {
	return err != nil && classify(err).Code == exitUsage
}

func (c *cli) warn(format string, args ...any) {
	fmt.Fprintf(c.err, "warning: "+format+"\n", args...)
}

func (o *reconcileOptions) pauseOf(c *cli) time.Duration {
	if o.interval != 0 {
		return o.interval
	}
	cfg, err := c.loadConfig()
	if err != nil {
		return node.Default().Reconcile.Interval
	}
	return cfg.Reconcile.Interval
}

// watched are the directories whose files a pass reads.
func (e *env) watched() []watch.Dir {
	config := e.config
	if config == "" {
		config = e.Layout.Host(node.ConfigPath)
	}
	if abs, err := filepath.Abs(config); err == nil {
		config = abs
	}
	only := func(file string) func(string) bool {
		return func(name string) bool { return name == filepath.Base(file) }
	}
	unit := func(name string) bool {
		ext := filepath.Ext(name)
		return ext == ".container" || ext == ".network" || ext == ".conf"
	}
	return []watch.Dir{
		{Path: e.Layout.Host(e.Layout.ManifestDir), What: "manifests", Deep: true},
		{Path: e.Layout.Host(e.Layout.LocalManifestDir), What: "local manifests", Deep: true},
		{Path: e.Layout.Host(e.Layout.Secrets()), What: "secrets"},
		{Path: e.Layout.Host(e.Layout.UnitDir()), What: "units", Deep: true, Matters: unit},
		{Path: filepath.Dir(e.Layout.Host(e.Layout.UserStopped())), What: "user-stopped.json", Matters: only(e.Layout.UserStopped())},
		{Path: filepath.Dir(config), What: "configuration", Matters: only(config)},
	}
}

func (e *env) userBus() systemd.Options {
	return systemd.Options{Bus: e.Layout.Host(e.Layout.UserBus()), UID: e.User.UID}
}

// hasUnit tells that a service is made of a unit file in the service user's directory: archy's, or one that is in an app's
// place.
func (e *env) hasUnit(service string) bool {
	name, ok := strings.CutSuffix(service, ".service")
	if !ok {
		return false
	}
	_, err := os.Stat(e.Layout.Host(e.Layout.Unit(name)))
	return err == nil || !errors.Is(err, os.ErrNotExist)
}

// The longest that an operation may take before the watchdog stops believing in it: its own limits, and some room. A pull
// and a build tell of their progress; one that stands still is ended by its own limit before.
const (
	pullPatience    = 7 * time.Minute
	buildPatience   = 32 * time.Minute
	servicePatience = 30 * time.Minute // a stop with the longest grace (600 s), a start, and the way back of a rollback
	otherPatience   = 5 * time.Minute
)

// tellBeat keeps the watchdog quiet for as long as an operation is within its limits.
func tellBeat(b *watch.Beat, ev reconcile.Event) {
	switch {
	case ev.Done || ev.Ended != nil:
		b.Allow(ev.Op.N, 0)
	default:
		b.Allow(ev.Op.N, patience(ev.Op))
	}
}

func patience(op reconcile.Operation) time.Duration {
	d := otherPatience
	switch op.Kind {
	case reconcile.PullImage:
		d = pullPatience
	case reconcile.BuildImage:
		d = buildPatience
	case reconcile.Start, reconcile.Restart, reconcile.Replace, reconcile.Stop, reconcile.Migrate, reconcile.RollBack, reconcile.StartLegacy, reconcile.Wait,
		reconcile.RemoveUnit, reconcile.RemoveOld:
		d = servicePatience
	}
	if op.Gate != nil {
		d += op.Gate.Limit
	}
	return d
}
