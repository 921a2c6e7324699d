package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/node"
)

// bootResult is the last line of --json.
type bootResult struct {
	Schema   int                              `json:"schema"`
	Event    string                           `json:"event"`
	Result   string                           `json:"result"`
	Profile  string                           `json:"profile"`
	Apps     map[string]firstboot.AppProgress `json:"apps"`
	Warnings []string                         `json:"warnings"`
	Web      []string                         `json:"web"`
	ExitCode int                              `json:"exit_code"`
}

// printBooted says how a first boot ended that reached its end, also on the console of a headless machine.
func (e *env) printBooted(p firstboot.Progress, facts node.Facts, took time.Duration) error {
	r := bootResult{Schema: 1, Event: "result", Result: p.Result, Profile: p.Profile, Apps: p.Apps, Warnings: p.Warnings, Web: webPages(facts), ExitCode: exitOK}
	if p.Result == firstboot.ResultPartial {
		r.ExitCode = exitPartial
	}
	if r.Warnings == nil {
		r.Warnings = []string{}
	}
	lines := bootLines(r, took)
	if e.json {
		if err := json.NewEncoder(e.out).Encode(r); err != nil {
			return err
		}
	} else {
		for _, id := range p.Failed() {
			fmt.Fprintf(e.err, "error: %s: %s\n", id, p.Apps[id].Error)
		}
		fmt.Fprintln(e.out, strings.Join(lines, "\n"))
	}
	e.console(lines...)
	return exitCode(r.ExitCode)
}

// webPages is where the node's own page is.
func webPages(f node.Facts) (list []string) {
	for _, host := range []string{f.HostIP, f.HostMDNS} {
		if host != "" {
			list = append(list, "http://"+host+"/")
		}
	}
	return list
}

// bootLines are the last words: how many apps, and where to look.
func bootLines(r bootResult, took time.Duration) []string {
	count := map[string]int{}
	var failed []string
	for _, id := range sortedKeys(r.Apps) {
		switch a := r.Apps[id]; a.Phase {
		case firstboot.PhaseFailed:
			failed = append(failed, id)
		case firstboot.PhaseDone:
			count["ready"]++
		default:
			count[strings.ToLower(a.Phase)]++
		}
	}
	var parts []string
	for _, word := range sortedKeys(count) {
		parts = append(parts, fmt.Sprintf("%d %s", count[word], word))
	}
	line := fmt.Sprintf("first boot done in %s: %d %s", clock(took), len(r.Apps), plural(len(r.Apps), "app"))
	if len(parts) > 0 {
		line += ", " + strings.Join(parts, ", ")
	}
	lines := []string{line}
	if len(failed) > 0 {
		lines = append(lines, "failed: "+strings.Join(failed, ", ")+"; archy tries again every half minute, see: archy status")
	}
	return append(lines, "the node's page: "+strings.Join(r.Web, "  "))
}

// clock is a duration as a stopwatch shows it.
func clock(d time.Duration) string {
	d = d.Round(time.Second)
	if d >= time.Hour {
		return fmt.Sprintf("%d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}
