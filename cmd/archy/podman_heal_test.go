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
		Result: heal.Refused, After: heal.Unknown, Human: &heal.Human{Seen: last}}, exitHuman)
	if text := out.String(); !strings.Contains(text, "live processes: db") || strings.Count(text, last) != 1 {
		t.Error(text)
	}
	out.Reset()
	_ = e.printReport(heal.Report{State: heal.Unknown, Evidence: last, Result: heal.Refused, After: heal.Unknown, Human: &heal.Human{Seen: last}}, exitHuman)
	if text := out.String(); strings.Count(text, last) != 1 {
		t.Error(text)
	}
}

// TestQuietPodman: with --quiet a podman that nobody need act for leaves no word, and one that is broken all of them. A document is complete all the same.
func TestQuietPodman(t *testing.T) {
	for _, c := range []struct {
		state  heal.State
		result heal.Result
		json   bool
		says   bool
	}{
		{heal.OK, heal.Nothing, false, false},
		{heal.Slow, heal.Nothing, false, false},
		{heal.OK, heal.Healed, false, false},
		{heal.OK, heal.Nothing, true, true},
		{heal.DBConfig, heal.Refused, false, true},
		{heal.OK, heal.Refused, false, true},
	} {
		var out, talk bytes.Buffer
		e := &env{cli: &cli{out: &out, err: &talk, quiet: true, json: c.json}}
		r := heal.Report{State: heal.SocketDown, Result: c.result, After: c.state}
		_ = e.printReport(r, r.ExitCode())
		if says := out.Len() > 0; says != c.says || talk.Len() > 0 {
			t.Errorf("heal, %+v: %q, %q", c, out.String(), talk.String())
		}
		out.Reset()
		if err := e.printDiagnosis(heal.Diagnosis{State: c.state}); err != nil {
			t.Fatal(err)
		}
		if says := out.Len() > 0; says != (c.json || !c.state.Fine()) {
			t.Errorf("check, %+v: %q", c, out.String())
		}
	}
}
