package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/spec"
)

func secretsSyncCmd() *cobra.Command {
	var wait secretsWait
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "give podman the secrets that its containers read",
		Long: `sync creates the podman secrets archy.APP.KEY of the installed apps and replaces those
whose file says something else. A container that exists keeps the value that it was
created with: archy reconcile does this and restarts the readers too.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := loadEnv(cmd)
			if err != nil {
				return err
			}
			lock, err := e.Locks.NodeShared(cmd.Context(), wait.wait)
			if err != nil {
				return err
			}
			defer lock.Release()
			return e.syncSecrets(cmd.Context())
		},
	}
	wait.flag(cmd)
	return cmd
}

func (e *env) syncSecrets(ctx context.Context) error {
	engine := podman.New(e.Layout.Host(e.Layout.PodmanSocket()))
	defer engine.Close()
	world, err := e.observer(engine, e.secrets(), reconcile.Options{}).Observe(ctx)
	if err != nil {
		return err
	}
	set := []string{}
	for _, app := range world.Apps {
		if app.Want != reconcile.WantRunning && app.Want != reconcile.WantStopped {
			continue
		}
		names, err := e.syncApp(ctx, engine, app, world.Secrets)
		if set = append(set, names...); err != nil {
			return err
		}
	}
	if e.json {
		return json.NewEncoder(e.out).Encode(map[string]any{"schema": 1, "set": set})
	}
	for _, name := range set {
		fmt.Fprintln(e.out, "set "+name)
	}
	return nil
}

// syncApp sets the podman secrets of one app whose label is not that of the file; have is the label by name. A value
// that is only a draft is left to a pass, which writes its file first.
func (e *env) syncApp(ctx context.Context, engine *podman.Client, app *reconcile.App, have map[string]string) (set []string, err error) {
	switch {
	case len(app.Fresh) > 0:
		e.say("%s: left, %s is missing (archy secrets gen)", app.ID, app.Fresh[0].Name)
		return nil, nil
	case app.Fault != nil:
		e.say("%s: left, %s", app.ID, app.Fault.Text)
		return nil, nil
	}
	for _, s := range reconcile.WantedSecrets(app.Spec) {
		if label, ok := have[s.Name]; ok && label == s.Label {
			continue
		}
		labels := map[string]string{spec.LabelManaged: "true", spec.LabelApp: app.ID, spec.LabelSecretEnvHash: s.Label}
		if err := engine.CreateSecret(ctx, s.Name, []byte(s.Value.Reveal()), labels, true); err != nil {
			return set, err
		}
		set = append(set, s.Name)
	}
	return set, nil
}
