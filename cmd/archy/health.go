package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

func healthCmd() *cobra.Command {
	return lockless(&cobra.Command{
		Use: "health [APP...]", GroupID: groupDaily, Short: "run the apps' health checks now",
		Long: `health runs the check of each app now, whatever the last one said: of the apps named, or of
all that should run. One that fails in its start period is starting.

Exit codes: 0 all healthy or starting; 3 one is unhealthy or down, or was named and is
stopped or not installed.`,
		Example: `  archy health
  archy health lnd && echo the wallet can be used`,
		ValidArgsFunction: completeApps,
		RunE:              runHealth,
	})
}

func runHealth(cmd *cobra.Command, names []string) error {
	e, ids, err := namedApps(cmd, names)
	if err != nil {
		return err
	}
	if err := e.readFacts(); err != nil {
		return err
	}
	c, err := e.connect(cmd.Context())
	if err != nil {
		return err
	}
	defer c.close()
	look := c.pass(reconcile.Options{CheckOnly: true, Only: ids})
	w, err := look.Observer.Observe(cmd.Context())
	if err != nil {
		return err
	}
	prober := reconcile.Prober{Check: c.Engine.Check, AskHost: askHost, Now: time.Now}
	return e.printHealth(prober.Probe(cmd.Context(), w, len(ids) > 0))
}

func (e *env) printHealth(apps []reconcile.Probed) error {
	code := exitOK
	rows := [][]string{}
	for _, a := range apps {
		if !a.OK() {
			code = exitPartial
		}
		rows = append(rows, []string{a.App, a.Health, fmt.Sprintf("%d ms", a.DurationMS), firstLine(a)})
	}
	if e.json {
		doc := struct {
			Schema   int                `json:"schema"`
			Apps     []reconcile.Probed `json:"apps"`
			ExitCode int                `json:"exit_code"`
		}{1, apps, code}
		enc := json.NewEncoder(e.out)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(doc); err != nil {
			return err
		}
		return exitCode(code)
	}
	if err := e.table([]string{"APP", "HEALTH", "TOOK", "SAYS"}, rows); err != nil {
		return err
	}
	return exitCode(code)
}

// firstLine is what an app's check says, on one line.
func firstLine(a reconcile.Probed) string {
	line, _, _ := strings.Cut(strings.TrimSpace(a.Message), "\n")
	switch {
	case line == "":
		return a.Stage
	case a.Stage == "":
		return line
	}
	return a.Stage + ": " + line
}
