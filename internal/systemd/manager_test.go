package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	godbus "github.com/godbus/dbus/v5"
	"go.uber.org/goleak"

	"git.tx1138.com/lfg2025/archy/internal/command"
)

// test that a bus that is not there is named; what to do says who knows the user's name
func TestNoBus(t *testing.T) {
	bus := filepath.Join(t.TempDir(), "bus")
	_, err := Connect(context.Background(), Options{Bus: bus})
	if !errors.Is(err, ErrNoUserBus) || !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("error %v", err)
	}
	want := "user bus " + bus + ": dial unix " + bus + ": connect: no such file or directory"
	if err.Error() != want {
		t.Errorf("error\n%s\nwant\n%s", err, want)
	}
}

// test that a bus that accepts and says nothing is given up, and nothing goes on waiting for it
func TestBusHangs(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir, err := os.MkdirTemp("", "bus")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	listener, err := net.Listen("unix", filepath.Join(dir, "bus"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	limits := DefaultLimits()
	limits.Connect = 100 * time.Millisecond
	_, err = Connect(context.Background(), Options{Bus: filepath.Join(dir, "bus"), Limits: limits})
	if !errors.Is(err, ErrNoUserBus) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestDelegatedControllers(t *testing.T) {
	root := t.TempDir()
	m := &Manager{opts: Options{CgroupRoot: root, UID: 1000}}
	if _, err := m.DelegatedControllers(context.Background()); err == nil || !strings.Contains(err.Error(), "cgroup v2") {
		t.Errorf("without a file: error %v", err)
	}
	dir := filepath.Join(root, "user.slice/user-1000.slice/user@1000.service")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.controllers"), []byte("cpu memory pids\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := m.DelegatedControllers(context.Background())
	if want := []string{"cpu", "memory", "pids"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, error %v", got, err)
	}
}

// journalctl answers every program with the same output and keeps what was asked.
type journalctl struct {
	asked  []string
	output string
}

func (j *journalctl) Run(_ context.Context, cmd command.Cmd) (command.Result, error) {
	j.asked = cmd.Argv
	if cmd.Limit != 10*time.Second {
		return command.Result{}, errors.New("not the limit of a query")
	}
	return command.Result{Stdout: []byte(j.output)}, nil
}

func TestJournal(t *testing.T) {
	for _, test := range []struct {
		invocation, output string
		asked              string
		want               []string
	}{
		{"", "one\n\ntwo\n", "journalctl --user -u lnd.service -n 20 -o cat --no-pager --quiet", []string{"one", "", "two"}},
		{"abc", "", "journalctl --user -u lnd.service -n 20 -o cat --no-pager --quiet _SYSTEMD_INVOCATION_ID=abc", nil},
	} {
		j := &journalctl{output: test.output}
		m := &Manager{opts: Options{Runner: j, Limits: DefaultLimits()}}
		got, err := m.Journal(context.Background(), "lnd.service", test.invocation, 20)
		if err != nil || !reflect.DeepEqual(got, test.want) || strings.Join(j.asked, " ") != test.asked {
			t.Errorf("got %q, error %v, asked %q", got, err, j.asked)
		}
	}
}

func TestJobError(t *testing.T) {
	failed := Detail{Result: "exit-code", ExecMainStatus: 125}
	for want, err := range map[string]*JobError{
		"start lnd.service: job failed (exit-code, exit status 125); look at: journalctl --user -u lnd.service": {Verb: "start", Unit: "lnd.service", Result: ResultFailed, Detail: failed},
		"stop lnd.service: not finished after 5m45s; it goes on":                                                {Verb: "stop", Unit: "lnd.service", Result: ResultLimit, Limit: 345 * time.Second},
		"start lnd.service: a condition of the unit is not met, for example it was stopped by the user":         {Verb: "start", Unit: "lnd.service", Result: ResultCondition},
		"start lnd.service: a unit that it requires failed":                                                     {Verb: "start", Unit: "lnd.service", Result: ResultDependency},
	} {
		if err.Error() != want {
			t.Errorf("got  %s\nwant %s", err, want)
		}
	}
}

// test that a change is blamed for what its unit does, and not for a manager that does not answer
func TestBlames(t *testing.T) {
	m := &Manager{}
	remote := func(name string) error { return m.explain("restart x.service", godbus.Error{Name: name}) }
	for _, test := range []struct {
		err  error
		want bool
	}{
		{&JobError{Result: ResultFailed}, true},
		{&JobError{Result: ResultTimeout}, true},
		{&JobError{Result: ResultDependency}, true},
		{&JobError{Result: ResultLimit, Detail: Detail{Unit: Unit{ActiveState: "activating"}}}, true},
		{&JobError{Result: ResultLimit, Detail: Detail{Unit: Unit{ActiveState: "active"}}}, false},
		{&JobError{Result: ResultLimit}, false},
		{&JobError{Result: ResultCanceled}, false},
		{fmt.Errorf("start: %w", &JobError{Result: ResultFailed}), true},
		{remote("org.freedesktop.systemd1.BadUnitSetting"), true},
		{remote("org.freedesktop.systemd1.NoSuchUnit"), true},
		{remote("org.freedesktop.systemd1.TransactionIsDestructive"), false}, // the machine shuts down
		{remote("org.freedesktop.DBus.Error.NoReply"), false},
		{m.explain("restart x.service", godbus.ErrClosed), false},
		{fmt.Errorf("no answer: %w", context.DeadlineExceeded), false},
		{context.Canceled, false},
	} {
		if got := Blames(test.err); got != test.want {
			t.Errorf("%v: %v", test.err, got)
		}
	}
}

// test that a unit which systemd restarts no more is told from one that failed to stop
func TestStartLimitHit(t *testing.T) {
	for name, test := range map[string]struct {
		props properties
		want  bool
	}{
		"crash loop":            {properties{"ActiveState": "failed", "Result": "exit-code", "Restart": "on-failure", "NRestarts": uint32(5), "StartLimitBurst": uint32(5)}, true},
		"named by systemd":      {properties{"ActiveState": "failed", "Result": "start-limit-hit", "Restart": "no"}, true},
		"killed while stopping": {properties{"ActiveState": "failed", "Result": "timeout", "Restart": "on-failure", "NRestarts": uint32(0), "StartLimitBurst": uint32(5)}, false},
		"about to restart":      {properties{"ActiveState": "activating", "Result": "exit-code", "Restart": "on-failure", "NRestarts": uint32(5), "StartLimitBurst": uint32(5)}, false},
		"does not restart":      {properties{"ActiveState": "failed", "Result": "exit-code", "Restart": "no", "StartLimitBurst": uint32(5)}, false},
	} {
		if got := test.props.detail("x.service").StartLimitHit; got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
