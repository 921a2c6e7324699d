package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/nearest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/wait"
)

// firstBootOptions are the flags of first-boot.
type firstBootOptions struct {
	profile  string
	apps     []string
	skip     []string
	check    bool
	again    bool
	waitLock time.Duration
	stage    string
}

func firstBootCmd() *cobra.Command {
	var o firstBootOptions
	cmd := &cobra.Command{
		Use:     "first-boot",
		GroupID: groupNode,
		Short:   "make this machine a node: prepare it once, then create its first apps",
		Long: `first-boot prepares the machine (podman of the service user, directories, secrets, Tor,
firewall) and creates the apps of a profile. Each step looks before it changes, so a run
that was killed is completed by the next, and a finished node is left alone: the marker
.first-boot-containers-done in the data directory says that it is one.

Exit codes: 0 done, or done before; 1 a step failed, no marker; 2 usage or configuration;
3 done, some apps failed (reconcile goes on with them); 4 something to do (--check);
5 locked; 6 a person must decide; 130 interrupted.`,
		Example: `  archy first-boot --check
  archy first-boot --profile full
  archy first-boot --apps bitcoin-knots,lnd --skip firewall`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&o.profile, "profile", "", "set of apps: core or full (default from the configuration)")
	f.StringSliceVar(&o.apps, "apps", nil, "exactly these apps and what they need, in place of a profile")
	f.StringArrayVar(&o.skip, "skip", nil, "leave out this `STEP`: "+strings.Join(firstboot.SkippableSteps(), ", ")+" (repeatable)")
	f.BoolVar(&o.check, "check", false, "print what would be done and change nothing; exit 4 when there is something")
	f.BoolVar(&o.again, "again", false, "go through all steps although the node is done")
	f.DurationVar(&o.waitLock, "wait-lock", 0, "how long to wait for another run")
	f.StringVar(&o.stage, "stage", "", "")
	_ = f.MarkHidden("stage")
	_ = cmd.RegisterFlagCompletionFunc("apps", completeAppList)
	_ = cmd.RegisterFlagCompletionFunc("profile", cobra.FixedCompletions(profiles, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("skip", cobra.FixedCompletions(firstboot.SkippableSteps(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

var profiles = []string{"core", "full"}

func (o *firstBootOptions) run(cmd *cobra.Command) error {
	switch o.stage {
	case "":
	case "apps":
		return runAppsStage(cmd)
	default:
		return usage("", "no stage is called %q", o.stage)
	}
	if err := o.valid(cmd); err != nil {
		return err
	}
	err := o.start(cmd)
	if !o.check {
		cliOf(cmd).sayStopped(err)
	}
	return err
}

func (o *firstBootOptions) start(cmd *cobra.Command) error {
	e, err := openFirstBoot(cmd)
	if err != nil {
		return err
	}
	if o.check {
		return o.checkOnly(cmd, e)
	}
	if !o.again && e.firstBootDone() {
		return e.printDoneBefore()
	}
	h := e.host()
	if err := h.MakeLockDir(); err != nil {
		return err
	}
	return o.alone(cmd.Context(), e, func() error { return o.boot(cmd, e, h) })
}

// alone boots while no other run does anything. Whoever has waited for a first boot has nothing left to do.
func (o *firstBootOptions) alone(ctx context.Context, e *env, boot func() error) error {
	lock, err := e.Locks.NodeExclusive(ctx, o.waitLock)
	if err != nil {
		return err
	}
	defer lock.Release()
	if !o.again && e.firstBootDone() { // another run has ended meanwhile
		return e.printDoneBefore()
	}
	return boot()
}

// valid refuses what the command line has wrong, before anything is looked at.
func (o *firstBootOptions) valid(cmd *cobra.Command) error {
	c := cliOf(cmd)
	switch {
	case c.root != "":
		return usage("archy iso install --root "+c.root, "first-boot works on the machine itself and takes no --root")
	case o.profile != "" && !slices.Contains(profiles, o.profile):
		return usage(didYouMean(o.profile, profiles), "no profile is called %q", o.profile)
	case o.profile != "" && len(o.apps) > 0:
		return usage("", "--profile and --apps contradict each other")
	}
	for _, name := range o.skip {
		if !slices.Contains(firstboot.SkippableSteps(), name) {
			return usage(didYouMean(name, firstboot.SkippableSteps()), "no step that can be left out is called %q", name)
		}
	}
	if uid := os.Geteuid(); uid != 0 {
		return usage("sudo archy first-boot", "archy first-boot must run as root, this is uid %d", uid)
	}
	return nil
}

func didYouMean(name string, known []string) string {
	if best := nearest.Name(name, known); best != "" {
		return "did you mean " + best + "?"
	}
	return "one of " + strings.Join(known, ", ")
}

// openFirstBoot is openEnv for a machine that may not be a node yet, and the check that its data volume is there.
func openFirstBoot(cmd *cobra.Command) (*env, error) {
	e, err := openEnv(cmd)
	if errors.Is(err, node.ErrNoUser) {
		cfg, _ := cliOf(cmd).loadConfig()
		return nil, &exitError{exitFailed, "preflight", err, "useradd --create-home --uid 1000 --shell /bin/bash " + cfg.ServiceUser}
	}
	if err != nil {
		return nil, err
	}
	return e, node.CheckVolume(e.Layout)
}

func (e *env) firstBootDone() bool {
	_, err := os.Stat(e.Layout.Host(e.Layout.FirstBootDone()))
	return err == nil
}

func (e *env) printDoneBefore() error {
	warnings := []string{}
	if missing := e.notOfANode(); len(missing) > 0 {
		warnings = append(warnings, fmt.Sprintf("the marker %s says that this is a node, but it has no %s", e.Layout.FirstBootDone(), strings.Join(missing, ", no ")))
	}
	if e.json {
		return json.NewEncoder(e.out).Encode(map[string]any{"schema": 1, "event": "result", "result": "already done", "warnings": warnings, "exit_code": exitOK})
	}
	for _, w := range warnings {
		fmt.Fprintf(e.err, "warning: %s\nhint: %s\n", w, bootAgain)
	}
	_, err := fmt.Fprintln(e.out, "already done")
	return err
}

// bootAgain makes what a node with a marker lacks.
const bootAgain = "if the data disk is mounted, run: sudo archy first-boot --again"

// notOfANode is what each first boot leaves behind and this machine does not have: a marker may have been copied, or come
// with a backup of the data alone.
func (e *env) notOfANode() (missing []string) {
	for _, path := range []string{node.VolumeIDPath, e.Layout.Secrets(), firstboot.LingerPath(e.User)} {
		if _, err := os.Stat(e.Layout.Host(path)); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, path)
		}
	}
	return missing
}

// host is the machine for the steps of root.
func (e *env) host() *firstboot.Host {
	return &firstboot.Host{
		Layout: e.Layout, Config: e.Config, User: e.User, State: e.State, Secrets: e.secrets(), Runner: command.Exec{},
		Engine: podman.New(e.Layout.Host(e.Layout.PodmanSocket())), DataPresent: e.dataPresent,
		Reserve: state.ReserveSize, WantUID: 1000, Now: time.Now, Pause: func(ctx context.Context, d time.Duration) bool { return wait.For(ctx, d) == nil }, NewID: newUUID,
	}
}

// newUUID is a random UUID (RFC 9562, version 4).
func newUUID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	text := hex.EncodeToString(b)
	return strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
}

// runner puts a first boot together. The manifests and the machine are read now, with the lock held.
func (o *firstBootOptions) runner(e *env, h *firstboot.Host) (*firstboot.Runner, error) {
	if err := e.load(); err != nil {
		return nil, err
	}
	h.Set, h.Findings, h.Facts, h.Skip = e.Set, e.Findings, e.Facts, o.skip
	selection, err := o.selection(e, h)
	if err != nil {
		return nil, err
	}
	h.Chosen = selection.Apps
	child, err := e.child()
	if err != nil {
		return nil, err
	}
	return &firstboot.Runner{Host: h, Selection: selection, Apps: child, Again: o.again, Version: version, RunID: newUUID()}, nil
}

// selection resolves the flags, then the configuration, into apps.
func (o *firstBootOptions) selection(e *env, h *firstboot.Host) (firstboot.Selection, error) {
	profile, list := o.profile, o.apps
	if profile == "" && len(list) == 0 {
		profile, list = e.Config.FirstBoot.Profile, e.Config.FirstBoot.Apps
	}
	ids, err := e.ids(list)
	if err != nil {
		return firstboot.Selection{}, err
	}
	c := firstboot.Chooser{Set: e.Set, Present: h.Present, Removed: h.Removed, Archival: h.Archival()}
	selection, err := c.Choose(profile, ids)
	if err != nil {
		return selection, usage("name one of them with --apps", "%w", err)
	}
	return selection, nil
}

// child is archy itself, as the service user.
func (e *env) child() (firstboot.Child, error) {
	self, err := os.Executable()
	if err != nil {
		return firstboot.Child{}, err
	}
	argv := []string{self, "first-boot", "--stage", "apps", "--quiet"}
	return firstboot.Child{Argv: e.withConfig(argv), Env: serviceEnv(e.environ, e.User), User: e.User}, nil
}

// boot runs it and says how it ended.
func (o *firstBootOptions) boot(cmd *cobra.Command, e *env, h *firstboot.Host) error {
	r, err := o.runner(e, h)
	if err != nil {
		return err
	}
	began := time.Now()
	view := e.bootView(r.Selection)
	r.Report = view.event
	progress, err := r.Run(cmd.Context())
	view.end()
	if err != nil {
		return err
	}
	return e.printBooted(progress, h.Facts, time.Since(began))
}

// runAppsStage is what the child runs: the job comes on stdin, events go to stdout.
func runAppsStage(cmd *cobra.Command) error {
	var job firstboot.AppsJob
	dec := json.NewDecoder(cmd.InOrStdin())
	dec.DisallowUnknownFields()
	if err := dec.Decode(&job); err != nil {
		return usage("", "the job on standard input: %w", err)
	}
	e, err := loadEnv(cmd)
	if err != nil {
		return err
	}
	stage, err := newAppsStage(e)
	if err != nil {
		return err
	}
	report := e.eventLines()
	if job.Check {
		todo, err := stage.Check(cmd.Context(), job)
		for _, line := range todo {
			report(firstboot.Event{At: time.Now().UTC(), Kind: firstboot.NoteEvent, Text: line})
		}
		return err
	}
	return stage.Run(cmd.Context(), job, report)
}

// eventLines prints events as JSON, a line each. Apps are worked on side by side and may report at once.
func (c *cli) eventLines() func(firstboot.Event) {
	var mu sync.Mutex
	enc := json.NewEncoder(c.out)
	enc.SetEscapeHTML(false)
	return func(ev firstboot.Event) {
		mu.Lock()
		defer mu.Unlock()
		if ev.At.IsZero() {
			ev.At = time.Now().UTC()
		}
		_ = enc.Encode(ev)
	}
}

// checkOnly prints what would be done.
func (o *firstBootOptions) checkOnly(cmd *cobra.Command, e *env) error {
	h := e.host()
	h.Impatient = true
	r, err := o.runner(e, h)
	if err != nil {
		return err
	}
	r.Report = func(firstboot.Event) {}
	plan, err := r.Check(cmd.Context())
	if err != nil {
		return err
	}
	return e.printCheck(r.Selection, plan)
}

func (e *env) printCheck(s firstboot.Selection, plan []firstboot.StepPlan) error {
	todo := 0
	for _, p := range plan {
		todo += len(p.Todo)
	}
	code := exitOK
	if todo > 0 {
		code = exitDrift
	}
	if e.json {
		doc := map[string]any{"schema": 1, "profile": s.Profile, "apps": s.Apps, "notes": append([]string{}, s.Notes...), "steps": plan, "exit_code": code}
		if err := json.NewEncoder(e.out).Encode(doc); err != nil {
			return err
		}
		return exitCode(code)
	}
	for _, note := range s.Notes {
		e.say("note: %s", note)
	}
	for _, p := range plan {
		for _, w := range p.Warnings {
			fmt.Fprintf(e.err, "warning: %s: %s\n", p.Step, w)
		}
		for _, line := range p.Todo {
			fmt.Fprintf(e.out, "%-11s  %s\n", p.Step, line)
		}
	}
	if todo == 0 {
		fmt.Fprintln(e.out, "nothing to do")
	}
	return exitCode(code)
}

// sayStopped says on the console why a first boot has not reached its end, and what to do. Where another one is at work, that one says how it ends.
func (c *cli) sayStopped(err error) {
	if err == nil {
		return
	}
	if e := classify(err); e.Err != nil && e.Code != exitLocked {
		lines := strings.Split("archy: first boot stopped: "+e.Err.Error(), "\n")
		if e.Hint != "" {
			lines = append(lines, "archy: "+e.Hint)
		}
		c.console(lines...)
	}
}

// consoleLimit bounds a console that does not take what is written.
const consoleLimit = 2 * time.Second

// console says something on the console of a machine that nobody sits at: only where the talk goes to no terminal.
func (c *cli) console(lines ...string) {
	if c.width() > 0 {
		return
	}
	f, err := os.OpenFile("/dev/console", os.O_WRONLY|os.O_APPEND|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		defer f.Close()
		_, _ = f.WriteString("\r\n" + strings.Join(lines, "\r\n") + "\r\n")
	}()
	ctx, cancel := context.WithTimeout(context.Background(), consoleLimit)
	defer cancel()
	select {
	case <-written:
	case <-ctx.Done():
	}
}
