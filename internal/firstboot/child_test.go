package firstboot

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/node"
)

func shell(script string) Child {
	return Child{Argv: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"},
		User: node.User{UID: os.Getuid(), GID: os.Getgid(), Home: "/"}}
}

func TestChild(t *testing.T) {
	var events []Event
	report := func(ev Event) { events = append(events, ev) }
	job := AppsJob{Apps: []string{"lnd"}, SkipImages: true}
	// It gets the job, and its events come through.
	err := shell(`read job; echo '{"event":"note","text":"'$(echo "$job" | tr -d '"{}')'"}'; echo '{"event":"app","app":"lnd","phase":"Done","percent":100}'`).Run(context.Background(), job, report)
	if err != nil || len(events) != 2 || events[0].Text != "apps:[lnd],skip_images:true" || events[1].Phase != PhaseDone {
		t.Errorf("%v %+v", err, events)
	}
	// What it says when it fails is the error.
	var failed *ChildError
	err = shell(`echo 'error: no bus' >&2; exit 6`).Run(context.Background(), job, report)
	if !errors.As(err, &failed) || failed.Code != 6 || failed.Text != "no bus" {
		t.Errorf("%v", err)
	}
	// A line that is no event ends nothing, and is told.
	events = nil
	err = shell(`echo hello; echo '{"event":"note","text":"x"}'`).Run(context.Background(), job, report)
	if err == nil || !strings.Contains(err.Error(), "hello") || len(events) != 1 {
		t.Errorf("%v %+v", err, events)
	}
	todo, err := shell(`cat >/dev/null; echo '{"event":"note","text":"start lnd"}'`).Check(context.Background(), job)
	if err != nil || len(todo) != 1 || todo[0] != "start lnd" {
		t.Errorf("%q %v", todo, err)
	}
}

// It is told to end when the first boot is, and has the time to.
func TestChildIsTold(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var last string
	err := shell(`trap 'echo "{\"event\":\"note\",\"text\":\"ended in order\"}"; exit 0' TERM; echo '{"event":"note","text":"up"}'; while :; do sleep 0.05; done`).
		Run(ctx, AppsJob{}, func(ev Event) {
			last = ev.Text
			if ev.Text == "up" {
				cancel()
			}
		})
	if !errors.Is(err, ErrInterrupted) || last != "ended in order" {
		t.Errorf("%v, last word %q", err, last)
	}
}
