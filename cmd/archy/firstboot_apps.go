package main

import (
	"context"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/appsstage"
	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

// installLog gets a line for each phase of an app that is made.
const installLog = "/var/log/archipelago/container-installs.log"

// newAppsStage is the service user's half of a first boot. Root holds node.lock meanwhile.
func newAppsStage(e *env) (firstboot.AppsStage, error) {
	return &appsstage.Stage{Open: e.openApps, Log: e.Layout.Host(installLog), Pause: 5 * time.Second, Now: time.Now}, nil
}

func (e *env) openApps(ctx context.Context) (*appsstage.Session, error) {
	c, err := e.connect(ctx)
	if err != nil {
		return nil, err
	}
	return &appsstage.Session{Pass: c.pass, Hold: c.holdPass, Close: c.close,
		Keep: func(r reconcile.Result) error { return e.State.WriteLast("reconcile", r) }}, nil
}

// holdPass takes the lock of a full pass alone.
func (c *connected) holdPass(ctx context.Context) (release func(), err error) {
	lock, err := c.Locks.Reconcile(ctx, 30*time.Second)
	if err != nil {
		return nil, err
	}
	return lock.Release, nil
}
