// Package points breaks a program that is built with the tag failpoints off at its external calls on a disposable node
// (docs/failure-points.md). Its tests need that tag and root.
package points

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/test/node"
)

const (
	logPath = "/tmp/archy-points"
	// Patience bounds every single command; the longest limit of a hanging call is two minutes.
	Patience = 5 * time.Minute
)

var modes = []string{"fail", "die-before", "die-after", "hang"}

// Fault is what happens at which point; the zero value is none.
type Fault struct {
	At   int
	What string
}

func (f Fault) String() string {
	if f.At == 0 {
		return ""
	}
	return fmt.Sprintf("%d:%s", f.At, f.What)
}

// Dies tells that the fault ends the process.
func (f Fault) Dies() bool { return strings.HasPrefix(f.What, "die-") }

// Choose takes n faults at random, without hangs: most of them last half a minute. ARCHY_POINTS=all takes each point with each
// mode, a number that many; ARCHY_POINT=7:fail takes that one alone, ARCHY_POINT=7-20 these points with each mode.
func Choose(t *testing.T, r *rand.Rand, points, n int) []Fault {
	t.Helper()
	var all []Fault
	for i := range points {
		for _, what := range modes {
			all = append(all, Fault{i + 1, what})
		}
	}
	if some := os.Getenv("ARCHY_POINT"); some != "" {
		return named(t, all, some)
	}
	switch text := os.Getenv("ARCHY_POINTS"); text {
	case "all":
		return all
	case "":
		all = slices.DeleteFunc(all, func(f Fault) bool { return f.What == "hang" })
	default:
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(n, len(all))]
}

// named are the faults that ARCHY_POINT names.
func named(t *testing.T, all []Fault, some string) []Fault {
	t.Helper()
	var from, to int
	if _, err := fmt.Sscanf(some, "%d-%d", &from, &to); err == nil {
		all = slices.DeleteFunc(all, func(f Fault) bool { return f.At < from || f.At > to })
	} else {
		all = slices.DeleteFunc(all, func(f Fault) bool { return f.String() != some })
	}
	if len(all) == 0 {
		t.Fatalf("ARCHY_POINT=%s names no point", some)
	}
	return all
}

// Break runs a command with a fault at a point, or with none to learn the points. It must not panic.
func Break(t *testing.T, n *node.Node, cmd node.Cmd, f Fault, point string) node.Result {
	t.Helper()
	n.MustRoot(t, "rm", "-f", logPath)
	cmd.Env = []string{"ARCHY_FAILPOINT=" + f.String(), "ARCHY_FAILPOINT_LOG=" + logPath}
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	if f.What == "hang" && strings.Contains(point, " file ") {
		return hangingWrite(ctx, t, n, cmd)
	}
	start := time.Now()
	res := n.Run(ctx, cmd)
	if strings.Contains(res.Stderr, "panic:") || res.Code < 0 {
		t.Errorf("with %s: exit code %d, %v\n%s", f, res.Code, res.Err, res.Stderr)
	}
	t.Logf("archy ended with %d after %s", res.Code, time.Since(start).Round(time.Second))
	return res
}

// hangingWrite runs a command up to a write that never returns, as on a disk that has gone: nothing but the end of the
// process ends that.
func hangingWrite(ctx context.Context, t *testing.T, n *node.Node, cmd node.Cmd) node.Result {
	t.Helper()
	p, err := n.Start(ctx, cmd)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan node.Result, 1)
	go func() { ended <- p.Wait() }()
	for before := -1; ; {
		select {
		case res := <-ended:
			return res
		case <-time.After(3 * time.Second):
		}
		now := len(Points(t, n))
		if now == before {
			_ = p.Kill()
		}
		before = now
	}
}

// Points are the calls of the last command that Break ran, by kind and object.
func Points(t *testing.T, n *node.Node) []string {
	t.Helper()
	text, err := n.ReadFile(logPath)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}
