package doctor

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/klauspost/compress/gzip"

	"git.tx1138.com/lfg2025/archy/internal/durable"
)

// Source is one file of a bundle.
type Source struct {
	Name string
	Read func(ctx context.Context) (string, error)
	// Says tells that programs write it who were given secrets: it is left out when not every secret could be read.
	Says bool
}

// Bundle is a report that can be sent to somebody else: no secret of the node is in it.
type Bundle struct {
	Sources []Source
	Mask    *Mask
	// Unread are the secrets that could not be read, so that nothing can take them out of a text.
	Unread []string
	Now    func() time.Time
}

// mostOfOne is how much of a source is packed, in bytes: its end.
const mostOfOne = 2 << 20

// sourceLimit bounds reading one source.
const sourceLimit = 30 * time.Second

// Write packs the bundle into a file of mode 0600, which appears as a whole or not at all. It returns what was left out,
// with the reason.
func (b Bundle) Write(ctx context.Context, path string) (left []string, err error) {
	packed, left, err := b.pack(ctx)
	if err != nil {
		return left, err
	}
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return left, err
	}
	defer f.Cleanup()
	if _, err := f.Write(packed); err != nil {
		return left, err
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return left, err
	}
	return left, durable.SyncDir(filepath.Dir(path))
}

func (b Bundle) pack(ctx context.Context) (packed []byte, left []string, err error) {
	var buffer bytes.Buffer
	zip := gzip.NewWriter(&buffer)
	out := tar.NewWriter(zip)
	sources := slices.Clone(b.Sources)
	slices.SortStableFunc(sources, func(a, c Source) int { return strings.Compare(a.Name, c.Name) })
	for _, s := range sources {
		text, why := b.text(ctx, s)
		if why != "" {
			left = append(left, s.Name+": "+why)
			continue
		}
		if err := b.add(out, s.Name, text); err != nil {
			return nil, left, err
		}
	}
	if err := b.add(out, "left-out.txt", strings.Join(append(left, ""), "\n")); err != nil {
		return nil, left, err
	}
	if err := errors.Join(out.Close(), zip.Close()); err != nil {
		return nil, left, err
	}
	return buffer.Bytes(), left, nil
}

func (b Bundle) add(out *tar.Writer, name, text string) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: "archy-report/" + name, Mode: 0o600, Size: int64(len(text)), ModTime: b.Now().UTC().Truncate(time.Second)}
	if err := out.WriteHeader(header); err != nil {
		return err
	}
	_, err := out.Write([]byte(text))
	return err
}

// text is a source without secrets, or why it is left out.
func (b Bundle) text(ctx context.Context, s Source) (text, why string) {
	if s.Says && len(b.Unread) > 0 {
		return "", "these secrets could not be read and would not be masked: " + strings.Join(b.Unread, ", ")
	}
	limited, cancel := context.WithTimeout(ctx, sourceLimit)
	defer cancel()
	text, err := s.Read(limited)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", "there is none"
	case err != nil:
		return "", b.Mask.Clean(err.Error())
	}
	if text = b.Mask.Clean(text); b.Mask.Leaks(text) {
		return "", "a secret would be in it"
	}
	if over := len(text) - mostOfOne; over > 0 { // after the masking: half a secret is none that a mask knows
		text = fmt.Sprintf("... %d bytes before this were left out\n", over) + text[over:]
	}
	return text, ""
}
