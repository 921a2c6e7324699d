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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; after it the second one kills.
	context.AfterFunc(ctx, stop)
	// A run lives for a twentieth of a second and has a few megabytes: collecting them again and again costs a tenth of it.
	debug.SetGCPercent(400)
	c := &cli{out: os.Stdout, err: os.Stderr, environ: os.Environ()}
	os.Exit(c.run(ctx, os.Args[1:]))
}
