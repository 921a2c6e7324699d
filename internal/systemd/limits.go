package systemd

import "time"

// JobMargin is what callers of Start, Stop and Restart add to the unit's own limits.
const JobMargin = 15 * time.Second

// Limits bound the calls to the user manager. A limit reached is an error of that one call; it is never proof that
// the user manager is broken.
type Limits struct {
	// Connect bounds connecting to the bus.
	Connect time.Duration
	// Query bounds reading states, properties and the journal, and reset-failed.
	Query time.Duration
	// Reload bounds a daemon-reload, generators included.
	Reload time.Duration
}

// DefaultLimits are those of every manager unless Options say otherwise.
func DefaultLimits() Limits {
	return Limits{Connect: 5 * time.Second, Query: 10 * time.Second, Reload: 30 * time.Second}
}
