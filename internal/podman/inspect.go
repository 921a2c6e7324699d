package podman

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Inspect is what podman knows about one container, as far as archy compares it.
type Inspect struct {
	ID      string
	Name    string
	Created time.Time
	// Image is the reference the container was created with, ImageID what it meant then.
	Image       string
	ImageID     string
	ImageDigest string

	Env        Env
	Cmd        []string
	Entrypoint []string
	User       string
	Hostname   string
	Labels     map[string]string
	// Secrets are the names of the podman secrets that are mounted. podman 5.4.2 does not tell of those that are
	// passed as environment, nor their values.
	Secrets []string

	Mounts []Mount
	// Ports are sorted by container port, protocol and host port.
	Ports []Port
	// NetworkMode is bridge, host, pasta, none ...
	NetworkMode string
	Networks    map[string]Endpoint

	// Memory is in bytes, NanoCPUs in 10⁻⁹ cores, CPUQuota per CPUPeriod in µs; 0 means no limit.
	Memory    int64
	NanoCPUs  int64
	CPUQuota  int64
	CPUPeriod uint64
	PidsLimit int64
	ShmSize   int64

	// EffectiveCaps are the capabilities as they are, sorted. CapAdd and CapDrop are only differences from podman's
	// default set: "drop all, add CHOWN" has an empty CapAdd.
	EffectiveCaps []string
	CapAdd        []string
	CapDrop       []string
	SecurityOpt   []string
	Privileged    bool
	ReadOnly      bool
	Tmpfs         map[string]string
	// Devices is empty for a rootless container whatever it was given: podman binds them.
	Devices    []Device
	ExtraHosts []string

	// Healthcheck is nil without one; Health is nil until there is a result.
	Healthcheck     *Healthcheck
	Health          *Health
	HealthOnFailure string

	StopSignal  string
	StopTimeout time.Duration
	// RestartPolicy is no, always, unless-stopped or on-failure.
	RestartPolicy string
	RestartCount  int
	AutoRemove    bool
	LogDriver     string
	// Layer is the directory with what the container has written beside its mounts, "" when the storage has no such directory.
	Layer string

	State InspectState
}

// InspectState is how a container is doing.
type InspectState struct {
	Status     string
	Running    bool
	Paused     bool
	OOMKilled  bool
	Pid        int
	ConmonPid  int
	ExitCode   int
	Error      string
	StartedAt  time.Time
	FinishedAt time.Time
	CgroupPath string
}

// Mount is one bind, volume or tmpfs of a container.
type Mount struct {
	Type    string
	Name    string
	Source  string
	Target  string
	Options []string
	RW      bool
}

// Endpoint is a container's place in one network.
type Endpoint struct {
	IP      string
	Gateway string
	Aliases []string
}

// Device is one device of a container.
type Device struct {
	Host        string
	Container   string
	Permissions string
}

// Healthcheck is how podman checks a container. Test starts with CMD, CMD-SHELL or NONE.
type Healthcheck struct {
	Test        []string
	Interval    time.Duration
	Timeout     time.Duration
	StartPeriod time.Duration
	Retries     int
}

// Health is what the checks found, the newest result last.
type Health struct {
	Status        string
	FailingStreak int
	Log           []HealthResult
}

// HealthResult is one run of the check.
type HealthResult struct {
	Start    string
	End      string
	ExitCode int
	Output   string
}

// Env is a container's environment, NAME=value. The old scripts put passwords there, so it prints names only.
type Env []string

// Map returns the variables by name.
func (e Env) Map() map[string]string {
	out := make(map[string]string, len(e))
	for _, kv := range e {
		name, value, _ := strings.Cut(kv, "=")
		out[name] = value
	}
	return out
}

func (e Env) redacted() []string {
	out := make([]string, len(e))
	for i, kv := range e {
		name, _, _ := strings.Cut(kv, "=")
		out[i] = name + "=hidden"
	}
	return out
}

// String returns the names alone.
func (e Env) String() string { return strings.Join(e.redacted(), " ") }

// GoString returns the names alone.
func (e Env) GoString() string { return e.String() }

// MarshalJSON writes the names alone.
func (e Env) MarshalJSON() ([]byte, error) { return json.Marshal(e.redacted()) }

// Inspect returns what podman knows about the container of that name.
func (c *Client) Inspect(ctx context.Context, name string) (Inspect, error) {
	var d inspectData
	if err := c.call(ctx, c.get("inspect container "+name, "/containers/%s/json", name), &d); err != nil {
		return Inspect{}, err
	}
	// podman also takes the beginning of an id for a name.
	if d.Name != name && d.ID != name {
		return Inspect{}, &APIError{Op: "inspect container " + name, Status: 404, Message: "no container with that name"}
	}
	return d.inspect(), nil
}

// inspectData is podman's own form; see define.InspectContainerData.
type inspectData struct {
	ID              string `json:"Id"`
	Name            string
	Created         time.Time
	Image           string
	ImageName       string
	ImageDigest     string
	RestartCount    int
	EffectiveCaps   []string
	Mounts          []inspectMount
	State           inspectState
	Config          inspectConfig
	HostConfig      inspectHostConfig
	NetworkSettings struct {
		Networks map[string]struct {
			IPAddress string
			Gateway   string
			Aliases   []string
		}
	}
	GraphDriver struct {
		Data struct{ UpperDir string }
	}
}

type inspectMount struct {
	Type, Name, Source, Destination string
	Options                         []string
	RW                              bool
}

type inspectState struct {
	Status, Error, CgroupPath  string
	Running, Paused, OOMKilled bool
	Pid, ConmonPid, ExitCode   int
	StartedAt, FinishedAt      time.Time
	Health                     *Health
}

type inspectConfig struct {
	Hostname, User, StopSignal string
	Env, Cmd, Entrypoint       []string
	Labels                     map[string]string
	Healthcheck                *Healthcheck
	HealthcheckOnFailureAction string
	StopTimeout                int64
	Secrets                    []struct{ Name string }
}

type inspectHostConfig struct {
	NetworkMode  string
	PortBindings map[string][]struct {
		HostIP   string `json:"HostIp"`
		HostPort string
	}
	RestartPolicy                            struct{ Name string }
	LogConfig                                struct{ Type string }
	AutoRemove, Privileged, ReadonlyRootfs   bool
	CapAdd, CapDrop, ExtraHosts, SecurityOpt []string
	Tmpfs                                    map[string]string
	ShmSize, Memory, PidsLimit               int64
	NanoCPUs                                 int64  `json:"NanoCpus"`
	CPUPeriod                                uint64 `json:"CpuPeriod"`
	CPUQuota                                 int64  `json:"CpuQuota"`
	Devices                                  []struct{ PathOnHost, PathInContainer, CgroupPermissions string }
}

func (d inspectData) inspect() Inspect {
	out := Inspect{
		ID: d.ID, Name: d.Name, Created: d.Created,
		Image: d.ImageName, ImageID: d.Image, ImageDigest: d.ImageDigest,
		RestartCount: d.RestartCount, EffectiveCaps: d.EffectiveCaps,
		Networks: map[string]Endpoint{},
		State:    d.State.state(), Health: d.State.Health,
	}
	for _, m := range d.Mounts {
		out.Mounts = append(out.Mounts, Mount{Type: m.Type, Name: m.Name, Source: m.Source, Target: m.Destination, Options: m.Options, RW: m.RW})
	}
	for name, n := range d.NetworkSettings.Networks {
		out.Networks[name] = Endpoint{IP: n.IPAddress, Gateway: n.Gateway, Aliases: n.Aliases}
	}
	d.Config.fill(&out)
	d.HostConfig.fill(&out)
	out.Layer = d.GraphDriver.Data.UpperDir
	if out.Health != nil {
		out.Health.Status = health(out.Health.Status)
	}
	return out
}

func (s inspectState) state() InspectState {
	return InspectState{
		Status: s.Status, Running: s.Running, Paused: s.Paused, OOMKilled: s.OOMKilled,
		Pid: s.Pid, ConmonPid: s.ConmonPid, ExitCode: s.ExitCode, Error: s.Error,
		StartedAt: happened(s.StartedAt), FinishedAt: happened(s.FinishedAt), CgroupPath: s.CgroupPath,
	}
}

// happened maps podman's "never", the year 1 in whatever zone, to the zero time.
func happened(t time.Time) time.Time {
	if t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

func (c inspectConfig) fill(out *Inspect) {
	out.Env, out.Cmd, out.Entrypoint = c.Env, c.Cmd, c.Entrypoint
	out.User, out.Hostname, out.Labels = c.User, c.Hostname, c.Labels
	out.Healthcheck, out.HealthOnFailure = c.Healthcheck, c.HealthcheckOnFailureAction
	out.StopSignal, out.StopTimeout = c.StopSignal, time.Duration(c.StopTimeout)*time.Second
	for _, s := range c.Secrets {
		out.Secrets = append(out.Secrets, s.Name)
	}
}

func (h inspectHostConfig) fill(out *Inspect) {
	out.NetworkMode, out.RestartPolicy, out.LogDriver = h.NetworkMode, h.RestartPolicy.Name, h.LogConfig.Type
	out.AutoRemove, out.Privileged, out.ReadOnly = h.AutoRemove, h.Privileged, h.ReadonlyRootfs
	out.CapAdd, out.CapDrop, out.ExtraHosts, out.SecurityOpt = h.CapAdd, h.CapDrop, h.ExtraHosts, h.SecurityOpt
	out.Tmpfs, out.ShmSize, out.Memory, out.PidsLimit = h.Tmpfs, h.ShmSize, h.Memory, h.PidsLimit
	out.NanoCPUs, out.CPUQuota, out.CPUPeriod = h.NanoCPUs, h.CPUQuota, h.CPUPeriod
	out.Ports = h.ports()
	for _, d := range h.Devices {
		out.Devices = append(out.Devices, Device{Host: d.PathOnHost, Container: d.PathInContainer, Permissions: d.CgroupPermissions})
	}
}

// ports reads the bindings, keyed "8080/tcp".
func (h inspectHostConfig) ports() []Port {
	var out []Port
	for key, bindings := range h.PortBindings {
		inner, protocol, _ := strings.Cut(key, "/")
		container, err := strconv.Atoi(inner)
		if err != nil {
			continue
		}
		for _, b := range bindings {
			host, err := strconv.Atoi(b.HostPort)
			if err != nil {
				continue
			}
			out = append(out, Port{HostIP: b.HostIP, HostPort: host, ContainerPort: container, Protocol: protocol})
		}
	}
	slices.SortFunc(out, comparePorts)
	return out
}

func comparePorts(a, b Port) int {
	return cmp.Or(cmp.Compare(a.ContainerPort, b.ContainerPort), cmp.Compare(a.Protocol, b.Protocol),
		cmp.Compare(a.HostPort, b.HostPort), cmp.Compare(a.HostIP, b.HostIP))
}
