package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

func collect(t *testing.T, c Cmd, stall time.Duration) ([]string, error) {
	t.Helper()
	var got []string
	err := Exec{}.Lines(t.Context(), c, stall, func(line []byte) error {
		got = append(got, string(line))
		return nil
	})
	return got, err
}

func TestLinesComeAsTheyAre(t *testing.T) {
	got, err := collect(t, Cmd{Argv: []string{"printf", `one\n\ntwo\r\nlast without an end`}}, time.Minute)
	if want := []string{"one", "", "two\r", "last without an end"}; err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestLinesOfBothStreams(t *testing.T) {
	got, err := collect(t, Cmd{Argv: []string{"sh", "-c", "echo out; echo err >&2"}, Join: true}, time.Minute)
	if err != nil || strings.Join(got, " ") != "out err" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAProgramThatFailsSaysWhy(t *testing.T) {
	_, err := collect(t, Cmd{Argv: []string{"sh", "-c", "echo no such unit >&2; exit 4"}}, time.Minute)
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 4 || exit.Stderr != "no such unit" {
		t.Errorf("error %v", err)
	}
}

func TestALineThatIsTooLongIsCut(t *testing.T) {
	got, err := collect(t, Cmd{Argv: []string{"sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo after"}}, time.Minute)
	if err != nil || len(got) != 2 || len(got[0]) != maxLine || got[1] != "after" {
		t.Errorf("%d lines, %v", len(got), err)
	}
}

// Incident 19: nothing is waited for without an end.
func TestASilentProgramIsEnded(t *testing.T) {
	got, err := collect(t, Cmd{Argv: []string{"sh", "-c", "echo one; sleep 1000"}}, 300*time.Millisecond)
	if !errors.Is(err, ErrStalled) || len(got) != 1 {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTheReadersTimeDoesNotCount(t *testing.T) {
	err := Exec{}.Lines(t.Context(), Cmd{Argv: []string{"seq", "3"}}, 200*time.Millisecond, func([]byte) error {
		time.Sleep(400 * time.Millisecond)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestACancelledReaderEndsTheProgram(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := Exec{}.Lines(ctx, Cmd{Argv: []string{"sh", "-c", "echo one; sleep 1000"}}, 0, func([]byte) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestAnErrorOfTheReaderEndsTheProgram(t *testing.T) {
	full := errors.New("no space left on device")
	n := 0
	err := Exec{}.Lines(t.Context(), Cmd{Argv: []string{"yes"}}, time.Minute, func([]byte) error { n++; return full })
	if !errors.Is(err, full) || n != 1 {
		t.Errorf("error %v after %d lines", err, n)
	}
}

// TestAnyLengthTakesTheSameMemory reads a hundred thousand lines and looks at what was allocated for the second half.
func TestAnyLengthTakesTheSameMemory(t *testing.T) {
	const lines = 100_000
	var before, after runtime.MemStats
	n := 0
	err := Exec{}.Lines(t.Context(), Cmd{Argv: []string{"sh", "-c", fmt.Sprintf("yes %s | head -%d", strings.Repeat("a line of a log ", 10), lines)}}, time.Minute,
		func(line []byte) error {
			if n++; n == lines/2 {
				runtime.ReadMemStats(&before)
			}
			if !bytes.HasPrefix(line, []byte("a line")) {
				t.Errorf("line %d: %q", n, line)
			}
			return nil
		})
	runtime.ReadMemStats(&after)
	if err != nil || n != lines {
		t.Fatalf("%d lines, %v", n, err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("%d bytes were allocated for %d lines", grown, lines/2)
	}
}
