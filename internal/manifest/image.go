package manifest

import (
	"errors"
	"strings"
)

const (
	imagePathPattern = `^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`
	imageTagPattern  = `^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`
	registryPattern  = `^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?(:[0-9]{1,5})?$`
)

// imageRef is the parts of an image reference.
type imageRef struct{ registry, path, tag, digest string }

// parseImage splits registry/path:tag@digest; only the path must be there.
func parseImage(text string) (imageRef, error) {
	var ref imageRef
	rest, digest, pinned := strings.Cut(text, "@")
	if pinned && !matches(digestPattern, digest) {
		return ref, errors.New("the digest must be sha256: and 64 hex digits")
	}
	ref.digest = digest
	if colon := strings.LastIndexByte(rest, ':'); colon > strings.LastIndexByte(rest, '/') {
		ref.tag = rest[colon+1:]
		if !matches(imageTagPattern, ref.tag) {
			return ref, errors.New("the tag is malformed")
		}
		rest = rest[:colon]
	}
	ref.path = rest
	if first, others, ok := strings.Cut(rest, "/"); ok && (strings.ContainsAny(first, ".:") || first == "localhost") {
		ref.registry, ref.path = first, others
	}
	switch {
	case ref.registry != "" && !matches(registryPattern, ref.registry):
		return ref, errors.New("the registry is malformed")
	case !matches(imagePathPattern, ref.path):
		return ref, errors.New("the name is malformed")
	}
	return ref, nil
}

// CheckReference says what is wrong with the reference of an image, which must name its registry and a tag or a digest, or
// with a bare tag.
func CheckReference(text string) error {
	if !strings.ContainsAny(text, "/:@") {
		if !matches(imageTagPattern, text) {
			return errors.New("the tag is malformed")
		}
		return nil
	}
	ref, err := parseImage(text)
	switch {
	case err != nil:
		return err
	case ref.registry == "":
		return errors.New("the registry is missing")
	case ref.tag == "" && ref.digest == "":
		return errors.New("neither a tag nor a digest is in it")
	}
	return nil
}
