// Stopwatch runs commands in turn, many times, and prints how long each took and how much memory it had. It reads a
// JSON list of commands from stdin and prints the measurements as JSON. It is small and forks by itself, so that what
// it measures is the command alone: no shell, no service manager, and little memory of its own that a child would
// be charged for.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"git.tx1138.com/lfg2025/archy/bench/clock"
)

func main() {
	var plan clock.Plan
	err := json.NewDecoder(os.Stdin).Decode(&plan)
	if err == nil {
		err = run(plan)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stopwatch:", err)
		os.Exit(1)
	}
}

func run(plan clock.Plan) error {
	samples := make([]clock.Samples, len(plan.Commands))
	for round := range plan.Warmup + plan.Rounds {
		for i, c := range plan.Commands {
			s, err := measure(c)
			if err != nil {
				return fmt.Errorf("round %d, %v: %w", round+1, c.Args, err)
			}
			if round >= plan.Warmup {
				samples[i] = append(samples[i], s)
			}
		}
	}
	return json.NewEncoder(os.Stdout).Encode(samples)
}

// measure runs what must come before, unmeasured, and then the command. One that fails has measured nothing.
func measure(c clock.Command) (clock.Sample, error) {
	if len(c.Before) > 0 {
		if out, err := exec.Command(c.Before[0], c.Before[1:]...).CombinedOutput(); err != nil {
			return clock.Sample{}, fmt.Errorf("before it, %v: %w: %s", c.Before, err, out)
		}
	}
	time.Sleep(time.Duration(c.PauseMS) * time.Millisecond)
	var stderr bytes.Buffer
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Stderr = &stderr
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return clock.Sample{}, err
	}
	if err != nil {
		return clock.Sample{}, fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return clock.Sample{}, errors.New("the system tells no resource usage")
	}
	return clock.Sample{Wall: took, CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), RSS: usage.Maxrss << 10}, nil
}
