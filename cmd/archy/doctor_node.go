package main

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/doctor"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/update"
)

// examiner is the node that the doctor looks at, however broken.
type examiner struct {
	*env
	node *doctor.Node
	mask *doctor.Mask
	// unread are the secrets that could not be read.
	unread []string
}

// elsewhere tells that another root than the running node's is looked at.
func (e *examiner) elsewhere() bool { return e.root != "" && e.root != "/" }

// openDoctor opens what other commands refuse to work on: a machine without a service user, with a configuration that does
// not load, without its data volume.
func openDoctor(cmd *cobra.Command) (*examiner, error) {
	c := cliOf(cmd)
	cfg, configErr := c.loadConfig()
	var exit *exitError
	if errors.As(configErr, &exit) {
		return nil, configErr // a --config that is not there
	}
	if configErr != nil {
		cfg = node.Default()
	}
	u, userErr := node.LookupUser(c.root, cfg.ServiceUser)
	if userErr != nil {
		u = node.DefaultUser(cfg.ServiceUser)
	}
	l := node.NewLayout(c.root, cfg, u)
	e := &examiner{env: &env{cli: c, Config: cfg, User: u, Layout: l, State: state.New(l), Locks: c.locks(l)}}
	if userErr == nil && !e.elsewhere() {
		c.environment(u, l)
		if err := e.rightUser(cmd); err != nil {
			return nil, err
		}
	}
	e.loadManifests()
	factsErr := e.readFacts()
	e.readMask()
	e.node = e.examined(configErr, userErr, factsErr)
	return e, nil
}

// rightUser lets root and the service user on.
func (e *examiner) rightUser(cmd *cobra.Command) error {
	if os.Geteuid() == 0 && !e.asServiceUser {
		return nil
	}
	return e.requireServiceUser(cmd, e.User)
}

// readMask knows every secret of the node, so that none is said.
func (e *examiner) readMask() {
	store := e.secrets()
	var values []string
	list, err := store.List(nil)
	if err != nil && !errors.Is(err, secrets.Finding{Code: secrets.DirMissing}) {
		e.unread = append(e.unread, e.Layout.Secrets())
	}
	for _, s := range list {
		v, err := store.Read(s.Name)
		switch {
		case err == nil:
			values = append(values, v.Reveal())
		case !secrets.IsMissing(err):
			e.unread = append(e.unread, s.Name)
		}
	}
	e.mask = doctor.NewMask(values)
}

func (e *examiner) examined(configErr, userErr, factsErr error) *doctor.Node {
	host := e.host()
	host.Set, host.Findings, host.Facts, host.Impatient = e.Set, e.Findings, e.Facts, true
	n := &doctor.Node{
		Layout: e.Layout, Config: e.Config, ConfigErr: configErr, User: e.User, UserErr: userErr, Facts: e.Facts, FactsErr: factsErr,
		Set: e.Set, Findings: e.Findings, Wanted: e.wanted(false), Host: host, State: e.State, Secrets: e.secrets(), Runner: command.Exec{},
		Resolve: resolve, Publish: update.NodeDisk{Layout: e.Layout}.Publish, Version: version, Now: time.Now, Mask: e.mask.Clean,
	}
	if u, err := e.updater(0); err == nil {
		n.Updates = u
	}
	if e.elsewhere() {
		n.Runner, n.Resolve, host.Runner = doctor.Elsewhere{}, nil, doctor.Elsewhere{}
	}
	return n
}

// resolve looks a name up as the node's programs do.
func resolve(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := net.DefaultResolver.LookupHost(ctx, name)
	return err
}

// ask lets the checks ask podman and the user's manager; only the service user may.
func (e *examiner) ask(ctx context.Context) (done func()) {
	a := e.askLater(ctx)
	e.asked = a
	e.node.Engine = a
	e.node.Observe = func(ctx context.Context) (w *reconcile.World, p reconcile.Plan, err error) {
		c, err := e.connect(ctx)
		if err != nil {
			return nil, p, err
		}
		options := reconcile.Options{CheckOnly: true}
		pass := c.pass(options)
		pass.Observer.Detailed = true
		if w, err = pass.Observer.Observe(ctx); err == nil {
			p = reconcile.MakePlan(w, options)
		}
		return w, p, err
	}
	e.node.Podman = e.diagnose
	return a.close
}
