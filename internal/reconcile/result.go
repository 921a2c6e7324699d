package reconcile

import (
	"fmt"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// Exit codes of a pass.
const (
	ExitOK          = 0
	ExitNothingDone = 1
	ExitUsage       = 2
	ExitSomeFailed  = 3
	ExitDrift       = 4
	ExitLocked      = 5
	ExitNeedsHuman  = 6
	ExitInterrupted = 130
)

// Result is what a pass found and did; its JSON form is the contract of --json.
type Result struct {
	Schema     int         `json:"schema"`
	Version    string      `json:"version"`
	StartedAt  time.Time   `json:"started_at"`
	DurationMS int64       `json:"duration_ms"`
	CheckOnly  bool        `json:"check_only"`
	ExitCode   int         `json:"exit_code"`
	Podman     PodmanState `json:"podman"`
	Apps       []AppResult `json:"apps"`
	Unknown    []string    `json:"unknown"`
	Orphans    []string    `json:"orphans"`
	Warnings   []string    `json:"warnings,omitempty"`
	Plan       []string    `json:"plan,omitempty"`
	// partial: something that archy remembers could not be read.
	partial bool
	// openSecrets: a secret had a wrong mode.
	openSecrets bool
	Summary     Summary `json:"summary"`
}

// PodmanState is how the engine is.
type PodmanState struct {
	Reachable bool   `json:"reachable"`
	Version   string `json:"version,omitempty"`
	State     string `json:"state"`
	// Evidence is what led to the state, word for word; Heal the climb that this pass made, Human what a person needs to decide.
	Evidence string       `json:"evidence,omitempty"`
	Heal     *heal.Report `json:"heal,omitempty"`
	Human    *heal.Human  `json:"human,omitempty"`
}

// AppResult is one app's line.
type AppResult struct {
	App       string  `json:"app"`
	Container string  `json:"container"`
	Tier      int     `json:"tier"`
	Owner     string  `json:"owner"`
	Desired   Want    `json:"desired"`
	State     string  `json:"state"`
	Stage     string  `json:"stage,omitempty"`
	Said      *Said   `json:"said,omitempty"`
	Health    string  `json:"health,omitempty"`
	Action    Action  `json:"action"`
	Cause     string  `json:"cause,omitempty"`
	Detail    string  `json:"detail,omitempty"`
	Changed   bool    `json:"changed"`
	Drift     []Drift `json:"drift"`

	Image            string `json:"image,omitempty"`
	UpgradeAvailable string `json:"upgrade_available,omitempty"`
	// UpgradeShipped is the image of the shipped manifest when it is newer than the one in the owner's, which takes its place.
	UpgradeShipped string       `json:"upgrade_shipped,omitempty"`
	Breaker        BreakerState `json:"breaker"`
	Error          *AppError    `json:"error,omitempty"`
	// Repeated tells that the error was told within the last hour and is no news.
	Repeated bool `json:"-"`
	// Running tells that the container runs.
	Running bool `json:"-"`
	// AutoRestarts are systemd's own restarts since the last pass, and LastRun is how the last run ended.
	AutoRestarts int    `json:"-"`
	LastRun      string `json:"-"`

	DurationMS  int64     `json:"duration_ms"`
	Row         string    `json:"row,omitempty"`
	Class       Class     `json:"class"`
	Since       time.Time `json:"since,omitzero"`
	ContainerID string    `json:"container_id,omitempty"`
	Restarts    int       `json:"restarts"`
	Ports       []string  `json:"ports,omitempty"`
	Local       bool      `json:"local,omitempty"`
	// DataLeft is where data of an app are that its purge has not moved.
	DataLeft []string `json:"data_left,omitempty"`
	// NotKept is where the app keeps data that go with its container.
	NotKept []string `json:"not_kept,omitempty"`
}

// BreakerState is the back-off of an app.
type BreakerState struct {
	Open        bool      `json:"open"`
	Count       int       `json:"count"`
	NextAttempt time.Time `json:"next_attempt,omitzero"`
}

func breakerOf(h *state.History, now time.Time) BreakerState {
	b := BreakerState{Open: h.IsOpen(), Count: h.Attempts(now)}
	if next := h.Next(now); next.After(now) {
		b.NextAttempt = next
	}
	return b
}

// AppError is why an app failed.
type AppError struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Hint    string   `json:"hint,omitempty"`
	LogTail []string `json:"log_tail,omitempty"`
}

// Summary counts the apps of a result.
type Summary struct {
	OK          int `json:"ok"`
	Changed     int `json:"changed"`
	Waiting     int `json:"waiting"`
	Blocked     int `json:"blocked"`
	NeedsConfig int `json:"needs_config"`
	Failed      int `json:"failed"`
	NeedsHuman  int `json:"needs_human"`
}

// initial is an app's result before anything is done: the verdict as it stands.
func initial(p AppPlan, now time.Time) AppResult {
	r := AppResult{
		App: p.ID, Container: p.liveName(), Tier: p.Tier, Owner: owner(p.App), Desired: p.Want,
		State: p.State, Stage: p.Stage.Text, Action: p.Action, Cause: p.Cause, Drift: p.allDrift(),
		Image: p.Spec.Image, UpgradeAvailable: p.Upgrade, UpgradeShipped: shippedNewer(p.Manifest), Row: p.Row, Class: p.Class,
		Breaker: breakerOf(&p.History, now), Ports: portWords(p.App), Restarts: p.Service.NRestarts, Local: p.Manifest != nil && p.Manifest.Local, DataLeft: p.DataLeft, NotKept: p.NotKept(),
	}
	if r.State == "" {
		r.State = observedState(p.App)
	}
	if p.C != nil {
		r.Health, r.ContainerID, r.Since = p.C.Health, p.C.ID, p.C.StartedAt
		r.Running = p.App.Running()
	}
	if p.Class == ClassFailed || p.Class == ClassNeedsHuman {
		r.Error = &AppError{Code: p.Code, Message: p.Cause, Hint: p.Hint}
	}
	return r
}

func (p AppPlan) allDrift() []Drift {
	if len(p.Verdict.Drift) > 0 {
		return p.Verdict.Drift
	}
	if p.App.Drift == nil {
		return []Drift{}
	}
	return p.App.Drift
}

// owner says whose the container is: systemd's through archy's unit, an adopted one's, or nobody's yet.
func owner(a *App) string {
	switch {
	case a.Legacy():
		return state.Legacy
	case a.C == nil && isLegacyRecord(a):
		return state.Legacy
	case a.Record == nil && a.Unit == nil && a.C == nil:
		return "-"
	}
	return state.Quadlet
}

// summarise counts the apps and finds the exit code. exitCode asks for 4 on drift.
// With only some apps chosen "every app failed" says nothing about the node.
func (r *Result) summarise(exitCode, chosen bool) {
	r.Summary = Summary{}
	drift := r.openSecrets
	for _, a := range r.Apps {
		r.Summary.count(a)
		drift = drift || a.Changed || len(a.Drift) > 0
	}
	s := r.Summary
	total := len(r.Apps)
	if chosen {
		total = 0
	}
	switch {
	case total > 0 && s.Failed == total:
		r.ExitCode = ExitNothingDone
	case s.NeedsHuman > 0:
		r.ExitCode = ExitNeedsHuman
	case s.Failed > 0 || r.partial:
		r.ExitCode = ExitSomeFailed
	case exitCode && (drift || len(r.Plan) > 0):
		r.ExitCode = ExitDrift
	default:
		r.ExitCode = ExitOK
	}
}

func (s *Summary) count(a AppResult) {
	if a.Changed {
		s.Changed++
	}
	switch a.Class {
	case ClassWaiting:
		s.Waiting++
	case ClassBlocked:
		s.Blocked++
	case ClassNeedsConfig:
		s.NeedsConfig++
	case ClassFailed:
		s.Failed++
	case ClassNeedsHuman:
		s.NeedsHuman++
	default:
		s.OK++
	}
}

// Quiet tells that there is nothing to say about the app: it is as desired and was left alone.
func (a AppResult) Quiet() bool {
	return a.Class == ClassOK && !a.Changed && a.Action == NoOp && a.UpgradeAvailable == "" && len(a.Drift) == 0
}

// Summary is the app's detail in one line.
func (a AppResult) Summary() string {
	return cause(a.Cause, a.Detail)
}

// DriftWords are the differences in one line.
func (a AppResult) DriftWords() string {
	var list []string
	for _, d := range a.Drift {
		list = append(list, d.bracketed())
	}
	return strings.Join(list, ", ")
}

// Line is the last line of a pass.
func (r Result) Line() string {
	if r.Podman.State != "" && !r.Podman.Reachable {
		return fmt.Sprintf("podman could not be asked (%s): nothing was done about the apps · %.1f s", r.Podman.State, float64(r.DurationMS)/1000)
	}
	s := r.Summary
	parts := []string{fmt.Sprintf("%d ok", s.OK)}
	add := func(n int, word string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, word))
		}
	}
	add(s.Changed, "changed")
	add(s.Waiting, "waiting")
	add(s.Blocked, "blocked")
	add(s.NeedsConfig, "need configuration")
	add(s.Failed, "failed")
	add(s.NeedsHuman, "need a person")
	line := fmt.Sprintf("%s: %s", plural(len(r.Apps), "app"), strings.Join(parts, ", "))
	switch {
	case r.CheckOnly && len(r.Plan) == 0, !r.CheckOnly && s.Changed == 0:
		line += " · nothing to do"
	case r.CheckOnly:
		line += " · " + plural(len(r.Plan), "operation") + " planned, nothing was changed"
	}
	return fmt.Sprintf("%s · %.1f s", line, float64(r.DurationMS)/1000)
}

// StatusLine is the last line of a status table.
func (r Result) StatusLine() string {
	line, _, _ := strings.Cut(r.Line(), " · ")
	return line + " · podman " + r.Podman.Version
}
