// Command matrix prints docs/apps.md: what the shipped manifests say, side by side. go generate ./apps writes it.
package main

import (
	"fmt"
	"io"
	"os"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
)

func main() {
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error: "+err.Error())
		os.Exit(1)
	}
}

const head = `# The apps

Generated from the manifests in ` + "`apps/`" + ` by ` + "`go generate ./apps`" + `; do not edit. A node's own list, with the owner's apps, is ` + "`archy apps list`" + `, and
everything about one of them ` + "`archy spec APP`" + `. ` + "`D`" + ` is ` + "`/var/lib/archipelago`" + `.
`

// table is one of the tables of the page, a row for each app.
type table struct {
	title, text string
	columns     []string
	row         func(set *manifest.Set, a *manifest.App) []string
}

var tables = []table{
	{
		"What they are", "Set: `core` and `full` are the profiles of first boot; full holds core. Created: always, or (optional) only when asked for, needed by another app, or following one.",
		[]string{"app", "container", "tier", "image", "set", "created", "needs"}, identity,
	},
	{
		"How they are reached", "Exposure: **P** open to everybody, **L** to the local networks, **H** on this machine only, **C** bound everywhere and shut by the firewall.",
		[]string{"app", "network", "host port: container port"}, reach,
	},
	{
		"Where their data lies", "Owner: of directories that archy makes, with the default range of subordinate ids; what is there keeps its owner.",
		[]string{"app", "data", "owner", "other mounts"}, data,
	},
	{
		"What they may use", "CPUs `all but one`: the number of cores less one. Grace: seconds for a stop.",
		[]string{"app", "memory", "CPUs", "user", "capabilities", "root file system", "grace"}, limits,
	},
	{
		"What they are told", "Secrets are files in `D/secrets`; with a kind in brackets archy makes them. Computed: from facts of the node; a soft one is applied at the next restart.",
		[]string{"app", "secrets", "computed variables", "derived file"}, told,
	},
	{
		"How their health is asked", "Seconds: between checks, for one check, and for the start; and how many bad ones make an app unhealthy.",
		[]string{"app", "check", "interval", "timeout", "retries", "start"}, health,
	},
}

func write(w io.Writer) error {
	set, findings := manifest.LoadFS(apps.FS, "apps")
	if len(findings) > 0 {
		return fmt.Errorf("%s", findings[0])
	}
	out := page{w}
	out.line(head)
	for _, t := range tables {
		out.line("## " + t.title + "\n\n" + t.text + "\n")
		out.row(t.columns)
		out.rule(len(t.columns))
		for _, id := range set.Order() {
			out.row(t.row(set, set.Apps[id]))
		}
		out.line("")
	}
	return nil
}
