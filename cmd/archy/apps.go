package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
)

func appsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "apps",
		Short:   "the manifests: what apps there are and how they run",
		GroupID: groupApps,
	}
	onlyCommands(cmd)
	cmd.AddCommand(appsListCmd(), appsLintCmd(), appsRenderCmd(), appsSchemaCmd())
	return cmd
}

func appsListCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "list the apps that this node knows",
		Long: `list prints one line per app, in the order of starts. SET says which first boot brings
the app: core, or full; "local" is an app of the owner's directory
/etc/archipelago/apps. A broken manifest is listed with the number of its errors.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := openEnv(cmd)
			if err != nil {
				return err
			}
			e.loadManifests()
			if e.json {
				return json.NewEncoder(e.out).Encode(appsDocument(e.Set))
			}
			return e.table(appHeader, appRows(e.Set))
		},
	}
}

// appInfo is one app in the JSON of apps list.
type appInfo struct {
	App       string   `json:"app"`
	Name      string   `json:"name"`
	Version   string   `json:"version"`
	Container string   `json:"container"`
	Tier      int      `json:"tier"`
	Optional  bool     `json:"optional"`
	Profiles  []string `json:"profiles,omitempty"`
	Image     string   `json:"image,omitempty"`
	Build     string   `json:"build,omitempty"`
	Ports     []string `json:"ports,omitempty"`
	Needs     []string `json:"needs,omitempty"`
	Local     bool     `json:"local"`
	File      string   `json:"file"`
}

func appsDocument(set *manifest.Set) any {
	list := []appInfo{}
	for _, id := range set.Order() {
		a := set.Apps[id]
		info := appInfo{
			App: a.ID, Name: a.Name, Version: a.Version, Container: a.Unit(), Tier: a.Tier(), Optional: a.Optional,
			Profiles: a.Profiles, Image: a.Container.Image, Needs: needs(set, id), Local: a.Local, File: a.File,
		}
		if a.Container.Build != nil {
			info.Build = a.Container.Build.Tag
		}
		for _, p := range a.Ports {
			info.Ports = append(info.Ports, p.String())
		}
		list = append(list, info)
	}
	return map[string]any{"schema": 1, "apps": list, "broken": set.Broken}
}

// appHeader names the columns of appRows.
var appHeader = []string{"APP", "TIER", "VERSION", "SET", "PORTS", "NEEDS"}

func appRows(set *manifest.Set) [][]string {
	var rows [][]string
	for _, id := range set.Order() {
		a := set.Apps[id]
		rows = append(rows, []string{
			id, strconv.Itoa(a.Tier()), a.Version, appSet(a), dash(fewPorts(hostPorts(a))),
			dash(strings.Join(needs(set, id), " ")),
		})
	}
	for _, id := range sortedKeys(set.Broken) {
		rows = append(rows, []string{id, "-", "broken", "-", "-", brokenText(set.Broken[id])})
	}
	return rows
}

// appSet is the smallest set that an app belongs to: the owner's own, core, or full, which holds core.
func appSet(a *manifest.App) string {
	switch {
	case a.Local:
		return "local"
	case slices.Contains(a.Profiles, "core"):
		return "core"
	case slices.Contains(a.Profiles, "full"):
		return "full"
	}
	return "-"
}

func brokenText(findings []manifest.Finding) string {
	n := 0
	for _, f := range findings {
		if f.Severity == manifest.Error {
			n++
		}
	}
	return fmt.Sprintf("%d %s: archy apps lint", n, plural(n, "error"))
}

// fewPorts is the first two of the ports, and how many there are beside.
func fewPorts(ports []string) string {
	if len(ports) <= 3 {
		return strings.Join(ports, " ")
	}
	return fmt.Sprintf("%s +%d", strings.Join(ports[:2], " "), len(ports)-2)
}

// hostPorts are the published ports as a person types them; udp is named.
func hostPorts(a *manifest.App) []string {
	var ports []string
	for _, p := range a.Ports {
		text := strconv.Itoa(p.Host)
		if p.Protocol == "udp" {
			text += "/udp"
		}
		if !slices.Contains(ports, text) {
			ports = append(ports, text)
		}
	}
	return ports
}

func needs(set *manifest.Set, id string) []string {
	var ids []string
	for _, d := range set.Needs(id) {
		ids = append(ids, d.AppID)
	}
	return ids
}

func appsSchemaCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "print the JSON Schema of a manifest",
		Long: `schema prints the JSON Schema (draft 2020-12) of a manifest. An editor that is told of
it completes fields and marks mistakes while you type.`,
		Example: `  archy apps schema > manifest.schema.json
  # and as the first line of a manifest:
  # yaml-language-server: $schema=../../manifest.schema.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cliOf(cmd).out.Write(manifest.Schema())
			return err
		},
	}
}
