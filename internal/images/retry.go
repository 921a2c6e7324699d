package images

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/wait"
)

// Attempts is how often one source is asked.
const Attempts = 3

// Pauses are those between the attempts. The contract names a third of 45 s, and three attempts, between which there are two:
// a registry that is away for longer is asked again by the next pass, and the next source is not kept waiting.
func Pauses() []time.Duration { return []time.Duration{5 * time.Second, 15 * time.Second} }

// pull asks one registry, again after a pause unless another try would get the same answer.
func (f *Fetcher) pull(ctx context.Context, ref string, tls podman.TLS, w Wanted) error {
	if err := f.room(0); err != nil {
		return err
	}
	pauses := f.Pauses
	if pauses == nil {
		pauses = Pauses()
	}
	for attempt := 1; ; attempt++ {
		err := f.Engine.Pull(ctx, ref, tls, w.Progress)
		if err == nil || attempt == Attempts || ctx.Err() != nil || !Transient(err) {
			return err
		}
		pause := pauses[min(attempt, len(pauses))-1]
		w.say(fmt.Sprintf("attempt %d of %d failed, next in %s: %v", attempt, Attempts, pause, err))
		if wait.For(ctx, pause) != nil {
			return context.Cause(ctx)
		}
	}
}

func (w Wanted) say(text string) {
	if w.Progress != nil {
		w.Progress(podman.Progress{Text: text})
	}
}

// final are answers that another attempt would get again: the registry has said no, or has no such image; nobody knows its
// name; the node is in no network; the registry does not speak TLS; nothing fits on the disk.
var final = []string{
	"manifest unknown", "name unknown", "repository name not known", "unauthorized", "authentication required", "denied", "forbidden", "invalid reference",
	"no such host", "name resolution", "server misbehaving", "network is unreachable",
	"http response to https client", "certificate", "no space left",
}

var lookup = regexp.MustCompile(`\blookup \S+`)

// Transient tells that a pull is worth another attempt.
func Transient(err error) bool {
	var limit *podman.LimitError
	if errors.As(err, &limit) || errors.Is(err, context.Canceled) || errors.Is(err, podman.ErrNotFound) {
		return false
	}
	text := strings.ToLower(err.Error())
	for _, s := range final {
		if strings.Contains(text, s) {
			return false
		}
	}
	return !lookup.MatchString(text)
}
