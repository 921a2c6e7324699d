// Bench measures archy against podman, a bash script and podman-compose on a real node with 33 containers, and prints
// one table of ratios. It needs root, like every real node; see test/node/README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is one run: its flags, and what it has found.
type bench struct {
	archy   string
	rounds  int
	only    string
	node    string
	hold    bool
	settle  time.Duration
	results string

	tools    string        // directory of the helper programs
	passWall time.Duration // a pass with nothing to do, of this run
	rows     []row
}

// leastRounds is how often what takes many seconds runs.
const leastRounds = 10

// part is a group of measurements.
type part struct {
	name string
	run  func(context.Context) error
}

func main() {
	b := &bench{}
	flag.StringVar(&b.archy, "archy", "bin/archy", "the `FILE` to measure, built as a release is")
	flag.IntVar(&b.rounds, "rounds", 15, "how often each command runs, but for those that take many seconds; the table has medians")
	flag.StringVar(&b.only, "only", "program,growth,pass,compose", "which parts, of these")
	flag.StringVar(&b.node, "node", "", "disk of the node: one that runs is used as it is, else it is made there and kept (default: a new one, removed)")
	flag.BoolVar(&b.hold, "hold", false, "leave the node running until ^C")
	flag.DurationVar(&b.settle, "settle", 10*time.Minute+10*time.Second, "how old the youngest container must be: a node is quiet for most of its life")
	flag.StringVar(&b.results, "results", "", "also write the table to this `FILE`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := b.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context) error {
	if b.rounds < leastRounds {
		return fmt.Errorf("-rounds must be at least %d: a median of fewer says little on a busy machine", leastRounds)
	}
	if os.Geteuid() != 0 {
		return errors.New("the node needs root: run make bench as root")
	}
	if err := b.buildTools(ctx); err != nil {
		return err
	}
	defer os.RemoveAll(b.tools)
	parts := []part{{"program", b.program}, {"growth", b.growth}, {"pass", b.pass}, {"compose", b.compose}}
	for _, name := range strings.Split(b.only, ",") {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("-only: there is no part %q", name)
		}
	}
	for _, p := range parts {
		if !slices.Contains(strings.Split(b.only, ","), p.name) {
			continue
		}
		if err := p.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return b.print()
}

// print prints the table and, asked to, keeps it.
func (b *bench) print() error {
	text := b.report(machine())
	fmt.Print(text)
	if b.results == "" {
		return nil
	}
	return os.WriteFile(b.results, []byte("# Speed and size\n\nWritten by `make bench RESULTS=1`.\n\n"+text), 0o644)
}

// buildTools compiles the programs that do the measuring, static, so that they run in the node too.
func (b *bench) buildTools(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "archy-bench-")
	if err != nil {
		return err
	}
	b.tools = dir
	for _, name := range []string{"stopwatch", "growth"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, name), "git.tx1138.com/lfg2025/archy/bench/cmd/"+name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return errors.Join(fmt.Errorf("build %s: %w\n%s", name, err, out), os.RemoveAll(dir))
		}
	}
	return nil
}

// tool is the path of a helper program.
func (b *bench) tool(name string) string { return filepath.Join(b.tools, name) }

// say tells what is being done: a run takes a quarter of an hour.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }
