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

// Fault is what happens at which point; the zero value is none. With a kind only the calls of that kind are counted: a run that waits longer than the first for an
// app that starts asks more often, which moves all that follows.
type Fault struct {
	Kind string
	At   int
	What string
}

func (f Fault) String() string {
	switch {
	case f.At == 0:
		return ""
	case f.Kind != "":
		return fmt.Sprintf("%s %d:%s", f.Kind, f.At, f.What)
	}
	return fmt.Sprintf("%d:%s", f.At, f.What)
}

// In is the point among the calls of a run, "" when that has ended before.
func (f Fault) In(calls []string) string {
	n := 0
	for _, call := range calls {
		if f.Kind == "" || kindOf(call) == f.Kind {
			n++
		}
		if n == f.At {
			return call
		}
	}
	return ""
}

func kindOf(call string) string {
	_, call, _ = strings.Cut(call, " ") // its number
	kind, _, _ := strings.Cut(call, " ")
	return kind
}

// Dies tells that the fault ends the process.
func (f Fault) Dies() bool { return strings.HasPrefix(f.What, "die-") }

// Choose takes n faults at random, without hangs: most of them last half a minute. ARCHY_POINTS=all takes each point with each
// mode, a number that many; ARCHY_POINT=7:fail takes that one alone, ARCHY_POINT=7-20 these points with each mode, ARCHY_POINT=7-20:fail with that one,
// ARCHY_POINT=file all of that kind with each mode, and ARCHY_POINT=file,7-20 both.
func Choose(t *testing.T, r *rand.Rand, calls []string, n int) []Fault {
	t.Helper()
	var all []Fault
	for i := range calls {
		for _, what := range modes {
			all = append(all, Fault{At: i + 1, What: what})
		}
	}
	if some := os.Getenv("ARCHY_POINT"); some != "" {
		return named(t, calls, all, strings.Split(some, ","))
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
func named(t *testing.T, calls []string, all []Fault, some []string) []Fault {
	t.Helper()
	var list []Fault
	kinds := map[string]int{}
	for i, call := range calls {
		kind := kindOf(call)
		kinds[kind]++
		for k, what := range modes {
			if f := (Fault{kind, kinds[kind], what}); slices.Contains(some, kind) || slices.Contains(some, f.String()) {
				list = append(list, f)
			} else if f := all[i*len(modes)+k]; slices.ContainsFunc(some, f.within) {
				list = append(list, f)
			}
		}
	}
	if len(list) == 0 {
		t.Fatalf("ARCHY_POINT=%s names no point", strings.Join(some, ","))
	}
	return list
}

// within tells that a fault is the one of that name, or of the points from one to another, in any way or in that one.
func (f Fault) within(some string) bool {
	var from, to int
	span, what, _ := strings.Cut(some, ":")
	if _, err := fmt.Sscanf(span, "%d-%d", &from, &to); err == nil {
		return f.At >= from && f.At <= to && (what == "" || what == f.What)
	}
	return f.String() == some
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
