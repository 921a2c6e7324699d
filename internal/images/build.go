package images

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/podman"
)

// Build is how an image is made on the node.
type Build struct {
	// Context gives the directory to build in, and what to do with it afterwards.
	Context func() (dir string, done func(), err error)
	// Dockerfile is a path below it.
	Dockerfile string
}

// fromBuild builds the image. What it stands on comes by the same ladder, so that a node without a registry of its own
// choice, or without any, can build too.
func (f *Fetcher) fromBuild(ctx context.Context, w Wanted) error {
	dir, done, err := w.Build.Context()
	if err != nil {
		return fmt.Errorf("build context: %w", err)
	}
	defer done()
	if err := f.room(0); err != nil {
		return err
	}
	bases, known, err := readBases(filepath.Join(dir, w.Build.Dockerfile))
	if err != nil {
		return err
	}
	for _, base := range bases {
		if err := f.Fetch(ctx, Wanted{Ref: base, Progress: w.Progress}); err != nil {
			return fmt.Errorf("base of the build: %w", err)
		}
	}
	if err := f.Engine.Build(ctx, dir, w.Build.Dockerfile, w.Ref, !known, w.say); err != nil {
		return err
	}
	return f.check(ctx, w)
}

func readBases(path string) ([]string, bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, false, fmt.Errorf("build context: %w", err)
	}
	defer file.Close()
	return Bases(file)
}

// Bases are the images that a Dockerfile begins with. known is false when it names one that only podman can work out:
// with a variable, or without a registry.
func Bases(dockerfile io.Reader) (bases []string, known bool, err error) {
	known = true
	stages := map[string]bool{"scratch": true}
	lines := bufio.NewScanner(dockerfile)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || !strings.EqualFold(words[0], "FROM") {
			continue
		}
		words = words[1:]
		for len(words) > 1 && strings.HasPrefix(words[0], "--") {
			words = words[1:]
		}
		switch base := words[0]; {
		case stages[strings.ToLower(base)]:
		case strings.Contains(base, "$"), !qualified(base):
			known = false
		default:
			bases = append(bases, base)
		}
		if len(words) == 3 && strings.EqualFold(words[1], "AS") {
			stages[strings.ToLower(words[2])] = true
		}
	}
	return bases, known, lines.Err()
}

// qualified tells that a reference names its registry and a tag.
func qualified(ref string) bool {
	host, path, ok := strings.Cut(ref, "/")
	return ok && strings.ContainsAny(host, ".:") && strings.Contains(path, ":") && !strings.Contains(path, "@")
}

var _ Engine = (*podman.Client)(nil)
