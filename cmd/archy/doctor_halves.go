package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/doctor"
)

// The two halves of the doctor: what is root's and everybody's, and what only the service user may ask.
const (
	partRoot = "root"
	partUser = "user"
)

// How long the half of somebody else may take: apps that are stopped for a heal have their own grace.
const (
	lookLimit = 5 * time.Minute
	healLimit = 28 * time.Minute
)

// examine makes both halves, each by who may make it.
func (o *doctorOptions) examine(ctx context.Context, e *examiner, d *doctor.Document) {
	checks := doctor.Checks()
	switch {
	case o.part == partRoot:
		d.Checks = o.hostHalf(ctx, e)
	case o.part == partUser:
		d.Checks = o.appsHalf(ctx, e, d)
	case o.level() > doctor.Report || os.Geteuid() != 0:
		// In this order: a user's manager that the host's half starts again is what the other half needs.
		host := o.host(ctx, e, d)
		d.Checks = doctor.Merge(checks, host, o.apps(ctx, e, d))
	default:
		apps := make(chan []doctor.Result, 1)
		other := &doctor.Document{}
		go func() { apps <- o.apps(ctx, e, other) }()
		host := o.host(ctx, e, d)
		d.Checks = doctor.Merge(checks, host, <-apps)
		d.Notes = append(d.Notes, other.Notes...)
	}
}

// hostHalf is made in this process.
func (o *doctorOptions) hostHalf(ctx context.Context, e *examiner) []doctor.Result {
	roles := []doctor.Who{doctor.Anyone}
	if os.Geteuid() == 0 {
		roles = append(roles, doctor.Root)
	}
	return doctor.Run(ctx, e.node, doctor.Checks(), o.level(), roles...)
}

// host is the half of root. The service user has root make it when something is to be mended and sudo asks for nothing.
func (o *doctorOptions) host(ctx context.Context, e *examiner, d *doctor.Document) []doctor.Result {
	if o.level() == doctor.Report || os.Geteuid() == 0 {
		return o.hostHalf(ctx, e)
	}
	results, err := o.other(ctx, e, d, []string{"sudo", "-n", "--"}, partRoot)
	if err != nil {
		d.Notes = append(d.Notes, "root's part was not looked at: "+err.Error())
		return o.hostHalf(ctx, e)
	}
	return results
}

// appsHalf climbs the ladder, if asked, and makes the checks of podman and the apps, in this process.
func (o *doctorOptions) appsHalf(ctx context.Context, e *examiner, d *doctor.Document) []doctor.Result {
	if o.heal != "" {
		o.climb(ctx, e, d) // first: what is asked of a broken podman stays unanswered
	}
	defer e.ask(ctx)()
	return doctor.Run(ctx, e.node, doctor.Checks(), doctor.Report, doctor.ServiceUser)
}

// apps is the half of the service user: root has it made by a process of that user.
func (o *doctorOptions) apps(ctx context.Context, e *examiner, d *doctor.Document) []doctor.Result {
	checks := doctor.Checks()
	switch {
	case e.elsewhere():
		return doctor.Absent(checks, "another root is looked at, and its podman cannot be asked")
	case e.node.UserErr != nil:
		return doctor.Absent(checks, "there is no service user whose podman could be asked")
	case os.Geteuid() == e.User.UID:
		return o.appsHalf(ctx, e, d)
	case os.Geteuid() != 0:
		return doctor.Absent(checks, "only root and "+e.User.Name+" can see this")
	}
	results, err := o.other(ctx, e, d, e.becoming(), partUser)
	if err != nil {
		return doctor.Broken(checks, err)
	}
	return results
}

// other has a half made by archy as somebody else.
func (o *doctorOptions) other(ctx context.Context, e *examiner, d *doctor.Document, as []string, part string) ([]doctor.Result, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	limit := lookLimit
	if o.heal != "" {
		limit = healLimit
	}
	res, err := half(ctx, command.Cmd{Argv: append(as, o.argv(self, e, part)...), Dir: "/", Limit: limit})
	var doc doctor.Document
	dec := json.NewDecoder(bytes.NewReader(res.Stdout))
	if decodeErr := dec.Decode(&doc); decodeErr != nil || len(doc.Checks) != len(doctor.Checks()) {
		return nil, errors.Join(childFault(err, res), ctx.Err())
	}
	d.Notes = append(d.Notes, doc.Notes...)
	if doc.Heal != nil {
		d.Heal = doc.Heal
	}
	return doc.Checks, nil
}

// half runs a child that dies with this process: its death signal follows the thread that starts it, so the thread has to stay.
func half(ctx context.Context, cmd command.Cmd) (command.Result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return command.Exec{}.Run(ctx, cmd)
}

// childFault is why a child said nothing that is a report, in one line.
func childFault(err error, res command.Result) error {
	var limit *command.LimitError
	said := strings.Join(strings.Fields(string(res.Stderr)), " ")
	switch {
	case errors.As(err, &limit):
		return fmt.Errorf("it did not end within %s", limit.Limit)
	case said != "":
		return errors.New(said)
	case err != nil:
		return fmt.Errorf("exit code %d", res.ExitCode)
	}
	return errors.New("it said nothing that is a report")
}

func (o *doctorOptions) argv(self string, e *examiner, part string) []string {
	argv := []string{self, "doctor", "--json", "--part", part, "--wait-lock", o.waitLock.String()}
	if o.heal != "" {
		argv = append(argv, "--heal="+o.heal)
	}
	if o.fix {
		argv = append(argv, "--fix")
	}
	if o.stopApps {
		argv = append(argv, "--stop-apps")
	}
	return e.withConfig(argv)
}
