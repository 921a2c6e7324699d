package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// env is the node that a command works on.
type env struct {
	*cli
	Config node.Config
	User   node.User
	Layout node.Layout
	State  *state.Store
	Locks  *state.Locks

	// Set and Findings are the manifests and what is wrong with them; see loadManifests.
	Set      *manifest.Set
	Findings []manifest.Finding
	// Embedded tells that the shipped manifests are those in the binary: the node has none of its own.
	Embedded bool
	// Facts are what could be read of the machine.
	Facts node.Facts

	// asked is what podman and the user manager were asked already; nil: nothing.
	asked *ahead
}

// loadEnv is for commands that speak with podman or change the node: configuration, the right user, the data volume,
// manifests and facts. A broken manifest is no error here: it fails its own app.
func loadEnv(cmd *cobra.Command) (*env, error) { return loadFor(cmd, false) }

// loadFor is loadEnv for a command that may be asked for its plan alone, which needs no disk that can be written to.
func loadFor(cmd *cobra.Command, planOnly bool) (*env, error) {
	open := openNode
	if planOnly {
		open = lookAtNode
	}
	e, err := open(cmd)
	if err != nil {
		return nil, err
	}
	return e, e.load()
}

// load reads the manifests and the facts.
func (e *env) load() error {
	e.loadManifests()
	if err := e.unlisted(); err != nil {
		return err
	}
	return e.readFacts()
}

// unlisted is why the shipped manifests cannot be listed: a node without them would look like one that shall run nothing.
func (e *env) unlisted() error {
	_, err := os.ReadDir(e.Layout.Host(e.Layout.ManifestDir))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return &exitError{exitUsage, "manifest", fmt.Errorf("the shipped manifests cannot be listed: %w", err), "let everybody read and enter the directory"}
}

func (e *env) readFacts() (err error) {
	e.Facts, err = node.ReadFacts(e.Layout, e.User)
	return err
}

// openNode is for what has to come before the manifests: configuration, the right user, the data volume.
func openNode(cmd *cobra.Command) (*env, error) { return openWith(cmd, node.CheckVolume) }

// lookAtNode is openNode for those who change nothing: a data volume that cannot be written to is good enough.
func lookAtNode(cmd *cobra.Command) (*env, error) { return openWith(cmd, node.FindVolume) }

func openWith(cmd *cobra.Command, volume func(node.Layout) error) (*env, error) {
	e, err := openEnv(cmd)
	if err != nil {
		return nil, err
	}
	if err := e.requireServiceUser(cmd, e.User); err != nil {
		return nil, err
	}
	return e, volume(e.Layout)
}

// withConfig adds the configuration's file to a command line of archy's own, which is run in another directory.
func (c *cli) withConfig(argv []string) []string {
	if c.config == "" {
		return argv
	}
	path, err := filepath.Abs(c.config)
	if err != nil {
		path = c.config
	}
	return append(argv, "--config", path)
}

// openEnv is for commands that only read files: configuration, user and layout. The service user need not
// exist below another root.
func openEnv(cmd *cobra.Command) (*env, error) {
	c := cliOf(cmd)
	cfg, err := c.loadConfig()
	if err != nil {
		return nil, err
	}
	u, err := node.LookupUser(c.root, cfg.ServiceUser)
	switch {
	case errors.Is(err, node.ErrNoUser) && c.root != "":
		u = node.DefaultUser(cfg.ServiceUser)
	case errors.Is(err, node.ErrNoUser):
		return nil, usage("this is not a node yet; name a directory with --root to look at one", "%w", err)
	case err != nil:
		return nil, err
	}
	l := node.NewLayout(c.root, cfg, u)
	if c.root == "" {
		c.environment(u, l)
	}
	return &env{cli: c, Config: cfg, User: u, Layout: l, State: state.New(l), Locks: c.locks(l)}, nil
}

// locks are the node's; whoever waits for one is told for whom. Who has one may be changing something, and goes on although nobody reads
// any more what it says: a tee that ^C has ended, an SSH session without a terminal that broke off.
func (c *cli) locks(l node.Layout) *state.Locks {
	locks := state.NewLocks(l)
	locks.Waits = func(held state.ErrLocked, most time.Duration) { c.say("%s; waiting at most %s", held, most) }
	locks.Taken = sync.OnceFunc(func() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) })
	return locks
}

func (c *cli) loadConfig() (node.Config, error) {
	path := c.config
	if path == "" {
		path = node.Layout{Root: c.root}.Host(node.ConfigPath)
	} else if _, err := os.Stat(path); err != nil {
		return node.Config{}, usage("", "--config: %w", err)
	}
	return node.LoadConfig(path, c.environ)
}

// loadManifests reads the shipped and the owner's manifests. Without a directory of shipped ones on the node
// those in the binary are used.
func (e *env) loadManifests() {
	local := manifest.Source{Prefix: e.Layout.Host(e.Layout.LocalManifestDir), Local: true}
	e.Set, e.Findings = manifest.LoadFrom(e.shipped(), local)
	for id, app := range e.Set.Apps {
		app.Dir = e.nodeDir(app, id)
	}
	e.State.Older = reconcile.OlderNames(e.Set)
}

// nodeDir is the folder of an app as the node sees it: without the root, and for an app in the binary where
// an installation would put it.
func (e *env) nodeDir(app *manifest.App, id string) string {
	if app.Local {
		return filepath.Join(e.Layout.LocalManifestDir, id)
	}
	return filepath.Join(e.Layout.ManifestDir, id)
}

func (e *env) shipped() manifest.Source {
	dir := e.Layout.Host(e.Layout.ManifestDir)
	// A directory that holds no app is one that nothing was laid down in yet, not a node that shall run none.
	if entries, err := os.ReadDir(dir); errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		e.Embedded = true
		return manifest.Source{Prefix: "apps", FS: apps.FS}
	}
	return manifest.Source{Prefix: dir}
}

// secrets is the store of the secret files.
func (e *env) secrets() *secrets.Store {
	return &secrets.Store{Dir: e.Layout.Host(e.Layout.Secrets()), UID: e.User.UID, GID: e.User.GID}
}

// broken is the error about an app that cannot be used, nil for one that can. Unknown names are exit 2.
func (e *env) broken(id string) error {
	if _, ok := e.Set.Apps[id]; ok {
		return nil
	}
	findings, ok := e.Set.Broken[id]
	if !ok {
		return usage("archy apps list", "no app is called %q", id)
	}
	var errs []error
	for _, f := range findings {
		if f.Severity == manifest.Error {
			errs = append(errs, errors.New(f.String()))
		}
	}
	return &exitError{exitUsage, "manifest", errors.Join(errs...), "archy apps lint " + id}
}
