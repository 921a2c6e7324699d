package reconcile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/state"
)

// diaryPass makes a pass that keeps the diary.
func (n *fakeNode) diaryPass() Result {
	n.t.Helper()
	p := n.passOf()
	p.Diary = state.Diary{Store: n.store, Locks: n.locks, Command: "reconcile", Now: n.peek}
	r, err := p.Run(n.t.Context())
	if err != nil || len(r.Warnings) > 0 {
		n.t.Fatal(err, r.Warnings)
	}
	return r
}

func (n *fakeNode) diary(app string) string {
	n.t.Helper()
	list, err := n.store.ReadDiary(app)
	if err != nil {
		n.t.Fatal(err)
	}
	var lines []string
	for _, e := range list {
		lines = append(lines, strings.TrimSpace(strings.Join([]string{e.Action, e.Result, e.State, e.Cause}, " ")))
	}
	return strings.Join(lines, "\n")
}

// historyFiles are the diaries with their times of change.
func (n *fakeNode) historyFiles() string {
	var b strings.Builder
	_ = filepath.WalkDir(n.layout.Host(n.layout.State("history")), func(path string, d os.DirEntry, err error) error {
		if err == nil {
			info, _ := d.Info()
			b.WriteString(path + " " + info.ModTime().String() + "\n")
		}
		return nil
	})
	return b.String()
}

func TestThePassWritesWhatItDidAndAWarmOneNothing(t *testing.T) {
	n := newNode(t, five()).firstBootDone()
	n.diaryPass()
	if got := n.diary("solo"); !strings.HasPrefix(got, "Installed ok") {
		t.Errorf("solo: %s", got)
	}
	n.later(time.Minute)
	n.diaryPass()
	before := n.historyFiles()
	for range 3 {
		n.later(time.Minute)
		n.diaryPass()
	}
	if now := n.historyFiles(); now != before {
		t.Errorf("a warm pass wrote:\n%s\nbefore:\n%s", now, before)
	}
}

func TestTheDiaryTellsHowAnAppDied(t *testing.T) {
	n := fiveRunning(t)
	c := n.containers["solo"]
	n.drop(c)
	d := &n.services["solo.service"].Detail
	d.ActiveState, d.SubState, d.Result, d.ExecMainCode, d.ExecMainStatus = "failed", "failed", "oom-kill", 2, 9
	n.behave["docker.io/example/solo:v1.0"] = behaviour{dies: 127, says: "the password is " + marker}
	n.diaryPass()
	got := n.diary("solo")
	if !strings.Contains(got, "exited 127: its command is not in the image") || !strings.Contains(got, "failed") {
		t.Errorf("solo: %s", got)
	}
	n.behave["docker.io/example/solo:v1.0"] = behaviour{}
	n.later(10 * time.Minute)
	n.diaryPass()
	if got := n.diary("solo"); !strings.Contains(got, "AutoRestarted ok ready systemd restarted it once") {
		t.Errorf("solo: %s", got)
	}
	files, _ := filepath.Glob(n.layout.Host(n.layout.State("history", "*")))
	for _, f := range files {
		if data, _ := os.ReadFile(f); strings.Contains(string(data), marker) {
			t.Errorf("a secret in %s", f)
		}
	}
}
