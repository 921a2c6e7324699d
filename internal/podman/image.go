package podman

import (
	"context"
	"fmt"
	"net/url"
	"strings"
)

// Image is one local image.
type Image struct {
	// ID is 64 hex digits.
	ID string
	// Digest is that of the manifest it was pulled with: sha256:...
	Digest string
	// Names are the references it can be found by.
	Names []string
	// Digests are the references by digest.
	Digests []string
	Size    int64
	// Labels are those of the image.
	Labels map[string]string
	// Containers is the number of containers made from it.
	Containers int
}

// Images returns the local images by each of their references; an image without one is left out.
func (c *Client) Images(ctx context.Context) (map[string]Image, error) {
	var list []struct {
		ID          string `json:"Id"`
		Digest      string
		RepoTags    []string
		RepoDigests []string
		Size        int64
		Labels      map[string]string
		Containers  int
	}
	if err := c.call(ctx, c.get("list images", "/images/json"), &list); err != nil {
		return nil, err
	}
	out := make(map[string]Image, len(list))
	for _, i := range list {
		image := Image{ID: i.ID, Digest: i.Digest, Names: i.RepoTags, Digests: i.RepoDigests, Size: i.Size, Labels: i.Labels, Containers: i.Containers}
		for _, ref := range i.RepoTags {
			out[ref] = image
		}
	}
	return out, nil
}

// ImageID returns the id of the image that the reference means here, or ErrNotFound.
func (c *Client) ImageID(ctx context.Context, ref string) (string, error) {
	var d struct {
		ID string `json:"Id"`
	}
	err := c.call(ctx, c.get("inspect image "+ref, "/images/%s/json", ref), &d)
	return d.ID, err
}

// Tag gives the local image source another reference.
func (c *Client) Tag(ctx context.Context, source, ref string) error {
	repo, tag, err := splitReference(ref)
	if err != nil {
		return err
	}
	r := c.post(fmt.Sprintf("tag image %s as %s", source, ref), "/images/%s/tag", source)
	r.query = url.Values{"repo": {repo}, "tag": {tag}}
	return c.call(ctx, r, nil)
}

// RemoveImage takes the reference away, and the image with its last one. An image that a container uses is an
// ErrConflict.
func (c *Client) RemoveImage(ctx context.Context, ref string) error {
	return c.call(ctx, c.remove("remove image "+ref, "/images/%s", ref), nil)
}

// splitReference splits a reference at its tag; a colon before the last slash belongs to a port.
func splitReference(ref string) (repo, tag string, err error) {
	i := strings.LastIndex(ref, ":")
	if i <= strings.LastIndex(ref, "/") || strings.Contains(ref, "@") {
		return "", "", fmt.Errorf("image reference %s: a tag is needed, such as %s:v1", ref, ref)
	}
	return ref[:i], ref[i+1:], nil
}
