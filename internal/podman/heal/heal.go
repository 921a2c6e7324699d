// Package heal finds out what is wrong with the service user's podman, and climbs a ladder of repairs, the least invasive
// first.
//
// It decides on positive evidence alone: the text of an error, or a fact on disk or in /proc. A time-out never leads beyond
// "slow" (incident 5: runtime directories were deleted because one call was slow). Nothing is deleted, only renamed; no conmon
// is ever signalled (incident 22); while processes live that podman would lose for good, nothing is renamed at all.
package heal

import "time"

// State is how podman is. The strings are those of the JSON field podman.state.
type State string

// The states, by the evidence that leads to them.
const (
	OK             State = "ok"
	Slow           State = "slow"
	Hung           State = "hung"
	NoRuntimeDir   State = "no-runtime-dir"
	NoUserBus      State = "no-user-bus"
	SocketDown     State = "socket-down"
	StalePause     State = "stale-pause"
	LostTrack      State = "lost-track"
	StaleDNS       State = "stale-dns"
	DBMissing      State = "db-missing"
	DBCorrupt      State = "db-corrupt"
	NameInStorage  State = "name-in-storage"
	BootID         State = "boot-id"
	LocksExhausted State = "locks-exhausted"
	LocksBroken    State = "locks-broken"
	DBConfig       State = "db-config"
	SubUID         State = "subuid"
	Namespace      State = "namespace"
	DiskFull       State = "disk-full"
	ReadOnly       State = "read-only"
	Unknown        State = "unknown"
)

// Fine tells that podman can be worked with as it is.
func (s State) Fine() bool { return s == OK || s == Slow }

// GoesOn tells that a pass goes on in this state; what is to repair is part of its own plan.
func (s State) GoesOn() bool {
	return s.Fine() || s == LostTrack || s == DBMissing || s == StaleDNS
}

// Mode says how far a climb may go.
type Mode string

// The modes: rungs 1 to 6, and 7 and 8 when nothing lives; the same at once, as the operator asks for it; the same after everything
// that lives was stopped.
const (
	Safe     Mode = "safe"
	Full     Mode = "full"
	StopApps Mode = "full, apps stopped"
)

// Exit codes of check and heal.
const (
	ExitOK    = 0
	ExitHuman = 6
)

// Diagnosis is what podman is like, and why archy thinks so.
type Diagnosis struct {
	Schema int   `json:"schema"`
	State  State `json:"state"`
	// Evidence is the text or the fact that led to the state, word for word; Source is where it was seen.
	Evidence string `json:"evidence,omitempty"`
	Source   string `json:"source,omitempty"`
	// Also are further findings, the most urgent first.
	Also []Finding `json:"also,omitempty"`
	// Paths are those that the evidence names: the two directories of boot-id, the database, the pause file.
	Paths []string `json:"paths,omitempty"`
	// Names are the containers concerned.
	Names   []string `json:"names,omitempty"`
	Version string   `json:"version,omitempty"`
	// AnswerMS is how long podman took to answer, 0 when it did not.
	AnswerMS int64 `json:"answer_ms"`
	// Live are the containers' monitors that live, found in /proc.
	Live []Process `json:"live"`
	// FirstRung is where a climb would begin: 0 to 8; -1: there is nothing to climb, or a person must decide.
	FirstRung int       `json:"first_rung"`
	Human     *Human    `json:"human,omitempty"`
	At        time.Time `json:"at"`
}

// ExitCode is 0 for ok and slow, else 6.
func (d Diagnosis) ExitCode() int {
	if d.State.Fine() {
		return ExitOK
	}
	return ExitHuman
}

// Finding is one thing that is seen.
type Finding struct {
	State    State    `json:"state"`
	Evidence string   `json:"evidence"`
	Source   string   `json:"source"`
	Paths    []string `json:"paths,omitempty"`
	Names    []string `json:"names,omitempty"`
}

// Process is the monitor (conmon) of a container that lives, or a container's process whose monitor is gone.
type Process struct {
	PID int `json:"pid"`
	// Payload is the first process of the container, 0 when it cannot be told.
	Payload   int    `json:"payload,omitempty"`
	Name      string `json:"name"`
	Container string `json:"container,omitempty"`
	// Service is the active managed service whose main process it is, "" for a foreign one.
	Service string `json:"service,omitempty"`
	Cgroup  string `json:"cgroup,omitempty"`
}

// Ours tells that systemd stops it gracefully without podman's help.
func (p Process) Ours() bool { return p.Service != "" }

// Human is what a person needs who has to decide.
type Human struct {
	Seen       string    `json:"seen"`
	StillWorks string    `json:"still_works"`
	WillNot    string    `json:"will_not"`
	Commands   []Command `json:"commands"`
	// ByArchy tells that nobody need decide: archy does it as soon as it is asked.
	ByArchy bool `json:"by_archy,omitempty"`
}

// Command is one way on, and what it costs.
type Command struct {
	Command string `json:"command"`
	Costs   string `json:"costs"`
}

// Result of a climb.
type Result string

// The results: there was nothing to do; podman is well; podman is as before, and a person is needed; the ladder was climbed less than an
// hour ago in this boot; only planned; rung 4 is left to the pass that asked; the climb was told to end, and may begin again at once.
const (
	Nothing     Result = "nothing to do"
	Healed      Result = "healed"
	Refused     Result = "needs a person"
	TooSoon     Result = "climbed less than an hour ago"
	Planned     Result = "planned"
	GoesOn      Result = "left to the pass"
	Interrupted Result = "interrupted"
)

// Report is one climb; the last 20 are kept in state/heal.json.
type Report struct {
	At     time.Time `json:"at"`
	BootID string    `json:"boot_id"`
	Mode   Mode      `json:"mode"`
	DryRun bool      `json:"dry_run,omitempty"`
	// State, Evidence and Source are those before the climb.
	State    State  `json:"state"`
	Evidence string `json:"evidence,omitempty"`
	Source   string `json:"source,omitempty"`
	Rungs    []Rung `json:"rungs"`
	// Renamed are the paths before and after, Stopped the apps that were told to stop for it.
	Renamed []Renamed `json:"renamed"`
	Stopped []string  `json:"stopped,omitempty"`
	// After is the state at the end.
	After  State  `json:"after"`
	Result Result `json:"result"`
	Human  *Human `json:"human,omitempty"`
}

// ExitCode is 0 when podman is well or only slow, else 6.
func (r Report) ExitCode() int {
	if r.After.Fine() && r.Result != Refused && r.Result != Interrupted {
		return ExitOK
	}
	return ExitHuman
}

// Rung is one step of the ladder that was planned, done or refused.
type Rung struct {
	N      int    `json:"rung"`
	Does   string `json:"does"`
	Done   bool   `json:"done"`
	Error  string `json:"error,omitempty"`
	Reason string `json:"refused,omitempty"`
}

// Renamed is one path that was put aside.
type Renamed struct {
	From string `json:"from"`
	To   string `json:"to"`
}
