package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/doctor"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// writeBundle packs the report for somebody who does not sit at this node.
func (e *examiner) writeBundle(ctx context.Context, file string, d *doctor.Document) error {
	b := doctor.Bundle{Mask: e.mask, Unread: e.unread, Now: time.Now, Sources: e.bundleSources(d)}
	left, err := b.Write(ctx, file)
	if err != nil {
		return fmt.Errorf("--bundle: %w", err)
	}
	for _, l := range left {
		e.say("left out of the bundle: %s", l)
	}
	e.say("the report is in %s", file)
	return nil
}

func (e *examiner) bundleSources(d *doctor.Document) []doctor.Source {
	list := []doctor.Source{
		{Name: "doctor.json", Read: func(context.Context) (string, error) { return indented(d) }},
		{Name: "versions.txt", Read: e.versionTexts},
		{Name: "archy.yaml", Read: e.fileText(node.ConfigPath)},
	}
	for _, name := range []string{"reconcile-last", "update-pending", "update-last", "first-boot", "heal"} {
		list = append(list, doctor.Source{Name: "last/" + name + ".json", Read: e.fileText(e.Layout.State(name + ".json")), Says: true})
	}
	list = append(list, e.unitSources()...)
	if e.elsewhere() {
		return list
	}
	list = append(list,
		doctor.Source{Name: "status.json", Says: true, Read: func(ctx context.Context) (string, error) {
			return e.asUser(ctx, e.self(), "status", "--json")
		}},
		doctor.Source{Name: "containers.txt", Read: func(ctx context.Context) (string, error) {
			return e.asUser(ctx, "podman", "ps", "--all", "--format", "{{.Names}}\t{{.Status}}\t{{.Image}}")
		}})
	for _, unit := range []string{"archy-first-boot", "archy-reconcile", "archy-doctor", "archy-update-verify"} {
		list = append(list, e.journalSource(unit, "journalctl", "-u", unit+".service"))
	}
	return append(list, e.appJournals(d)...)
}

func indented(v any) (string, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	return string(text) + "\n", err
}

func (e *examiner) fileText(path string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		text, err := os.ReadFile(e.Layout.Host(path))
		return string(text), err
	}
}

// unitSources are the units of the apps, and of the bridges.
func (e *examiner) unitSources() (list []doctor.Source) {
	for _, pattern := range []string{"*.container", "*.network"} {
		files, _ := filepath.Glob(e.Layout.Host(filepath.Join(e.Layout.UnitDir(), pattern)))
		for _, file := range files {
			name := filepath.Base(file)
			list = append(list, doctor.Source{Name: "units/" + name, Says: true, Read: e.fileText(filepath.Join(e.Layout.UnitDir(), name))})
		}
	}
	return list
}

// journalLines are the last lines of a journal that are packed.
const journalLines = 300

func (e *examiner) journalSource(name string, argv ...string) doctor.Source {
	argv = append(argv, "-n", strconv.Itoa(journalLines), "--no-pager", "--quiet", "-o", "short-iso")
	return doctor.Source{Name: "journal/" + name + ".txt", Says: true, Read: func(ctx context.Context) (string, error) {
		return e.text(ctx, argv...)
	}}
}

// appJournals are those of the apps that something is wrong with. An adopted container may print secrets that archy does
// not know; its log is never packed.
func (e *examiner) appJournals(d *doctor.Document) (list []doctor.Source) {
	records, _ := e.State.ReadRecords()
	seen := map[string]bool{}
	for _, r := range d.Checks {
		for _, f := range r.Findings {
			record, known := records[f.Object]
			if known && record.Owner == state.Quadlet && !seen[f.Object] {
				seen[f.Object] = true
				list = append(list, e.journalSource("app-"+f.Object, "journalctl", "_UID="+strconv.Itoa(e.User.UID), "CONTAINER_NAME="+record.Container))
			}
		}
	}
	return list
}

// versionTexts are what the node is made of.
func (e *examiner) versionTexts(ctx context.Context) (string, error) {
	out := "archy " + version + "\n"
	for _, argv := range [][]string{{"podman", "--version"}, {"systemctl", "--version"}, {"uname", "-srm"}} {
		text, err := e.text(ctx, argv...)
		if err != nil {
			text = argv[0] + ": " + err.Error() + "\n"
		}
		out += text
	}
	release, err := os.ReadFile(e.Layout.Host("/etc/os-release"))
	if err != nil && !os.IsNotExist(err) {
		return out, err
	}
	return out + string(release), nil
}

// text is what a program prints. It runs in a directory that the service user may enter too.
func (e *examiner) text(ctx context.Context, argv ...string) (string, error) {
	res, err := e.node.Runner.Run(ctx, command.Cmd{Argv: argv, Dir: "/", Limit: 20 * time.Second})
	return string(res.Stdout), err
}

// asUser is what a program prints that the service user runs.
func (e *examiner) asUser(ctx context.Context, argv ...string) (string, error) {
	switch {
	case e.node.UserErr != nil:
		return "", fs.ErrNotExist
	case os.Geteuid() == 0:
		return e.text(ctx, append(e.becoming(), argv...)...)
	}
	return e.text(ctx, argv...)
}

// becoming is how root runs a program as the service user, with a clean environment. It is told to end when this process dies, whose locks it
// works under.
func (e *examiner) becoming() []string {
	uid, gid := strconv.Itoa(e.User.UID), strconv.Itoa(e.User.GID)
	return append([]string{"setpriv", "--reuid=" + uid, "--regid=" + gid, "--init-groups", "--pdeathsig=TERM", "--", "env", "-i"}, serviceEnv(e.environ, e.User)...)
}

func (e *examiner) self() string {
	self, err := os.Executable()
	if err != nil {
		return "archy"
	}
	return self
}
