package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/quadlet"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
	"git.tx1138.com/lfg2025/archy/internal/watch"
)

func podmanCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "podman", GroupID: groupNode, Short: "what is wrong with podman, and healing it"}
	onlyCommands(cmd)
	cmd.AddCommand(podmanCheckCmd(), podmanHealCmd())
	return cmd
}

func podmanCheckCmd() *cobra.Command {
	var limit time.Duration
	cmd := &cobra.Command{
		Use: "check", Short: "find out how podman is, and change nothing",
		Long: `check tells by evidence how the service user's podman is: by the text of an error, or by a
fact on disk or in /proc. That podman is slow proves nothing, and is told apart from what
is broken.

Exit codes: 0 ok or slow, 6 somebody or "archy podman heal" has to act.`,
		Example: `  archy podman check --json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, h, done, err := openHealer(cmd, limit)
			if err != nil {
				return err
			}
			defer done()
			d := h.Check(cmd.Context())
			if err := cmd.Context().Err(); err != nil {
				return err // what was not asked to its end tells nothing
			}
			if err := e.printDiagnosis(d); err != nil {
				return err
			}
			return exitCode(d.ExitCode())
		},
	}
	cmd.Flags().DurationVar(&limit, "limit", time.Minute, "how long podman may take to answer")
	return cmd
}

// openHealer opens the node for a look at podman. Only the service user's podman is looked at (incident 22).
func openHealer(cmd *cobra.Command, limit time.Duration) (*env, *heal.Healer, func(), error) {
	if limit < time.Second {
		return nil, nil, nil, usage("", "--limit %s is below 1s", limit)
	}
	e, err := lookAtNode(cmd)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := e.load(); err != nil {
		return nil, nil, nil, err
	}
	h, done := e.healer()
	h.Limits.Answer = limit
	h.Limits.Fast = min(5*time.Second, limit)
	return e, h, done, nil
}

// healer puts healing together from the node.
func (e *env) healer() (h *heal.Healer, done func()) {
	var manager *systemd.Manager
	h = &heal.Healer{Layout: e.Layout, User: e.User, Cores: e.Facts.Cores, BootID: e.Facts.BootID, Runner: renewing{command.Exec{}, e.beat}, History: e.State, Now: time.Now,
		Apps: e.healApps(), Say: e.healSays,
		Units: func(ctx context.Context) (heal.Units, error) {
			var err error
			if manager == nil {
				manager, err = systemd.Connect(context.WithoutCancel(ctx), systemd.Options{Bus: e.Layout.Host(e.Layout.UserBus()), UID: e.User.UID})
			}
			return manager, err
		}}
	h.Probe, _ = os.Executable()
	return h, func() {
		if manager != nil {
			manager.Close()
		}
	}
}

// renewing lets each program that is run be progress for the watchdog: none of a check or a climb may take longer than a pass may go without any.
type renewing struct {
	command.Runner
	beat *watch.Beat
}

func (r renewing) Run(ctx context.Context, cmd command.Cmd) (command.Result, error) {
	r.beat.Allow(0, 0)
	defer r.beat.Allow(0, 0)
	return r.Runner.Run(ctx, cmd)
}

func (e *env) healSays(format string, args ...any) {
	if !e.quiet {
		fmt.Fprintf(e.err, format+"\n", args...)
	}
}

// healApps are the apps in the order of starts.
func (e *env) healApps() []heal.App {
	records, _ := e.State.ReadRecords()
	var list []heal.App
	for _, id := range e.Set.Order() {
		app := e.Set.Apps[id]
		a := heal.App{Name: app.Unit(), Installed: records[id].Installed, Grace: time.Duration(app.StopGrace()) * time.Second, BindsOnly: true}
		for _, v := range app.Volumes {
			a.BindsOnly = a.BindsOnly && v.Type != "volume"
			if v.Type == manifest.Bind && !v.ReadOnly() {
				a.Targets = append(a.Targets, v.Target)
			}
		}
		text, err := os.ReadFile(e.Layout.Host(e.Layout.Unit(a.Name)))
		_, ours := quadlet.App(text)
		a.Managed = err == nil && ours
		list = append(list, a)
	}
	return list
}

func (e *env) printDiagnosis(d heal.Diagnosis) error {
	if e.json {
		doc := struct {
			heal.Diagnosis
			ExitCode int `json:"exit_code"`
		}{d, d.ExitCode()}
		return e.encode(doc)
	}
	if e.quiet && d.ExitCode() == heal.ExitOK {
		return nil
	}
	line := "podman is " + string(d.State)
	if d.Version != "" {
		line += fmt.Sprintf(" (%s, answered in %.1f s)", d.Version, float64(d.AnswerMS)/1000)
	}
	fmt.Fprintln(e.out, line)
	if d.Evidence != "" {
		fmt.Fprintf(e.out, "  seen: %s [%s]\n", d.Evidence, d.Source)
	}
	for _, f := range d.Also {
		fmt.Fprintf(e.out, "  also %s: %s [%s]\n", f.State, f.Evidence, f.Source)
	}
	e.explainHuman(d.Human)
	return nil
}

// explainHuman prints what a person needs to decide.
func (e *env) explainHuman(m *heal.Human) {
	if m == nil {
		return
	}
	fmt.Fprintf(e.err, "still works: %s\nnot done: %s\n", m.StillWorks, m.WillNot)
	for _, c := range m.Commands {
		fmt.Fprintf(e.err, "  %s\n      costs: %s\n", c.Command, c.Costs)
	}
}

func (e *env) encode(doc any) error {
	enc := json.NewEncoder(e.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(doc)
}

func names(list []string) string { return strings.Join(list, ", ") }
