package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
)

func (r *resolver) image(c *Container) {
	build := r.App.Container.Build
	if build == nil {
		c.Image = r.App.Container.Image
		if r.Pinned.Image != "" && r.Pinned.Image != c.Image {
			c.Image, c.ImageDigest = r.Pinned.Image, "" // the manifest's digest is that of the manifest's image
		}
		if c.Image == "" {
			r.problem(BadManifest, "container", "it has neither an image nor a build")
		}
		return
	}
	c.Build = &Build{Context: r.context(build.Context), Dockerfile: build.Dockerfile}
	if c.Build.Dockerfile == "" {
		c.Build.Dockerfile = "Dockerfile"
	}
	c.Image = BuiltImage(build.Tag, r.ContextTag)
	if !hasTag(c.Image) {
		r.problem(BadManifest, "container.build", "no build context was found at %s", c.Build.Context)
	}
}

// BuiltImage is the reference of an image that is built on the node: the tag of its manifest, below localhost without a
// registry of its own, and with contextTag (see [ContextTag]) when it has none.
func BuiltImage(tag, contextTag string) string {
	ref := withRegistry(tag)
	if hasTag(ref) || contextTag == "" {
		return ref
	}
	return ref + ":" + contextTag
}

// context is the path of a build context as the node sees it.
func (r *resolver) context(context string) string {
	if path.IsAbs(context) {
		return context
	}
	dir := r.App.Dir
	if root := strings.TrimSuffix(r.Layout.Root, "/"); root != "" && below(root, dir) {
		dir = strings.TrimPrefix(dir, root)
	}
	if !path.IsAbs(dir) {
		// Read from the binary: an installation lays it down with the shipped manifests.
		dir = path.Join(r.Layout.ManifestDir, r.App.ID)
	}
	return path.Join(dir, context)
}

// withRegistry adds localhost/ to a reference without a registry, as podman does when it builds.
func withRegistry(ref string) string {
	first, _, found := strings.Cut(ref, "/")
	if found && (first == "localhost" || strings.ContainsAny(first, ".:")) {
		return ref
	}
	return "localhost/" + ref
}

func hasTag(ref string) bool { return strings.ContainsAny(ref[strings.LastIndex(ref, "/")+1:], ":@") }

// ContextTag is the tag of an image that is built from a context: `ctx-` and the first 12 hex digits of the SHA-256
// over one line `path NUL mode NUL sha256(file)` for each file, sorted by path. Only the execute bit of a mode counts
// (0755 or 0644): a context carried in the binary is read-only, a checkout follows the umask, and both must give the
// image one name. A link counts as its target's text with the mode "link".
func ContextTag(fsys fs.FS) (string, error) {
	var lines []string
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		mode, sum, err := describe(fsys, name, d)
		if err != nil {
			return err
		}
		lines = append(lines, name+"\x00"+mode+"\x00"+sum+"\n")
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("reading the build context: %w", err)
	}
	if len(lines) == 0 {
		return "", fmt.Errorf("the build context is empty: %w", fs.ErrNotExist)
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return "ctx-" + hex.EncodeToString(sum[:])[:12], nil
}

func describe(fsys fs.FS, name string, d fs.DirEntry) (mode, sum string, err error) {
	hash := sha256.New()
	switch {
	case d.Type()&fs.ModeSymlink != 0:
		target, err := fs.ReadLink(fsys, name)
		if err != nil {
			return "", "", err
		}
		mode = "link"
		_, _ = io.WriteString(hash, target)
	case d.Type().IsRegular():
		mode, err = copyFile(hash, fsys, name)
		if err != nil {
			return "", "", err
		}
	default:
		return "", "", fmt.Errorf("%s is neither a file nor a link", name)
	}
	return mode, hex.EncodeToString(hash.Sum(nil)), nil
}

func copyFile(w io.Writer, fsys fs.FS, name string) (mode string, err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	mode = "0644"
	if info.Mode()&0o111 != 0 {
		mode = "0755"
	}
	// Most are a few kilobytes, and io.Copy takes 32 for each. What a pass takes is not given back: it ends before a first collection.
	buf := make([]byte, min(info.Size()+1, 32<<10))
	_, err = io.CopyBuffer(w, struct{ io.Reader }{f}, buf)
	return mode, err
}

// Contexts gives the build context of an app that is built on the node.
type Contexts func(app *manifest.App) (fs.FS, error)

// Reference is the image that the manifest of an app names, or the one that its build context gives.
func Reference(app *manifest.App, contexts Contexts) (string, error) {
	build := app.Container.Build
	if build == nil {
		return app.Container.Image, nil
	}
	ref := withRegistry(build.Tag)
	if hasTag(ref) {
		return ref, nil
	}
	context, err := contexts(app)
	if err != nil {
		return "", err
	}
	tag, err := ContextTag(context)
	return ref + ":" + tag, err
}
