package podman

import (
	"context"
)

// Ping asks whether the service answers at all.
func (c *Client) Ping(ctx context.Context) error {
	r := c.get("ping podman", "/_ping")
	r.limit = c.Limits.Ping
	return c.call(ctx, r, nil)
}

// Version returns the version of the service, for example "5.4.2". Every answer bears it (its libpod API has podman's own version), so
// only a client that has had none asks.
func (c *Client) Version(ctx context.Context) (string, error) {
	if v := c.version.Load(); v != nil {
		return *v, nil
	}
	var v struct{ Version string }
	err := c.call(ctx, c.get("podman version", "/version"), &v)
	return v.Version, err
}

// Info is the part of "podman info" that archy looks at.
type Info struct {
	Version string
	// GraphRoot holds images and containers, RunRoot their runtime state.
	GraphRoot string
	RunRoot   string
	// CgroupControllers are the controllers that podman may use.
	CgroupControllers []string
	NetworkBackend    string
	Rootless          bool
}

// Info asks podman about itself and its storage.
func (c *Client) Info(ctx context.Context) (Info, error) {
	var d struct {
		Host struct {
			CgroupControllers []string `json:"cgroupControllers"`
			NetworkBackend    string   `json:"networkBackend"`
			Security          struct {
				Rootless bool `json:"rootless"`
			} `json:"security"`
		} `json:"host"`
		Store struct {
			GraphRoot string `json:"graphRoot"`
			RunRoot   string `json:"runRoot"`
		} `json:"store"`
		Version struct{ Version string } `json:"version"`
	}
	if err := c.call(ctx, c.get("podman info", "/info"), &d); err != nil {
		return Info{}, err
	}
	return Info{
		Version: d.Version.Version, GraphRoot: d.Store.GraphRoot, RunRoot: d.Store.RunRoot,
		CgroupControllers: d.Host.CgroupControllers, NetworkBackend: d.Host.NetworkBackend, Rootless: d.Host.Security.Rootless,
	}, nil
}
