package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Index maps a reference to its archive: index.json in the directory of archives.
type Index map[string]Archive

// Archive is one file with an image, of OCI's or docker's kind.
type Archive struct {
	// File is below the directory of archives.
	File string `json:"file"`
	// SHA256 is of the file, in hex; Size its length in bytes.
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// ReadIndex reads index.json. A directory without one has no archives.
func ReadIndex(dir string) (Index, error) {
	text, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var index Index
	if err == nil {
		err = json.Unmarshal(text, &index)
	}
	if err != nil {
		return nil, fmt.Errorf("offline archives: %s: %w", filepath.Join(dir, "index.json"), err)
	}
	return index, nil
}

// fromArchive loads the image from its archive, after the archive was found to be the one in the index. Archives stay.
func (f *Fetcher) fromArchive(ctx context.Context, w Wanted) error {
	if f.Offline == "" {
		return errNothingHere
	}
	index, err := ReadIndex(f.Offline)
	if err != nil {
		return err
	}
	a, ok := index[w.Ref]
	if !ok {
		return errNothingHere
	}
	if err := f.room(a.Size); err != nil {
		return err
	}
	archive, err := a.open(f.Offline)
	if err != nil {
		return fmt.Errorf("offline archive %s: %w", a.File, err)
	}
	defer archive.Close()
	return f.keeping(ctx, w, func() error { return f.load(ctx, w, a, archive, index) })
}

// open gives the archive, read and compared once from beginning to end. What is loaded is the same open file.
func (a Archive) open(dir string) (*os.File, error) {
	if !filepath.IsLocal(a.File) {
		return nil, errors.New("its path leads out of the directory of archives")
	}
	file, err := os.OpenInRoot(dir, a.File)
	if err != nil {
		return nil, err
	}
	if err := a.compare(file); err != nil {
		file.Close()
		return nil, err
	}
	_, err = file.Seek(0, io.SeekStart)
	return file, err
}

func (a Archive) compare(file *os.File) error {
	info, err := file.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("it is not a file")
	case info.Size() != a.Size:
		return fmt.Errorf("it has %d bytes, index.json says %d", info.Size(), a.Size)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != a.SHA256 {
		return fmt.Errorf("its sha256 is %s, index.json says %s", got, a.SHA256)
	}
	return nil
}

// load lets podman take the archive. References that it holds besides, and that the index does not know of, go away
// again: an archive never changes what another app's reference means.
func (f *Fetcher) load(ctx context.Context, w Wanted, a Archive, file io.Reader, index Index) error {
	before, err := f.Engine.Images(ctx)
	if err != nil {
		return err
	}
	names, err := f.Engine.Load(ctx, file, a.File, a.Size, w.Progress)
	if err != nil {
		return fmt.Errorf("offline archive: %w", err)
	}
	for _, name := range names {
		if name != w.Ref && index[name].File != a.File {
			err = errors.Join(err, f.putBack(ctx, name, before[name].ID))
		}
	}
	if !slices.Contains(names, w.Ref) {
		return errors.Join(fmt.Errorf("offline archive %s holds %q, not %s", a.File, names, w.Ref), err)
	}
	return err
}
