package images

import (
	"context"
	"errors"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/podman"
)

// Mirror is a registry that holds copies of images.
type Mirror struct {
	// Location is a registry, with a path or without: registry.example:5000/copies.
	Location string
	// Flat mirrors keep no more of an image's path than its last part.
	Flat bool
	// Insecure mirrors may speak plain HTTP, and nobody need vouch for their certificate.
	Insecure bool
}

// Reference is where the mirror keeps its copy of an image.
func (m Mirror) Reference(ref string) string {
	_, path, _ := strings.Cut(ref, "/")
	if m.Flat {
		path = path[strings.LastIndex(path, "/")+1:]
	}
	return strings.TrimSuffix(m.Location, "/") + "/" + path
}

// Listed tells that a list of registries names a location, or one above it.
func Listed(location string, list []string) bool {
	return slices.ContainsFunc(list, func(entry string) bool { return location == entry || strings.HasPrefix(location, entry+"/") })
}

func (m Mirror) tls() podman.TLS {
	if m.Insecure {
		return podman.TLSInsecure
	}
	return podman.TLSVerified
}

// source takes the mirror's copy, and gives it the reference that units name; the copy's own name goes away again, unless
// somebody had it before.
func (m Mirror) source(f *Fetcher) source {
	return func(ctx context.Context, w Wanted) error {
		from := m.Reference(w.Ref)
		if from == w.Ref {
			return f.keeping(ctx, w, func() error { return f.pull(ctx, from, m.tls(), w) })
		}
		before, _ := f.Engine.ImageID(ctx, from)
		if err := f.pull(ctx, from, m.tls(), w); err != nil {
			return err
		}
		err := f.checkAs(ctx, from, w.Digest)
		if err == nil {
			err = f.Engine.Tag(ctx, from, w.Ref)
		}
		return errors.Join(err, f.putBack(ctx, from, before))
	}
}
