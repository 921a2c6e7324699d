// Package wait is a pause that ends with its context.
package wait

import (
	"context"
	"time"
)

// For waits so long, or ends early with the error of the context.
func For(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
