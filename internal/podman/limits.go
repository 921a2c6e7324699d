package podman

import "time"

// Limits bound the calls to podman. A limit reached is an error of that one call; it is never proof that podman is
// broken.
type Limits struct {
	// Connect bounds connecting to the socket.
	Connect time.Duration
	// Ping bounds Ping.
	Ping time.Duration
	// Query bounds list, inspect, secrets, networks, images, version and info.
	Query time.Duration
	// Change bounds create, start, unpause, rename, update and tag.
	Change time.Duration
	// StopMargin is added to the grace of a stop.
	StopMargin time.Duration
	// Remove bounds removing a container or a secret.
	Remove time.Duration
	// PullStall ends a pull that shows no progress, Pull any pull.
	PullStall time.Duration
	Pull      time.Duration
	// Build bounds a build.
	Build time.Duration
	// Exec bounds a command inside a container, the health check included.
	Exec time.Duration
	// Mapped bounds one small file operation in podman's user namespace.
	Mapped time.Duration
}

// DefaultLimits are those that every client starts with.
func DefaultLimits() Limits {
	return Limits{
		Connect:    5 * time.Second,
		Ping:       5 * time.Second,
		Query:      30 * time.Second,
		Change:     120 * time.Second,
		StopMargin: 15 * time.Second,
		Remove:     60 * time.Second,
		PullStall:  5 * time.Minute,
		Pull:       60 * time.Minute,
		Build:      30 * time.Minute,
		Exec:       60 * time.Second,
		Mapped:     30 * time.Second,
	}
}
