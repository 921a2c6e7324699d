package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/failpoint"
)

// maxLine bounds a line; what is longer is cut.
const maxLine = 1 << 20

// ErrStalled tells that a program neither printed a line nor ended for too long.
var ErrStalled = errors.New("nothing came")

// Lines runs a program and hands each line of its output to line, without its end, as it comes. The bytes are good until
// line returns. Nothing is kept, so that output of any length takes the same memory. A program that says nothing for stall
// is ended, 0 waits for ever; the time that line takes does not count. An error of line ends the program and is returned.
func (Exec) Lines(ctx context.Context, c Cmd, stall time.Duration, line func([]byte) error) error {
	if len(c.Argv) == 0 {
		return errors.New("no program to run")
	}
	return failpoint.Do(ctx, failpoint.Child, strings.Join(c.Argv, " "), func() error { return lines(ctx, c, build, stall, line) })
}

func lines(ctx context.Context, c Cmd, build builder, stall time.Duration, line func([]byte) error) error {
	limited, end := context.WithCancelCause(ctx)
	defer end(nil)
	from, to, err := os.Pipe()
	if err != nil {
		return err
	}
	defer from.Close()
	var stderr capture
	cmd := build(limited, c, to, &stderr)
	if c.Join {
		cmd.Stderr = to
	}
	err = cmd.Start()
	_ = to.Close() // the child has its own
	if err != nil {
		return fmt.Errorf("%s: %w", c.Argv[0], err)
	}
	// A grandchild may hold the pipe open beyond the end of the program.
	stop := context.AfterFunc(limited, func() { _ = from.SetReadDeadline(time.Now().Add(KillDelay)) })
	defer stop()
	readErr := eachLine(from, stallWatch(stall, end, line))
	if readErr != nil {
		end(readErr)
	}
	err = reap(limited, cmd)
	switch cause := context.Cause(limited); {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(cause, ErrStalled):
		return fmt.Errorf("%s: %w for %s", c.Argv[0], ErrStalled, stall)
	case cause != nil:
		return cause
	}
	return explain(ctx, limited, c, Result{Stderr: stderr.kept.Bytes(), ExitCode: cmd.ProcessState.ExitCode()}, err)
}

// stallWatch ends the program when no line comes for too long.
func stallWatch(stall time.Duration, end context.CancelCauseFunc, line func([]byte) error) func([]byte) error {
	if stall <= 0 {
		return line
	}
	timer := time.AfterFunc(stall, func() { end(ErrStalled) })
	return func(text []byte) error {
		timer.Stop()
		defer timer.Reset(stall)
		return line(text)
	}
}

// eachLine reads lines of any length in one buffer; of one that is too long the end is dropped.
func eachLine(r io.Reader, line func([]byte) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var long []byte
	for {
		part, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			long = append(long, part[:min(len(part), maxLine-len(long))]...)
			continue
		case err != nil && len(part)+len(long) == 0:
			return readEnd(err)
		}
		text := part
		if len(long) > 0 {
			text = append(long, part[:min(len(part), maxLine-len(long))]...)
			long = long[:0]
		}
		if lerr := line(trimNewline(text)); lerr != nil {
			return lerr
		}
		if err != nil {
			return readEnd(err)
		}
	}
}

// readEnd: a pipe that is closed or cut off ends the lines; why, the program's end tells.
func readEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

func trimNewline(text []byte) []byte {
	if n := len(text); n > 0 && text[n-1] == '\n' {
		return text[:n-1]
	}
	return text
}
