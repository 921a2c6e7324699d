// Node boots a disposable Debian 13 node and works on it, by hand. See test/node/README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"git.tx1138.com/lfg2025/archy/test/node"
)

const usage = `usage:
  node base                 build the base file system that all nodes share
  node up DIR [APP...]      boot a node with its disk in DIR and hold it, with its registry, until ^C; a new disk
                            gets the manifests of these apps (ten: of the ten of the tests)
  node root DIR CMD...      run a command in it as root
  node user DIR CMD...      run a command in it as archipelago, in that user's session
  node shell DIR            a shell in it as archipelago; sudo works
  node down DIR             switch it off in order
  node cut DIR              cut its power
  node rm DIR               delete its disk
`

var errUsage = errors.New("wrong arguments")

// exitCode ends the program as a command in the node ended.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func main() {
	err := run(os.Args[1:])
	var code exitCode
	switch {
	case err == nil:
	case errors.As(err, &code):
		os.Exit(int(code))
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch {
	case len(args) == 1 && args[0] == "base":
		return base(ctx)
	case len(args) >= 2 && args[0] == "up":
		return up(ctx, args[1], args[2:])
	case len(args) == 2 && args[0] == "rm":
		return remove(args[1])
	case len(args) == 2 && args[0] == "shell":
		return command(ctx, args[1], true, []string{"script", "-qefc", "bash -l", "/dev/null"})
	case len(args) > 2 && (args[0] == "root" || args[0] == "user"):
		return command(ctx, args[1], args[0] == "user", args[2:])
	case len(args) == 2 && (args[0] == "down" || args[0] == "cut"):
		return off(ctx, args[1], args[0] == "cut")
	}
	return errUsage
}

func base(ctx context.Context) error {
	dir, err := node.Base(ctx, os.Stderr)
	if err == nil {
		fmt.Println(dir)
	}
	return err
}

func up(ctx context.Context, dir string, ids []string) error {
	if slices.Equal(ids, []string{"ten"}) {
		ids = node.Ten()
	}
	n, err := node.Up(ctx, node.Options{Dir: dir, Apps: ids, Keep: true})
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "node %s is up (pid %d); ^C cuts its power\n", n.Dir, n.PID())
	go func() {
		<-ctx.Done()
		n.Cut()
	}()
	n.Wait()
	return nil
}

func command(ctx context.Context, dir string, user bool, args []string) error {
	n, err := node.Attach(dir)
	if err != nil {
		return err
	}
	res := n.Run(ctx, node.Cmd{Args: args, User: user, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
	if res.Err != nil {
		return res.Err
	}
	if res.Code != 0 {
		return exitCode(res.Code)
	}
	return nil
}

func off(ctx context.Context, dir string, cut bool) error {
	n, err := node.Attach(dir)
	if err != nil {
		return err
	}
	if cut {
		n.Cut()
		return nil
	}
	return n.Down(ctx)
}

func remove(dir string) error {
	if _, err := node.Attach(dir); err == nil {
		return fmt.Errorf("node %s is running: node down %s", dir, dir)
	}
	return os.RemoveAll(dir)
}
