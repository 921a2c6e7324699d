// Chaos does to disposable nodes with all apps what goes wrong on real ones, measures how they come back, and reports it. It
// needs root; see test/node/README.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"git.tx1138.com/lfg2025/archy/test/node/chaos"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed, err := run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	if failed > 0 {
		fmt.Fprintf(os.Stderr, "%d rounds failed\n", failed)
		os.Exit(3)
	}
}

func run(ctx context.Context) (failed int, err error) {
	p := chaos.Plan{Config: chaos.Config{Talk: os.Stderr}}
	flag.StringVar(&p.Archy, "archy", "bin/archy", "the `FILE` to try; built with the tag failpoints it can be killed at a chosen call")
	flag.StringVar(&p.Group, "group", "all", "the apps that share the node: all, ten, five or core")
	flag.Uint64Var(&p.Seed, "seed", uint64(time.Now().Unix()), "what everything random comes from")
	flag.IntVar(&p.Rounds, "rounds", 20, "how often each scenario strikes")
	flag.IntVar(&p.First, "first", 1, "number of the first round: -seed, -scenario, -first and -rounds 1 repeat one")
	flag.StringVar(&p.Only, "app", "", "strike this app alone, in scenarios that hit single apps")
	names := flag.String("scenario", "", "these scenarios alone, by number or name, with commas between")
	record := flag.String("record", "", "add each round to this `FILE`, one JSON object a line")
	report := flag.String("report", "", "make the report in this `DIRECTORY` of the records that follow, and run nothing")
	flag.Parse()
	if *report != "" {
		return 0, chaos.Report(*report, flag.Args())
	}
	if p.Scenarios, err = chaos.Choose(*names); err != nil {
		return 0, err
	}
	keep, err := chaos.Recorder(*record)
	if err != nil {
		return 0, err
	}
	p.Each = func(o chaos.Outcome) {
		fmt.Println(o)
		failed += min(1, len(o.Failures))
		if e := keep(o); e != nil {
			fmt.Fprintln(os.Stderr, "error:", e)
		}
	}
	fmt.Printf("seed %d\n", p.Seed)
	return failed, p.Run(ctx)
}
