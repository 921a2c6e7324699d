package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/doctor"
)

// doctorOptions are the flags of doctor.
type doctorOptions struct {
	heal     string
	stopApps bool
	fix      bool
	restore  string
	bundle   string
	waitLock time.Duration
	part     string
}

func doctorCmd() *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use:     "doctor",
		GroupID: groupNode,
		Short:   "look at the whole node, and say what ails it and what mends it",
		Long: `doctor makes one list of checks, from the data volume up to the apps, each within its own
time: whatever hangs or is missing, the others are told. Looking changes nothing and takes
no lock. As root it looks at everything, and has the service user look at the containers;
as the service user it leaves out what only root can see.

--fix mends what is safe to mend: modes and owners of secrets, lingering, the drop-in of the
user's manager, host names of Tor. --heal=safe does that too, and climbs the ladder that
repairs podman as far as it is safe; --heal=full climbs all of it, with the node locked.

Exit codes: 0 nothing, or nothing but information; 3 warnings; 1 errors; 6 a person must
decide; 2 usage; 5 locked; 130 interrupted.`,
		Example: `  sudo archy doctor
  sudo archy doctor --fix
  sudo archy doctor --bundle report.tar.gz     for a report of a fault: no secret is in it
  archy doctor --restore-quarantine db.sql.20260102T030405Z`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&o.heal, "heal", "", "repair podman: `HOW` is safe or full; full is for root or the service user, with the node locked")
	f.BoolVar(&o.stopApps, "stop-apps", false, "with --heal=full: stop every app first, where live ones stand in the way")
	f.BoolVar(&o.fix, "fix", false, "mend what is safe to mend")
	f.StringVar(&o.restore, "restore-quarantine", "", "put back what a heal has set aside under this `NAME`")
	f.StringVar(&o.bundle, "bundle", "", "also pack a report without secrets into this `FILE` (tar.gz)")
	f.DurationVar(&o.waitLock, "wait-lock", 30*time.Second, "how long to wait for another run before something is mended")
	f.StringVar(&o.part, "part", "", "")
	_ = f.MarkHidden("part")
	_ = cmd.RegisterFlagCompletionFunc("heal", cobra.FixedCompletions([]string{"safe", "full"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// valid refuses what the command line has wrong.
func (o *doctorOptions) valid() error {
	switch {
	case o.heal != "" && o.heal != "safe" && o.heal != "full":
		return usage(didYouMean(o.heal, []string{"safe", "full"}), "--heal=%s is neither safe nor full", o.heal)
	case o.stopApps && o.heal != "full":
		return usage("archy doctor --heal=full --stop-apps", "--stop-apps goes with --heal=full")
	case o.restore != "" && (o.heal != "" || o.fix || o.bundle != ""):
		return usage("", "--restore-quarantine does one thing, and takes no --heal, --fix or --bundle")
	case o.part != "" && o.part != partRoot && o.part != partUser:
		return usage("", "no part of the doctor is called %q", o.part)
	}
	return o.validBundle()
}

// validBundle refuses a place for the report that there is not, before half a minute of looking.
func (o *doctorOptions) validBundle() error {
	if o.bundle == "" {
		return nil
	}
	dir := filepath.Dir(o.bundle)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return usage("", "--bundle %s: there is no directory %s", o.bundle, dir)
	}
	if info, err := os.Stat(o.bundle); err == nil && !info.Mode().IsRegular() {
		return usage("as in --bundle report.tar.gz", "--bundle %s: is there, and is no file", o.bundle)
	}
	return nil
}

func (o *doctorOptions) level() doctor.Repair {
	switch {
	case o.heal == "full":
		return doctor.Full
	case o.heal == "safe", o.fix:
		return doctor.Safe
	}
	return doctor.Report
}

func (o *doctorOptions) run(cmd *cobra.Command) error {
	if err := o.valid(); err != nil {
		return err
	}
	e, err := openDoctor(cmd)
	if err != nil {
		return err
	}
	if o.restore != "" {
		return o.restoreQuarantine(cmd, e)
	}
	if o.level() > doctor.Report && e.elsewhere() {
		return usage("", "archy doctor mends the running node alone; with --root it only looks")
	}
	d := e.newDocument()
	release, err := o.lock(cmd, e, d)
	if err != nil {
		return err
	}
	defer release()
	o.examine(cmd.Context(), e, d)
	d.DurationMS = time.Since(d.StartedAt).Milliseconds()
	d.Summarise()
	if cmd.Context().Err() != nil {
		d.ExitCode, o.bundle = exitInterrupted, "" // what was not looked at is no finding
	}
	if o.bundle != "" {
		if err := e.writeBundle(cmd.Context(), o.bundle, d); err != nil {
			return err
		}
	}
	if err := e.printDoctor(*d); err != nil {
		return err
	}
	return exitCode(d.ExitCode)
}

// lock takes what repairs need; looking needs nothing, and a child works under the lock of who started it. Where there
// can be no lock nothing is mended, and the report is made all the same.
func (o *doctorOptions) lock(cmd *cobra.Command, e *examiner, d *doctor.Document) (release func(), err error) {
	take := e.Locks.NodeShared
	switch {
	case o.part != "" || o.level() == doctor.Report:
		return func() {}, nil
	case o.heal == "full":
		take = e.Locks.NodeExclusive
	}
	lock, err := take(cmd.Context(), o.waitLock)
	held, note := lockFault(err)
	if held || cmd.Context().Err() != nil {
		return nil, err
	}
	if note != "" {
		d.Notes = append(d.Notes, note)
		o.heal, o.fix, o.stopApps = "", false, false
	}
	return lock.Release, nil
}

// newDocument is what this run will say.
func (e *examiner) newDocument() *doctor.Document {
	as := e.User.Name
	if os.Geteuid() == 0 {
		as = "root"
	} else if os.Geteuid() != e.User.UID {
		as = fmt.Sprintf("uid %d", os.Geteuid())
	}
	return &doctor.Document{Schema: 1, Version: version, StartedAt: time.Now().UTC(), As: as}
}

// byTimer tells that systemd started this very process.
func (c *cli) byTimer() bool {
	return cmp.Or(c.variable("SYSTEMD_EXEC_PID"), "-") == fmt.Sprint(os.Getpid())
}
