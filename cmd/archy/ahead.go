package main

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

// ahead asks podman and the user manager the first questions of a pass while the manifests are still being read: the
// answers take longer than that. Where a pass needs locks they are held before anything is asked.
type ahead struct {
	*podman.Client
	containers answer[[]podman.Container]
	secrets    answer[[]podman.Secret]
	units      func() (*systemd.Manager, error)
	// empty tells that podman itself has no containers any more, whatever its service says.
	empty bool

	life   context.Context
	cancel context.CancelFunc
	closed sync.Once
}

// answer is the answer to a question that was asked ahead. It is good once: who asks later wants to know what is then.
type answer[T any] struct {
	wait func() (T, error)
	used atomic.Bool
}

// ask asks at once and lets wait have the answer.
func ask[T any](question func() (T, error)) (wait func() (T, error)) {
	wait = sync.OnceValues(question)
	go func() { _, _ = wait() }()
	return wait
}

// loadAhead is loadEnv for commands that only look: they need no lock, so the questions come first.
func loadAhead(cmd *cobra.Command) (*env, error) {
	e, err := lookAtNode(cmd)
	if err != nil {
		return nil, err
	}
	e.asked = e.askAhead(cmd.Context())
	if err := e.load(); err != nil {
		e.asked.close()
		return nil, err
	}
	return e, nil
}

// askAhead asks now.
func (e *env) askAhead(ctx context.Context) *ahead {
	a := e.askLater(ctx)
	a.containers.wait = ask(func() ([]podman.Container, error) { return a.Client.List(a.life) })
	a.secrets.wait = ask(func() ([]podman.Secret, error) { return a.Client.Secrets(a.life) })
	a.units = ask(a.units)
	return a
}

// askLater asks when the pass does.
func (e *env) askLater(ctx context.Context) *ahead {
	a := &ahead{Client: podman.New(e.Layout.Host(e.Layout.PodmanSocket()))}
	a.life, a.cancel = context.WithCancel(ctx)
	a.units = sync.OnceValues(func() (*systemd.Manager, error) {
		return systemd.Connect(a.life, systemd.Options{Bus: e.Layout.Host(e.Layout.UserBus()), UID: e.User.UID})
	})
	return a
}

// List gives the answer that was asked for ahead, later ones afresh.
func (a *ahead) List(ctx context.Context) ([]podman.Container, error) {
	if a.empty {
		return nil, nil
	}
	if a.containers.wait != nil && a.containers.used.CompareAndSwap(false, true) {
		return a.containers.wait()
	}
	return a.Client.List(ctx)
}

// forget drops the list that was asked for ahead; empty makes each later one empty.
func (a *ahead) forget(empty bool) {
	a.containers.used.Store(true)
	a.empty = empty
}

// Secrets gives the answer that was asked for ahead, later ones afresh.
func (a *ahead) Secrets(ctx context.Context) ([]podman.Secret, error) {
	if a.secrets.wait != nil && a.secrets.used.CompareAndSwap(false, true) {
		return a.secrets.wait()
	}
	return a.Client.Secrets(ctx)
}

// close ends what is still being asked, and the connections.
func (a *ahead) close() {
	a.closed.Do(func() {
		a.cancel()
		if units, err := a.units(); err == nil {
			units.Close()
		}
		a.Client.Close()
	})
}
