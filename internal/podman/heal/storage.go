package heal

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// InStorage is a container of podman's storage layer, which may be one that podman itself has lost.
type InStorage struct {
	ID string
	// Layer is the directory with what it has written beside its mounts.
	Layer  string
	config string
}

type storedMount struct {
	Source string `json:"source"`
	Target string `json:"destination"`
}

// mounts are what the container was made of, none where that is not there any more.
func (c InStorage) mounts() ([]storedMount, error) {
	text, err := os.ReadFile(c.config)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var made struct {
		Mounts []storedMount `json:"mounts"`
	}
	if err == nil {
		err = json.Unmarshal(text, &made)
	}
	return made.Mounts, err
}

// Mounted tells that the container had something mounted at a place in it, or above that.
func (c InStorage) Mounted(target string) bool {
	mounts, _ := c.mounts()
	return slices.ContainsFunc(mounts, func(m storedMount) bool {
		return strings.HasPrefix(path.Clean(target)+"/", path.Clean(m.Target)+"/")
	})
}
