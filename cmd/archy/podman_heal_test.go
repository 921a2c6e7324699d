package main

import (
	"bytes"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
)

// TestReportSaysWhatWasSeenLast: what a climb ends with is often not what it began with, and the person who is told to decide knows only what is printed.
func TestReportSaysWhatWasSeenLast(t *testing.T) {
	var out bytes.Buffer
	e := &env{cli: &cli{out: &out, err: &bytes.Buffer{}}}
	const last = "Error: OCI runtime error: crun: create keyring `0e25`: Disk quota exceeded"
	_ = e.printReport(heal.Report{State: heal.LostTrack, Evidence: "live processes: db", Source: "/proc", Rungs: []heal.Rung{{N: 4, Does: "restart", Done: true}},
		Result: heal.Refused, After: heal.Unknown, Human: &heal.Human{Seen: last}})
	if text := out.String(); !strings.Contains(text, "live processes: db") || strings.Count(text, last) != 1 {
		t.Error(text)
	}
	out.Reset()
	_ = e.printReport(heal.Report{State: heal.Unknown, Evidence: last, Result: heal.Refused, After: heal.Unknown, Human: &heal.Human{Seen: last}})
	if text := out.String(); strings.Count(text, last) != 1 {
		t.Error(text)
	}
}
