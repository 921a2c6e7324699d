// Package applog reads what an app says, from the journal of its service or from podman, line by line and without its
// secrets.
package applog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/command"
)

// Source is where an app's log is.
type Source struct {
	App, Container string
	// Legacy is a container that no unit owns: podman has its log.
	Legacy bool
}

// All asks for every line.
const All = -1

// Options say which lines are wanted.
type Options struct {
	// Follow goes on with what is said from now on.
	Follow bool
	// Lines are the last ones, or All. With Until there may be more: who asks keeps the last.
	Lines int
	// Since leaves out what is older, Until what is younger; zero leaves out nothing.
	Since, Until time.Time
}

// Line is one line of a log. Its text ends with the call that it is handed to.
type Line struct {
	App  string
	At   time.Time
	Text string
}

// Runner runs a program and hands out its lines.
type Runner interface {
	Lines(ctx context.Context, c command.Cmd, stall time.Duration, line func([]byte) error) error
}

// stall is how long the journal or podman may think before the first line, and between two lines.
const stall = time.Minute

// Read hands the lines of a log to line, masked, oldest first. With Follow it ends with ctx only, which is no error.
func Read(ctx context.Context, r Runner, s Source, o Options, m *Mask, line func(Line) error) error {
	cmd, parse := s.command(o)
	limit := stall
	if o.Follow {
		limit = 0
	}
	err := r.Lines(ctx, cmd, limit, func(text []byte) error {
		l := parse(text)
		l.App, l.Text = s.App, m.Clean(l.Text)
		return line(l)
	})
	if o.Follow && errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("log of %s: %w", s.App, err)
	}
	return nil
}

func (s Source) command(o Options) (command.Cmd, func([]byte) Line) {
	if s.Legacy {
		return command.Cmd{Argv: s.podman(o), Join: true}, podmanLine
	}
	return command.Cmd{Argv: s.journal(o)}, journalLine
}

// journal asks for the service, so that what systemd and podman say of a start is there too.
func (s Source) journal(o Options) []string {
	argv := []string{"journalctl", "--user", "--unit=" + s.Container + ".service", "--output=json", "--output-fields=MESSAGE", "--all", "--quiet", "--no-pager"}
	if o.Lines == All {
		argv = append(argv, "--lines=all")
	} else {
		argv = append(argv, "--lines="+strconv.Itoa(o.Lines))
	}
	if !o.Since.IsZero() {
		argv = append(argv, fmt.Sprintf("--since=@%d", o.Since.Unix()))
	}
	if !o.Until.IsZero() {
		argv = append(argv, fmt.Sprintf("--until=@%d", o.Until.Unix()))
	}
	if o.Follow {
		argv = append(argv, "--follow")
	}
	return argv
}

func (s Source) podman(o Options) []string {
	argv := []string{"podman", "logs", "--timestamps"}
	// Of a log file podman takes the last lines first and the younger ones out of them then: what an app has said since would leave nothing.
	if o.Lines != All && o.Until.IsZero() {
		argv = append(argv, "--tail="+strconv.Itoa(o.Lines))
	}
	if !o.Since.IsZero() {
		argv = append(argv, "--since="+o.Since.UTC().Format(time.RFC3339))
	}
	if !o.Until.IsZero() {
		argv = append(argv, "--until="+o.Until.UTC().Format(time.RFC3339))
	}
	if o.Follow {
		argv = append(argv, "--follow")
	}
	return append(argv, "--", s.Container)
}

// journalLine reads one entry of journalctl --output=json. A message that is no UTF-8 is a list of bytes.
func journalLine(text []byte) Line {
	var entry struct {
		At      string          `json:"__REALTIME_TIMESTAMP"`
		Message json.RawMessage `json:"MESSAGE"`
	}
	if err := json.Unmarshal(text, &entry); err != nil {
		return Line{Text: string(text)}
	}
	l := Line{Text: strings.TrimRight(message(entry.Message), "\r\n")}
	if us, err := strconv.ParseInt(entry.At, 10, 64); err == nil {
		l.At = time.UnixMicro(us)
	}
	return l
}

func message(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var numbers []byte
	var list []int
	if json.Unmarshal(raw, &list) == nil {
		for _, n := range list {
			numbers = append(numbers, byte(n))
		}
	}
	return strings.ToValidUTF8(string(numbers), "�")
}

// podmanLine reads a line of podman logs --timestamps.
func podmanLine(text []byte) Line {
	stamp, rest, _ := bytes.Cut(text, []byte(" "))
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return Line{Text: string(text)}
	}
	return Line{At: at, Text: string(rest)}
}
