// Package firstboot makes a machine into a node: ordered steps that each check before they change, may be killed at
// any moment, and go on at the next boot. Root does the host's steps; the containers are made by a child that runs as the
// service user and tells its progress as events.
package firstboot

import "time"

// Kind is what an event is about.
type Kind string

// The kinds of event.
const (
	RunEvent  Kind = "run"  // the whole run began, was resumed, or ended
	StepEvent Kind = "step" // a step changed its state
	AppEvent  Kind = "app"  // an app changed its phase, or its image grew
	NoteEvent Kind = "note" // something an operator should know; a warning has Error set
)

// StepState is how far a step is.
type StepState string

// The states of a step, as state/first-boot.json has them.
const (
	Pending StepState = "pending"
	Running StepState = "running"
	Done    StepState = "done"
	Failed  StepState = "failed"
	Skipped StepState = "skipped"
)

// Event is one thing that happened. It is a line of --json, a line of the journal, and what the child tells root
// through its standard output. It never holds a secret.
type Event struct {
	At   time.Time `json:"at"`
	Kind Kind      `json:"event"`
	// Step is the step's name (preflight, rootless, directories, secrets, tor, wireguard, firewall, nostr, networks, files,
	// images, containers, post, record, marker), State what it changed to.
	Step  string    `json:"step,omitempty"`
	State StepState `json:"state,omitempty"`
	// App and Phase are set for AppEvent: Preparing, PullingImage, CreatingContainer, StartingContainer, WaitingHealthy,
	// PostInstall, Done, or Failed, NeedsConfig, Blocked, Starting, Waiting for one that ends without being ready.
	App   string `json:"app,omitempty"`
	Phase string `json:"phase,omitempty"`
	// Percent is of the app for AppEvent and of the run otherwise. It never falls.
	Percent int `json:"percent"`
	// Bytes of Total of an image have come, where the engine tells; 0 otherwise.
	Bytes int64 `json:"bytes,omitempty"`
	Total int64 `json:"total,omitempty"`
	// Text is for people, Error why something failed.
	Text  string `json:"text,omitempty"`
	Error string `json:"error,omitempty"`
}
