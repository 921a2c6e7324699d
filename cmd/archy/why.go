package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/applog"
	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/story"
)

func whyCmd() *cobra.Command {
	var since string
	cmd := &cobra.Command{
		Use: "why APP", GroupID: groupDaily, Short: "tell why an app is as it is: what archy did, when, because of what",
		Long: `why tells the story of an app: how it is, what it waits for, when archy tries next, its last
failure with what the app said then, and what archy did to it. It changes nothing, and goes on
with what is written down when podman cannot be asked. No secret of the node is printed.

Exit codes: 0 told; 2 no such app; 3 told, but something that was written down cannot be read.`,
		Example: `  archy why lnd
  archy why --since 2h mempool-api
  archy why --json bitcoin-knots`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: completeApps,
		RunE: func(cmd *cobra.Command, args []string) error { return runWhy(cmd, args[0], since) },
	}
	cmd.Flags().StringVar(&since, "since", "", "nothing older: `TIME` is 10m, 3d, 2026-01-31, \"2026-01-31 15:04\" or today")
	return cmd
}

func runWhy(cmd *cobra.Command, name, since string) error {
	in := story.Input{Now: time.Now()}
	if since != "" {
		var err error
		if in.Since, err = applog.ParseSince(since, in.Now); err != nil {
			return usage("", "--since: %w", err)
		}
	}
	e, ids, err := namedApps(cmd, []string{name})
	if err != nil {
		return err
	}
	in.App = ids[0]
	e.remembered(&in)
	if err := e.seenNow(cmd, &in); err != nil {
		in.NotNow = err
		e.seenLast(&in)
	}
	if err := cmd.Context().Err(); err != nil {
		return err
	}
	told := story.Tell(in)
	if f := told.LastFailure; f != nil {
		said, err := e.saidThen(cmd.Context(), in, *f)
		if f.Said(said); err != nil {
			told.Problems = append(told.Problems, err.Error())
		}
	}
	if err := e.printStory(told); err != nil {
		return err
	}
	if len(in.Problems) > 0 {
		return exitCode(exitPartial)
	}
	return nil
}

// remembered is what archy has written down about the app.
func (e *env) remembered(in *story.Input) {
	var errs [3]error
	in.Diary, errs[0] = e.State.ReadDiary(in.App)
	in.Restarts, errs[1] = e.State.ReadHistory(in.App)
	record, found, err := e.State.ReadRecord(in.App)
	if errs[2] = err; found && !record.Installed {
		in.Removed = record.RemovedAt
	}
	for _, err := range errs {
		if err != nil {
			in.Problems = append(in.Problems, err)
		}
	}
}

// seenNow looks at the app and changes nothing.
func (e *env) seenNow(cmd *cobra.Command, in *story.Input) error {
	if err := e.readFacts(); err != nil {
		return err
	}
	c, err := e.connect(cmd.Context())
	if err != nil {
		return err
	}
	defer c.close()
	pass := c.pass(reconcile.Options{CheckOnly: true, Only: []string{in.App}})
	pass.Observer.Detailed = true
	result, err := pass.Run(cmd.Context())
	if err != nil {
		return err
	}
	in.SeenAt = result.StartedAt
	in.See(result)
	return nil
}

// seenLast takes what the last pass has seen.
func (e *env) seenLast(in *story.Input) {
	var last reconcile.Result
	found, err := e.State.ReadLast("reconcile", &last)
	if err != nil {
		in.Problems = append(in.Problems, err)
	}
	if found && err == nil {
		in.SeenAt = last.StartedAt
		in.See(last)
	}
}

// What an app said up to its failure is looked for from saidBefore, and until saidAfter because the journal is a little late.
const (
	saidBefore = time.Hour
	saidAfter  = 2 * time.Second
)

// saidThen are the last lines that the app said up to its failure, without any secret of the node.
func (e *env) saidThen(ctx context.Context, in story.Input, f story.Failure) ([]string, error) {
	client := podman.New(e.Layout.Host(e.Layout.PodmanSocket()))
	defer client.Close()
	mask, err := e.logSecrets()
	if err != nil {
		return []string{}, err
	}
	source, hidden := e.logSource(ctx, client, in.App)
	var tail story.Tail
	o := applog.Options{Lines: story.TailLines, Until: f.At.Add(saidAfter), Since: f.At.Add(-saidBefore)}
	err = applog.Read(ctx, command.Exec{}, source, o, applog.NewMask(append(mask, hidden...)), func(l applog.Line) error {
		tail.Add(l.Text)
		return nil
	})
	if errors.Is(err, context.Canceled) {
		return tail.Lines(), nil
	}
	return tail.Lines(), err
}

func (e *env) printStory(s story.Story) error {
	if e.json {
		enc := json.NewEncoder(e.out)
		enc.SetEscapeHTML(false)
		return enc.Encode(s)
	}
	for _, p := range s.Problems {
		fmt.Fprintln(e.err, "warning:", p)
	}
	fmt.Fprintln(e.out, s.Headline())
	for _, fact := range s.Facts() {
		fmt.Fprint(e.out, wrapNote(fmt.Sprintf("%-10s %s", fact[0], fact[1]), e.width()))
	}
	if f := s.LastFailure; f != nil {
		fmt.Fprintln(e.out, "\n"+f.Head())
		for _, line := range f.Log {
			fmt.Fprintln(e.out, "  | "+strings.TrimRight(line, " "))
		}
	}
	rows, older := s.Rows()
	if len(rows) == 0 {
		_, err := fmt.Fprintln(e.out, "\nnothing is written down of what archy did to it")
		return err
	}
	fmt.Fprintln(e.out)
	if older > 0 {
		fmt.Fprintf(e.out, "%d earlier entries: archy why --json %s\n", older, s.App)
	}
	return e.table([]string{"TIME", "COMMAND", "ACTION", "RESULT", "BECAUSE"}, rows)
}
