package main

import (
	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

// verbCmds are what an owner types every day.
func verbCmds() []*cobra.Command {
	return []*cobra.Command{installCmd(), startCmd(), stopCmd(), restartCmd(), removeCmd(), upgradeCmd(), logsCmd(), whyCmd(), healthCmd(), pruneCmd()}
}

func installCmd() *cobra.Command {
	o := verbOptions{Request: reconcile.Request{Verb: reconcile.VerbInstall}}
	cmd := verbCmd(&o, "install APP...", "install apps, with what they need and their pages",
		`install brings apps to the node: what they need first, their pages with them. An app that is
installed is left as it is; one that was removed comes back over its old data. When an app
does not start, its unit is taken away again; data and secrets stay.`,
		`  archy install grafana
  archy install --no-start btcpay-server`)
	cmd.Flags().BoolVar(&o.NoStart, "no-start", false, "make everything ready and start nothing")
	cmd.Flags().StringArrayVar(&o.DropMounts, "drop-mount", nil, "give up what a container that is gone mounted at this `TARGET` (repeatable)")
	dropDiskFlag(cmd, &o)
	return cmd
}

func startCmd() *cobra.Command {
	o := verbOptions{Request: reconcile.Request{Verb: reconcile.VerbStart}}
	cmd := verbCmd(&o, "start APP...", "start apps that were stopped or have failed",
		`start takes apps off the list of stopped ones, closes their breakers, and starts them. It waits
until they are healthy, or starting with a live process. An app that needs a stopped one is
not started, exit 3.`,
		`  archy start lnd
  archy start --with-deps mempool`)
	cmd.Flags().BoolVar(&o.WithDeps, "with-deps", false, "also start the stopped apps that they need")
	cmd.Flags().StringArrayVar(&o.DropMounts, "drop-mount", nil, "give up what the app had at this `TARGET` and its manifest mounts no more (repeatable)")
	dropDiskFlag(cmd, &o)
	return cmd
}

func dropDiskFlag(cmd *cobra.Command, o *verbOptions) {
	cmd.Flags().StringArrayVar(&o.DropDisks, "drop-disk", nil, "start without the disk at this `MOUNTPOINT`: the data lie elsewhere now (repeatable)")
}

func stopCmd() *cobra.Command {
	o := verbOptions{Request: reconcile.Request{Verb: reconcile.VerbStop}}
	cmd := verbCmd(&o, "stop APP...", "stop apps; they stay stopped, also over a reboot",
		`stop writes down that the apps are stopped, and then stops them, each with its own grace.
What needs them is named and goes on running.`,
		`  archy stop filebrowser
  archy stop --cascade bitcoin-knots`)
	cmd.Flags().BoolVar(&o.Cascade, "cascade", false, "stop the apps that need them first")
	return cmd
}

func restartCmd() *cobra.Command {
	o := verbOptions{Request: reconcile.Request{Verb: reconcile.VerbRestart}}
	return verbCmd(&o, "restart APP...", "stop apps and start them again",
		`restart stops apps with their grace and starts them again. One that its owner stopped is not
touched, exit 2.`,
		`  archy restart lnd`)
}

func upgradeCmd() *cobra.Command {
	o := verbOptions{Request: reconcile.Request{Verb: reconcile.VerbUpgrade}}
	cmd := verbCmd(&o, "upgrade APP... | --all", "give apps the image of their manifest, or another one",
		`upgrade has the image before it touches anything, replaces the container, and goes back to the
previous image when the new one does not come up. A stopped app is upgraded and stays
stopped. An adopted container moves to a unit.`,
		`  archy upgrade lnd
  archy upgrade --all
  archy upgrade grafana --to 10.3.1`)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		switch {
		case o.All && len(args) > 0:
			return usage("", "--all and the names of apps contradict each other")
		case !o.All && len(args) == 0:
			return usage("archy upgrade --all upgrades all of them", "the name of an app is missing")
		case o.To != "" && (o.All || len(args) != 1):
			return usage("", "--to is for one app")
		}
		if err := manifest.CheckReference(o.To); o.To != "" && err != nil {
			return usage("a reference is like docker.io/grafana/grafana:10.3.1, a tag like 10.3.1", "--to %s: %w", o.To, err)
		}
		return nil
	}
	f := cmd.Flags()
	f.BoolVar(&o.All, "all", false, "every app whose manifest has a newer image")
	f.StringVar(&o.To, "to", "", "another image `REF`, or just a tag of the one that the app has")
	f.BoolVar(&o.AllowDowngrade, "allow-downgrade", false, "let the image be of a lower version than the one that ran on the data")
	return cmd
}
