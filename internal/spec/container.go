// Package spec resolves a manifest on a node to the exact container that is wanted, and hashes it.
// It is pure: facts and secrets come in through parameters.
package spec

import "git.tx1138.com/lfg2025/archy/internal/secrets"

// Labels that archy puts on its containers.
const (
	LabelManaged       = "io.archipelago.managed"
	LabelApp           = "io.archipelago.app"
	LabelTier          = "io.archipelago.tier"
	LabelSpecHash      = "io.archipelago.spec-hash"
	LabelSecretEnvHash = "io.archipelago.secret-env-hash"
	LabelConfigDigest  = "io.archipelago.config-digest"
)

// Container is the exact container wanted for an app on this node. The fields up to Unit are the
// container itself and are hashed (hash.go names the few that are not); Unit is only text of the unit.
type Container struct {
	App  string
	Name string
	// Tier is not hashed: it orders starts and is a label, the container is the same in every tier.
	Tier int

	// Image is the canonical reference that runs: the pinned one of the install record, else the manifest's.
	Image       string
	ImageDigest string
	Build       *Build

	Entrypoint []string
	Command    []string
	Env        map[string]string
	// SoftEnv is in the unit but not in the hash: a change is applied at the next restart.
	SoftEnv map[string]string
	Secrets []SecretEnv
	// SecretEnvHash and ConfigDigest are "" without secrets and without derived files.
	SecretEnvHash string
	ConfigDigest  string

	Network  string
	Aliases  []string
	Hostname string
	AddHosts []string
	Ports    []Port

	Mounts       []Mount
	Tmpfs        []Tmpfs
	SecretMounts []SecretMount
	Devices      []string

	User            string
	CapAdd          []string
	ReadOnly        bool
	NoNewPrivileges bool
	Seccomp         string
	AppArmor        string

	// Memory and ShmSize are bytes, 0 for none; CPUs is cores, 0 for none.
	Memory    int64
	CPUs      float64
	PidsLimit int64
	ShmSize   int64

	Health *Health
	// StopGrace is seconds.
	StopGrace int

	Unit Unit
}

// Unit is what the unit says beside the container; a change rewrites the file and restarts nothing.
type Unit struct {
	Description string
	// After names containers whose services start before this one.
	After []string
	// Restart is the policy of systemd: on-failure or always.
	Restart string
	// NotifyHealthy makes the start wait for the first good check.
	NotifyHealthy bool
	// TimeoutStart is seconds.
	TimeoutStart int
	// OmitMemory, OmitCPU and OmitPids leave limits out whose controller is not delegated.
	OmitMemory, OmitCPU, OmitPids bool
	// Offline starts the app without waiting for the network ([Quadlet] DefaultDependencies=false).
	Offline bool
	// Disks are mount points without which it must not start: its data lie there.
	Disks []string
}

// Build is an image that is made on the node from a context directory; Context is a path as the node sees it.
type Build struct {
	Context    string
	Dockerfile string
}

// SecretEnv is a variable that comes from a podman secret. Value never leaves memory but for the engine's secret store.
type SecretEnv struct {
	Key    string
	Secret string // archy.<app>.<KEY>
	Value  secrets.Value
}

// Port is a published port. HostIP "" is every address.
type Port struct {
	HostIP    string
	Host      int
	Container int
	Protocol  string
}

// Mount is a bind or a named volume. Source of a bind is a path as the node sees it.
type Mount struct {
	Type    string // bind or volume
	Source  string
	Target  string
	Options []string
	// Own tells that the app claims the directory: it is created, with Owner, when absent.
	Own bool
	// File tells that the source is a file that must exist before the unit is written.
	File bool
}

// Tmpfs is a file system in memory.
type Tmpfs struct {
	Target  string
	Options []string
}

// SecretMount is a secret as a file inside the container. Mode is octal text. Value never leaves memory but for the
// engine's secret store.
type SecretMount struct {
	Secret string // archy.<app>.file.<secret file>
	Target string
	Mode   string
	Value  secrets.Value
}

// Health is the check that podman runs inside the container. Cmd is a shell text, Argv a command line; one is set.
// Times are seconds. HostHTTP is asked by archy from the host instead.
type Health struct {
	Cmd         string
	Argv        []string
	HostHTTP    string
	Status      []int
	Interval    int
	Timeout     int
	Retries     int
	StartPeriod int
}
