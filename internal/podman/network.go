package podman

import (
	"bytes"
	"context"
	"encoding/json"
)

// Network is a bridge network.
type Network struct {
	Name string
	// Subnet is a CIDR, Gateway an address in it. Empty lets podman choose.
	Subnet  string
	Gateway string
	// DNS says whether containers find each other by name.
	DNS    bool
	Labels map[string]string
}

// wireNetwork is podman's form; see libnetwork's types.Network.
type wireNetwork struct {
	Name    string            `json:"name"`
	Driver  string            `json:"driver,omitempty"`
	DNS     bool              `json:"dns_enabled"`
	Labels  map[string]string `json:"labels,omitempty"`
	Subnets []wireSubnet      `json:"subnets,omitempty"`
}

type wireSubnet struct {
	Subnet  string `json:"subnet"`
	Gateway string `json:"gateway,omitempty"`
}

// Networks returns all networks; of several subnets the first.
func (c *Client) Networks(ctx context.Context) ([]Network, error) {
	var list []wireNetwork
	if err := c.call(ctx, c.get("list networks", "/networks/json"), &list); err != nil {
		return nil, err
	}
	out := make([]Network, len(list))
	for i, n := range list {
		out[i] = Network{Name: n.Name, DNS: n.DNS, Labels: n.Labels}
		if len(n.Subnets) > 0 {
			out[i].Subnet, out[i].Gateway = n.Subnets[0].Subnet, n.Subnets[0].Gateway
		}
	}
	return out, nil
}

// CreateNetwork makes a bridge network. A name that is taken is an ErrConflict.
func (c *Client) CreateNetwork(ctx context.Context, n Network) error {
	w := wireNetwork{Name: n.Name, Driver: "bridge", DNS: n.DNS, Labels: n.Labels}
	if n.Subnet != "" {
		w.Subnets = []wireSubnet{{Subnet: n.Subnet, Gateway: n.Gateway}}
	}
	text, err := json.Marshal(w)
	if err != nil {
		return err
	}
	r := c.post("create network "+n.Name, "/networks/create")
	r.body, r.mime = bytes.NewReader(text), "application/json"
	return c.call(ctx, r, nil)
}

// RemoveNetwork removes a network that no container uses; one in use is an error.
func (c *Client) RemoveNetwork(ctx context.Context, name string) error {
	return c.call(ctx, c.remove("remove network "+name, "/networks/%s", name), nil)
}
