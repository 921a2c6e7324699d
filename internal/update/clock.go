package update

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"git.tx1138.com/lfg2025/archy/internal/wait"
)

// SystemClock is this machine's.
type SystemClock struct{}

// Now implements Clock.
func (SystemClock) Now() time.Time { return time.Now() }

// Monotonic implements Clock with CLOCK_MONOTONIC, the same for every process of a boot.
func (SystemClock) Monotonic() time.Duration {
	var ts unix.Timespec
	// It fails for an unknown clock only (clock_gettime(2)).
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}

// Sleep implements Clock.
func (SystemClock) Sleep(ctx context.Context, d time.Duration) error {
	return wait.For(ctx, d)
}

// SystemBootID is the id of this boot (random(4)).
func SystemBootID() (string, error) {
	const path = "/proc/sys/kernel/random/boot_id"
	data, err := os.ReadFile(path)
	id := strings.TrimSpace(string(data))
	if err == nil && id == "" {
		err = fmt.Errorf("%s: empty", path)
	}
	return id, err
}
