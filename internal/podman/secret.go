package podman

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"strconv"
)

// Secret is a podman secret without its value.
type Secret struct {
	ID     string
	Name   string
	Labels map[string]string
}

// Secrets returns all podman secrets, without their values.
func (c *Client) Secrets(ctx context.Context) ([]Secret, error) {
	var list []struct {
		ID   string
		Spec struct {
			Name   string
			Labels map[string]string
		}
	}
	if err := c.call(ctx, c.get("list secrets", "/secrets/json"), &list); err != nil {
		return nil, err
	}
	out := make([]Secret, len(list))
	for i, s := range list {
		out[i] = Secret{ID: s.ID, Name: s.Spec.Name, Labels: s.Spec.Labels}
	}
	return out, nil
}

// CreateSecret stores the value under the name. An existing secret is an error unless replace is set. The labels are
// readable for every user of podman: do not put a plain hash of the value there. A container keeps the value that
// the secret had when the container was created.
func (c *Client) CreateSecret(ctx context.Context, name string, value []byte, labels map[string]string, replace bool) error {
	r := c.post("create secret "+name, "/secrets/create")
	r.query = url.Values{"name": {name}, "replace": {strconv.FormatBool(replace)}}
	if len(labels) > 0 {
		text, err := json.Marshal(labels)
		if err != nil {
			return err
		}
		r.query.Set("labels", string(text))
	}
	r.body, r.mime = bytes.NewReader(value), "application/octet-stream"
	return c.call(ctx, r, nil)
}

// RemoveSecret removes the secret of that name.
func (c *Client) RemoveSecret(ctx context.Context, name string) error {
	return c.call(ctx, c.remove("remove secret "+name, "/secrets/%s", name), nil)
}
