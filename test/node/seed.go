package node

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// Seed gives the seed of a test's random choices, which ARCHY_TEST_SEED repeats, and logs it.
func Seed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("ARCHY_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("ARCHY_TEST_SEED=%d", seed)
	return seed
}
