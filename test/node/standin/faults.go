package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// faultFile holds the same words as the environment, one NAME=value a line. It is read again and again, in the
// server's data directory and in /tmp, and wins over the environment.
const faultFile = "standin.fault"

// faults are how a server has been told to misbehave.
type faults struct {
	fail       int           // STANDIN_FAIL=exit:N: end at once with that code
	slow       time.Duration // STANDIN_SLOW=10s: start that late
	unhealthy  bool          // STANDIN_UNHEALTHY=1: run, but accept no connection
	crashAfter time.Duration // STANDIN_CRASH_AFTER=5s: end with code 139, as a segmentation fault would
	stop       time.Duration // STANDIN_STOP=20s: take that long to stop
	warmup     bool          // STANDIN_WARMUP=1: bitcoind answers -28
}

func readFaults(dataDir string) faults {
	var f faults
	for _, line := range os.Environ() {
		f.set(line)
	}
	for _, dir := range []string{"/tmp", dataDir} {
		if dir == "" {
			continue
		}
		text, _ := os.ReadFile(filepath.Join(dir, faultFile))
		for line := range strings.Lines(string(text)) {
			f.set(strings.TrimSpace(line))
		}
	}
	return f
}

func (f *faults) set(line string) {
	name, value, _ := strings.Cut(line, "=")
	switch name {
	case "STANDIN_FAIL":
		f.fail, _ = strconv.Atoi(strings.TrimPrefix(value, "exit:"))
	case "STANDIN_SLOW":
		f.slow = duration(value)
	case "STANDIN_UNHEALTHY":
		f.unhealthy = value == "1"
	case "STANDIN_CRASH_AFTER":
		f.crashAfter = duration(value)
	case "STANDIN_STOP":
		f.stop = duration(value)
	case "STANDIN_WARMUP":
		f.warmup = value == "1"
	}
}

// duration reads 10s or a bare number of seconds; anything else is nothing.
func duration(text string) time.Duration {
	if n, err := strconv.Atoi(text); err == nil {
		return time.Duration(n) * time.Second
	}
	d, _ := time.ParseDuration(text)
	return d
}
