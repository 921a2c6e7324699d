package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// CacheDir is where bases, built stand-ins and node disks live, outside the checkout: $ARCHY_TEST_CACHE,
// else archy-test below $XDG_CACHE_HOME or ~/.cache.
func CacheDir() (string, error) {
	if dir := os.Getenv("ARCHY_TEST_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory (set ARCHY_TEST_CACHE): %w", err)
	}
	return filepath.Join(dir, "archy-test"), nil
}

// Once makes target with build, unless it is there already. Processes that ask at the same time wait for one of
// them: target appears complete or not at all.
func Once(target string, build func(tmp string) error) error {
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	lock := flock.New(target + ".lock")
	if free, err := lock.TryLock(); err != nil {
		return fmt.Errorf("lock %s: %w", target, err)
	} else if !free {
		fmt.Fprintf(os.Stderr, "waiting for another process that makes %s\n", target)
		if err := lock.Lock(); err != nil {
			return fmt.Errorf("lock %s: %w", target, err)
		}
	}
	defer lock.Unlock()
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	tmp := target + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := build(tmp); err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	return os.Rename(tmp, target)
}
