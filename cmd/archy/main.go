// Command archy runs the apps of a Debian 13 Bitcoin node: it turns manifests into Podman Quadlet units of the
// service user's systemd and repairs what differs.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

func main() {
	ctx := untilAsked(context.Background())
	// A run lives for a twentieth of a second and has a few megabytes: collecting them again and again costs a tenth of it.
	debug.SetGCPercent(400)
	c := &cli{out: os.Stdout, err: os.Stderr, environ: os.Environ()}
	os.Exit(c.run(ctx, os.Args[1:]))
}

// untilAsked ends its context when a signal asks for an orderly end; after it a second one kills. A terminal that is gone, as with
// an SSH session that broke off, asks for it too, and more than once: its shell says so, and the kernel. Under nohup it does not.
func untilAsked(parent context.Context) context.Context {
	ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if signal.Ignored(syscall.SIGHUP) {
		return ctx
	}
	gone := make(chan os.Signal, 1)
	signal.Notify(gone, syscall.SIGHUP)
	go func() { <-gone; stop() }()
	return ctx
}
