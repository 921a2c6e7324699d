package main

import (
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/wallet"
)

func secretsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secrets",
		Short: "the passwords and tokens of the apps",
		Long: `Secrets are files of one value each in /var/lib/archipelago/secrets, made before any
container and never overwritten. No command prints a value.`,
		GroupID: groupApps,
	}
	onlyCommands(cmd)
	cmd.AddCommand(secretsGenCmd(), secretsListCmd(), secretsCheckCmd(), secretsRotateCmd(), secretsSyncCmd(), rpcauthCmd())
	return cmd
}

// secretsWait is the flag of the commands that change secrets, and what they begin with.
type secretsWait struct{ wait time.Duration }

func (w *secretsWait) flag(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&w.wait, "wait-lock", 30*time.Second, "how long to wait for another run")
}

// open reads the node and takes its lock together with the other commands that change something. Root may write
// secrets too: they are given to the service user.
func (w *secretsWait) open(cmd *cobra.Command) (e *env, unlock func(), err error) {
	if e, err = openEnv(cmd); err != nil {
		return nil, nil, err
	}
	if err := node.CheckVolume(e.Layout); err != nil {
		return nil, nil, err
	}
	lock, err := e.Locks.NodeShared(cmd.Context(), w.wait)
	if err != nil {
		return nil, nil, err
	}
	e.loadManifests()
	return e, lock.Release, nil
}

// wanted are the secrets that the apps of the set read, and those that every node has. An app that is not installed is
// left out unless all is set.
func (e *env) wanted(all bool) []secrets.Wanted {
	records, _ := e.State.ReadRecords()
	list := secrets.FirstBootSecrets()
	for _, id := range e.Set.Order() {
		if app := e.Set.Apps[id]; all || !app.Optional || records[id].Installed {
			list = append(list, wantedBy(app)...)
		}
	}
	return list
}

// wantedBy are the secrets of one app. What it does not generate is another app's secret or the operator's text.
func wantedBy(app *manifest.App) []secrets.Wanted {
	made := map[string]bool{}
	var list []secrets.Wanted
	add := func(name string, kind secrets.Kind, optional, oneLine bool) {
		list = append(list, secrets.Wanted{Name: name, Kind: kind, Apps: []string{app.ID}, Optional: optional, OneLine: oneLine})
	}
	for _, g := range app.Container.GeneratedSecrets {
		made[g.Name] = true
		add(g.Name, secrets.Kind(g.Kind), false, true)
	}
	for _, s := range app.Container.SecretEnv {
		if !made[s.SecretFile] {
			add(s.SecretFile, secrets.Text, s.Optional, true)
		}
	}
	if app.Ext("derived") == "lnd.conf" { // made with the wallet, and by nothing else
		add(wallet.PasswordSecret, secrets.Text, true, true)
		add(wallet.LegacySecret, secrets.Text, true, true)
		add(wallet.SeedSecret, secrets.Words, true, false)
	}
	for _, m := range app.Container.SecretMounts {
		if !made[m.SecretFile] {
			add(m.SecretFile, secrets.Text, false, false)
		}
	}
	return list
}

// merged joins what several apps say of one secret: generated wins over the operator's text.
func merged(list []secrets.Wanted) map[string]secrets.Wanted {
	byName := map[string]secrets.Wanted{}
	for _, w := range list {
		old, again := byName[w.Name]
		if again {
			w.Apps = union(old.Apps, w.Apps)
			w.FirstBoot = w.FirstBoot || old.FirstBoot
			w.Optional = w.Optional && old.Optional
			w.OneLine = w.OneLine || old.OneLine
			if !w.Kind.Generated() {
				w.Kind = old.Kind
			}
		}
		byName[w.Name] = w
	}
	return byName
}
