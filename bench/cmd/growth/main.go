// Growth makes one pass with nothing to do over a directory with any number of apps, with podman and systemd played by
// files: what it costs is archy's own work.
//
//	growth make DIR N     lay out a node with N apps, all as they should be
//	growth pass DIR       make the pass; it is an error when there is something to do
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "growth:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 3 && args[0] == "make":
		n, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return makeWorld(ctx, args[1], n)
	case len(args) == 2 && args[0] == "pass":
		return pass(ctx, args[1])
	}
	return errors.New("usage: growth make DIR N | growth pass DIR")
}
