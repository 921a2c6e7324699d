package podman

import (
	"context"
	"net/url"
	"strings"
	"time"
)

// The states of a container as podman 5.4.2 names them.
const (
	StateCreated     = "created"
	StateInitialized = "initialized"
	StateRunning     = "running"
	StatePaused      = "paused"
	StateStopping    = "stopping"
	StateStopped     = "stopped"
	StateExited      = "exited"
	StateRemoving    = "removing"
	StateUnknown     = "unknown"
)

// The health of a container; one without a health check has the empty string.
const (
	HealthHealthy   = "healthy"
	HealthUnhealthy = "unhealthy"
	HealthStarting  = "starting"
)

// Container is one line of the list.
type Container struct {
	ID   string
	Name string
	// Image is the reference that the container was created with, ImageID what it meant then.
	Image   string
	ImageID string
	// State is one of the State constants, Health one of the Health constants or empty.
	State  string
	Health string
	// Pid is the process as podman remembers it, 0 when it does not run.
	Pid      int
	ExitCode int
	// The times are zero for what has not happened yet. Created is exact, the others are whole seconds.
	Created   time.Time
	StartedAt time.Time
	ExitedAt  time.Time
	// AutoRemove is true for the containers of Quadlet units (--rm).
	AutoRemove bool
	Labels     map[string]string
	Networks   []string
	Ports      []Port
	// Mounts are the targets of the binds and volumes that the user asked for.
	Mounts []string
}

// Port is one published port.
type Port struct {
	// HostIP is empty for all addresses.
	HostIP        string
	HostPort      int
	ContainerPort int
	// Protocol is tcp, udp or sctp.
	Protocol string
}

// List returns all containers, running or not, with one request.
func (c *Client) List(ctx context.Context) ([]Container, error) {
	r := c.get("list containers", "/containers/json")
	r.query = url.Values{"all": {"true"}}
	var lines []listLine
	if err := c.call(ctx, r, &lines); err != nil {
		return nil, err
	}
	containers := make([]Container, len(lines))
	for i, line := range lines {
		containers[i] = line.container()
	}
	return containers, nil
}

// listLine is podman's own form of Container; see entities.ListContainer. Status holds the health.
type listLine struct {
	AutoRemove bool
	Created    time.Time
	ExitedAt   int64
	ExitCode   int
	ID         string `json:"Id"`
	Image      string
	ImageID    string
	Labels     map[string]string
	Mounts     []string
	Names      []string
	Networks   []string
	Pid        int
	Ports      []portRange
	StartedAt  int64
	State      string
	Status     string
}

func (l listLine) container() Container {
	out := Container{
		ID: l.ID, Image: l.Image, ImageID: l.ImageID, State: l.State, Health: health(l.Status),
		Pid: l.Pid, ExitCode: l.ExitCode, AutoRemove: l.AutoRemove,
		Created: l.Created, StartedAt: seconds(l.StartedAt), ExitedAt: seconds(l.ExitedAt),
		Labels: l.Labels, Networks: l.Networks, Mounts: l.Mounts,
	}
	if len(l.Names) > 0 {
		out.Name = l.Names[0]
	}
	for _, r := range l.Ports {
		out.Ports = append(out.Ports, r.ports()...)
	}
	return out
}

// health maps podman's word. After a restart it says "reset" until the first check.
func health(status string) string {
	if status == "reset" {
		return HealthStarting
	}
	return status
}

// seconds reads a Unix time; podman sends the year 1 for what has not happened.
func seconds(t int64) time.Time {
	if t <= 0 {
		return time.Time{}
	}
	return time.Unix(t, 0).UTC()
}

// portRange is podman's form of published ports: a range, for one or more protocols.
type portRange struct {
	HostIP        string `json:"host_ip"`
	ContainerPort int    `json:"container_port"`
	HostPort      int    `json:"host_port"`
	Range         int    `json:"range"`
	Protocol      string `json:"protocol"`
}

func (r portRange) ports() []Port {
	var out []Port
	for _, protocol := range strings.Split(r.Protocol, ",") {
		for i := range max(r.Range, 1) {
			out = append(out, Port{HostIP: r.HostIP, HostPort: r.HostPort + i, ContainerPort: r.ContainerPort + i, Protocol: protocol})
		}
	}
	return out
}
