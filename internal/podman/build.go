package podman

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// imageID is how podman ends the answer to a build: the id of the image on a line of its own.
var imageID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Build builds an image from the directory and gives it the tag. dockerfile is a path below contextDir. The base
// image comes from the registry only when pullBase is set; otherwise it must be here. progress gets each line that
// the build says and may be nil.
func (c *Client) Build(ctx context.Context, contextDir, dockerfile, tag string, pullBase bool, progress func(line string)) error {
	if err := checkBuildFiles(contextDir, dockerfile); err != nil {
		return err
	}
	files, err := json.Marshal([]string{dockerfile})
	if err != nil {
		return err
	}
	r := c.post("build image "+tag, "/build")
	r.limit = c.Limits.Build
	r.query = url.Values{
		"dockerfile": {string(files)}, "t": {tag}, "pullpolicy": {basePolicy(pullBase)},
		"layers": {"true"}, "rm": {"true"}, "forcerm": {"true"},
		"outputformat": {"application/vnd.oci.image.manifest.v1+json"},
	}
	archive, send := io.Pipe()
	go func() { send.CloseWithError(tarDirectory(send, contextDir)) }()
	defer archive.Close()
	r.body, r.mime = archive, "application/x-tar"

	built := false
	err = c.stream(ctx, r, 0, func(l report) error {
		built = imageID.MatchString(strings.TrimSpace(l.Stream))
		say(progress, l.Stream)
		return nil
	})
	if err == nil && !built {
		err = fmt.Errorf("%s: podman ended without an image; look at: journalctl --user -u podman", r.op)
	}
	return err
}

func basePolicy(pull bool) string {
	if pull {
		return "missing"
	}
	return "never"
}

func checkBuildFiles(dir, dockerfile string) error {
	if !filepath.IsLocal(dockerfile) {
		return fmt.Errorf("build context %s: dockerfile %s is not below it", dir, dockerfile)
	}
	info, err := os.Stat(filepath.Join(dir, dockerfile))
	if err != nil {
		return fmt.Errorf("build context %s: %w", dir, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("build context %s: %s is not a file", dir, dockerfile)
	}
	return nil
}

// tarDirectory writes the tree below dir: directories, files and symbolic links, owned by root, without times, so
// that an unchanged tree is an unchanged archive and podman's layer cache is used.
func tarDirectory(w io.Writer, dir string) error {
	out := tar.NewWriter(w)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		return tarEntry(out, dir, path, d)
	})
	if err != nil {
		return err
	}
	return out.Close()
}

func tarEntry(out *tar.Writer, dir, path string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	link := ""
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	case !info.Mode().IsRegular() && !info.IsDir():
		return nil
	}
	header, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	name, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	// Readable for all, whatever the umask of the release was (incident 4).
	mode := int64(0o644)
	if info.IsDir() || info.Mode()&0o100 != 0 {
		mode = 0o755
	}
	*header = tar.Header{Typeflag: header.Typeflag, Name: name, Linkname: link, Size: header.Size, Mode: mode, Format: tar.FormatPAX}
	if err := out.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
		return err
	}
	return copyFile(out, path)
}

func copyFile(out io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(out, f)
	return err
}
