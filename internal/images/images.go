// Package images brings an image to the node, whoever wants it: from an archive on the node, from a build, from the
// mirrors in their order, from the reference itself. What a source says is not believed: the image must be there
// afterwards, under the reference that was asked for and with the digest that the manifest pins.
package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
)

// Engine is what a fetch needs of podman.
type Engine interface {
	Images(ctx context.Context) (map[string]podman.Image, error)
	ImageID(ctx context.Context, ref string) (string, error)
	Pull(ctx context.Context, ref string, tls podman.TLS, progress func(podman.Progress)) error
	Load(ctx context.Context, archive io.Reader, name string, size int64, progress func(podman.Progress)) ([]string, error)
	Build(ctx context.Context, contextDir, dockerfile, tag string, pullBase bool, progress func(line string)) error
	Tag(ctx context.Context, source, ref string) error
	RemoveImage(ctx context.Context, ref string) error
}

// Fetcher knows where images come from. Its methods may be called from several goroutines.
type Fetcher struct {
	Engine Engine
	// Offline is the directory of archives, with its index.json; "" for none.
	Offline string
	Mirrors []Mirror
	// Free is the free space of the file system that images go to, in bytes, when it is known; nil: it is not.
	Free func() (free int64, known bool)
	// Pauses are those between the attempts at one source; nil means 5 and 15 s.
	Pauses []time.Duration
}

// Wanted is one image.
type Wanted struct {
	Ref string
	// Digest is the manifest digest that it must have, "" for any.
	Digest string
	// Build makes it on the node, nil for one that comes from a registry.
	Build *Build
	// Always asks the registries also when it is here.
	Always bool
	// Progress may be nil.
	Progress func(podman.Progress)
}

// Error says why an image could not be had: what each source answered, in their order.
type Error struct {
	Ref   string
	Tried []error
}

func (e *Error) Error() string {
	words := make([]string, 0, len(e.Tried))
	for _, err := range e.Tried {
		words = append(words, strings.TrimSpace(err.Error()))
	}
	return fmt.Sprintf("image %s could not be had: %s", e.Ref, strings.Join(words, "; "))
}

// Unwrap returns what the sources answered.
func (e *Error) Unwrap() []error { return e.Tried }

// errNothingHere is a source that has nothing to do with the image: not worth a word.
var errNothingHere = errors.New("not from here")

// InAll is how long an image may take that is pulled or loaded: with every source, attempt and pause.
const InAll = 60 * time.Minute

var errInAll = fmt.Errorf("it is not here after %s in all", InAll)

// source is one place where the image may come from.
type source func(ctx context.Context, w Wanted) error

// Fetch brings the image to the node. An image that is here already costs no network.
func (f *Fetcher) Fetch(ctx context.Context, w Wanted) error {
	here := f.check(ctx, w) == nil
	if here && !w.Always {
		return nil
	}
	limited := ctx
	if w.Build == nil { // a build has its own limit, and each image that it stands on this one
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeoutCause(ctx, InAll, errInAll)
		defer cancel()
	}
	failed := &Error{Ref: w.Ref}
	for _, try := range f.sources(w, here) {
		err := try(limited, w)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("image %s: %w", w.Ref, ctx.Err())
		case limited.Err() != nil:
			failed.Tried = append(failed.Tried, err)
			return failed
		case !errors.Is(err, errNothingHere):
			failed.Tried = append(failed.Tried, err)
		}
	}
	return failed
}

// sources are the places to ask, in order. What the node builds is in no registry, and who wants an image afresh does not
// want the one in the archive.
func (f *Fetcher) sources(w Wanted, here bool) []source {
	var list []source
	if !here {
		list = append(list, f.fromArchive)
	}
	if w.Build != nil {
		return append(list, f.fromBuild)
	}
	for _, m := range f.Mirrors {
		if strings.Contains(w.Ref, "@") {
			break // a copy can only be given a name with a tag
		}
		list = append(list, m.source(f))
	}
	return append(list, f.fromReference)
}

// fromReference asks the registry that the reference names.
func (f *Fetcher) fromReference(ctx context.Context, w Wanted) error {
	return f.keeping(ctx, w, func() error { return f.pull(ctx, w.Ref, podman.TLSDefault, w) })
}

// keeping runs what puts an image under the wanted reference, and puts back what was there when the new one is not the
// one wanted: the next look must not take it for that.
func (f *Fetcher) keeping(ctx context.Context, w Wanted, bring func() error) error {
	before, _ := f.Engine.ImageID(ctx, w.Ref)
	if err := bring(); err != nil {
		return err
	}
	err := f.check(ctx, w)
	if err != nil && ctx.Err() == nil {
		err = errors.Join(err, f.putBack(ctx, w.Ref, before))
	}
	return err
}

// putBack makes a reference mean what it meant before.
func (f *Fetcher) putBack(ctx context.Context, ref, before string) error {
	now, err := f.Engine.ImageID(ctx, ref)
	switch {
	case errors.Is(err, podman.ErrNotFound), err == nil && now == before:
		return nil
	case err != nil:
		return err
	case before != "":
		return f.Engine.Tag(ctx, before, ref)
	}
	return f.Engine.RemoveImage(ctx, ref)
}

// check tells why the image is not here as it is wanted.
func (f *Fetcher) check(ctx context.Context, w Wanted) error {
	if w.Digest == "" {
		_, err := f.Engine.ImageID(ctx, w.Ref)
		return err
	}
	return f.checkAs(ctx, w.Ref, w.Digest)
}

func (f *Fetcher) checkAs(ctx context.Context, ref, digest string) error {
	if digest == "" {
		return nil
	}
	list, err := f.Engine.Images(ctx)
	if err != nil {
		return err
	}
	image, ok := list[ref]
	switch {
	case !ok:
		return fmt.Errorf("image %s is not here: %w", ref, podman.ErrNotFound)
	case !HasDigest(image, digest):
		return fmt.Errorf("image %s has digest %s, the manifest wants %s", ref, image.Digest, digest)
	}
	return nil
}

// HasDigest tells that an image was pulled by this manifest digest, be it its own or that of a list which names it.
func HasDigest(image podman.Image, digest string) bool {
	return digest == "" || image.Digest == digest ||
		slices.ContainsFunc(image.Digests, func(d string) bool { return strings.HasSuffix(d, "@"+digest) })
}

// spaceUnknown is the free space that is asked for when nobody knows the size of an image, in bytes.
const spaceUnknown = 3 << 30

// room asks for free space before anything is fetched: twice the compressed size, when it is known.
func (f *Fetcher) room(compressed int64) error {
	need := int64(spaceUnknown)
	if compressed > 0 {
		need = 2 * compressed
	}
	if f.Free == nil {
		return nil
	}
	if free, known := f.Free(); known && free < need {
		return fmt.Errorf("only %d MiB free below the data directory, %d are needed", free>>20, (need+1<<20-1)>>20)
	}
	return nil
}
