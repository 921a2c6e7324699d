package reconcile

import (
	"cmp"
	"context"
	"fmt"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// What the diary calls that which archy found and did not do.
const (
	Found         Action = "Found"
	AutoRestarted Action = "AutoRestarted"
)

// keepDiary writes down what the pass did, and the apps that are in another state than at the last pass. A pass that
// did and found nothing new writes nothing.
func (p *Pass) keepDiary(ctx context.Context, apps []AppResult) error {
	var done []state.Entry
	mood := map[string]string{}
	byID := map[string]AppResult{}
	for _, a := range apps {
		byID[a.App], mood[a.App] = a, a.mood()
		if a.AutoRestarts > 0 {
			done = append(done, a.restartedEntry())
		}
		if a.Changed {
			done = append(done, a.entry(a.Action))
		}
	}
	return p.Diary.Keep(context.WithoutCancel(ctx), done, mood, func(app, _ string) state.Entry { return byID[app].entry(Found) })
}

// mood is "" for an app that is as it should be. It changes with what is wrong, not with the words for it.
func (a AppResult) mood() string {
	unhealthy := a.State == podman.HealthUnhealthy
	if a.Class == ClassOK && !unhealthy {
		return ""
	}
	mood := string(a.Class)
	if unhealthy {
		mood += "/unhealthy"
	}
	if a.Error != nil {
		return mood + "/" + a.Error.Code
	}
	return mood + "/" + a.Row
}

func (a AppResult) entry(action Action) state.Entry {
	e := state.Entry{App: a.App, Action: string(action), Changed: a.Changed, Cause: a.Summary(), Result: string(a.Class),
		State: cmp.Or(a.Stage, a.State), DurationMS: a.DurationMS}
	if a.Error != nil {
		e.Code, e.Error, e.Hint = a.Error.Code, a.Error.Message, a.Error.Hint
	}
	return e
}

func (a AppResult) restartedEntry() state.Entry {
	cause := "systemd restarted it " + times(a.AutoRestarts)
	if a.LastRun != "" {
		cause += "; the last run " + a.LastRun
	}
	return state.Entry{App: a.App, Action: string(AutoRestarted), Cause: cause, Result: string(a.Class), State: a.State}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
