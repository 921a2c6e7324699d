package chaos

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// records are two rounds that passed, one that broke a rule and one with a late app.
var records = []Outcome{
	{Scenario: 2, Run: 2, Fault: "conmon", Group: "ten", Seed: 7, Apps: map[string]float64{"lnd": 20, "filebrowser": 12}},
	{Scenario: 2, Run: 1, Fault: "payload", Group: "ten", Seed: 7, Apps: map[string]float64{"lnd": 15}},
	{Scenario: 3, Run: 1, Fault: "cut", Group: "ten", Seed: 7, Apps: map[string]float64{"lnd": -1}, Failures: []string{"lnd is not back"}, Log: "said"},
	{Scenario: 2, Run: 3, Fault: "payload", Group: "ten", Seed: 7, Apps: map[string]float64{"lnd": 14, "filebrowser": 45}, Late: []string{"filebrowser was late"}},
}

func report(t *testing.T, before string) (dir, text string) {
	t.Helper()
	dir = t.TempDir()
	keep, err := Recorder(filepath.Join(dir, "records"))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range records {
		if err := keep(o); err != nil {
			t.Fatal(err)
		}
	}
	if before != "" {
		if err := os.WriteFile(filepath.Join(dir, reportFile), []byte(before), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := Report(dir, []string{filepath.Join(dir, "records")}); err != nil {
		t.Fatal(err)
	}
	out, err := os.ReadFile(filepath.Join(dir, reportFile))
	if err != nil {
		t.Fatal(err)
	}
	return dir, string(out)
}

func TestReportCountsWhatRan(t *testing.T) {
	_, text := report(t, "")
	for _, line := range []string{
		"4 rounds; 3 cells",
		"and 0 of them passed 20 rounds",
		"| 2 | container-killed | 3 | 0 | 1 | 15.0 | 45.0 | filebrowser | 240 |",
		"| 1 | archy-killed | 0 | not run |",
		"| filebrowser | 3 |  | 1/2, 45.0 |",
		"| lnd | 2 |  | 3/3, 20.0 | 0/1, not back |",
		"| 3.1 | cut | ten | 7 | lnd is not back |",
		"| 2.3 | payload | ten | 7 | filebrowser was late |",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("the report has no %q", line)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestReportReplacesItsOwnChapterAlone(t *testing.T) {
	_, text := report(t, "# Reliability\n\nwords\n\n## Chaos matrix\n\nold numbers\n\n## Afterwards\n\nmore\n")
	if strings.Contains(text, "old numbers") || !strings.HasPrefix(text, "# Reliability\n\nwords\n\n## Chaos matrix\n") || !strings.HasSuffix(text, "\n## Afterwards\n\nmore\n") {
		t.Error(text)
	}
}

func TestReportIsTheSameTwice(t *testing.T) {
	one, text := report(t, "")
	two, again := report(t, text)
	if text != again {
		t.Error("the chapter differs")
	}
	for _, file := range []string{pictureFile, dataFile} {
		a, _ := os.ReadFile(filepath.Join(one, file))
		b, _ := os.ReadFile(filepath.Join(two, file))
		if len(a) == 0 || string(a) != string(b) {
			t.Errorf("%s differs or is empty", file)
		}
	}
	var doc struct{ Rounds []Outcome }
	data, _ := os.ReadFile(filepath.Join(one, dataFile))
	if err := json.Unmarshal(data, &doc); err != nil || len(doc.Rounds) != len(records) || doc.Rounds[0].Run != 1 || doc.Rounds[3].Log != "" {
		t.Errorf("%v: %+v", err, doc)
	}
}

func TestEveryAppIsInAGroup(t *testing.T) {
	apps, err := everyApp()
	if err != nil {
		t.Fatal(err)
	}
	if len(apps) != 33 {
		t.Errorf("%d apps: %v", len(apps), apps.IDs())
	}
}

// test that each state of the lifecycle is counted by itself, and that the whole is passed only when each state has had its rounds
func TestReportCountsEachState(t *testing.T) {
	apps, err := everyApp()
	if err != nil {
		t.Fatal(err)
	}
	var rounds []Outcome
	for n := range full * len(lifecycle.Faults) {
		o := Outcome{Scenario: lifecycle.Number, Run: n + 1, Fault: lifecycle.Faults[n%len(lifecycle.Faults)].Name, Group: "ten", Apps: map[string]float64{"lnd": 15}}
		if o.Fault == "stop" {
			o.Apps["grafana"] = -1
			o.Failures = []string{"grafana is not back"}
		}
		if o.Fault == "open UI" {
			o.Apps["filebrowser"] = 0.5
		}
		rounds = append(rounds, o)
	}
	text := chapter(summarise(rounds, apps), rounds, apps)
	for _, line := range []string{
		"200 rounds; 3 cells", "and 0 of them passed",
		"| 9 | lifecycle | 200 | 20 | 0 |",
		"| app | install | open UI | stop | start | restart | reinstall | upgrade | survive reboot | survive manager restart | remove |",
		"| lnd | 20/20, 15.0 | 20/20, 15.0 | 0/20, 15.0 | 20/20, 15.0 |",
		"| filebrowser |  | 20/20, 0.5 |  |",
		"| grafana |  |  | 0/20, not back |",
		"10 of these 330 passed 20 rounds",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("the report has no %q", line)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// test that who stands on an app may restart with it, over several steps, and nobody else may
func TestDownstream(t *testing.T) {
	f, err := NewFleet("ten")
	if err != nil {
		t.Fatal(err)
	}
	db, _ := f.Get("archy-mempool-db")
	if got := strings.Join(f.Downstream(db), " "); got != "archy-mempool-db mempool-api archy-mempool-web" {
		t.Error(got)
	}
	alone, _ := f.Get("filebrowser")
	if got := f.Downstream(alone); len(got) != 1 {
		t.Error(got)
	}
}

// test that a round can be repeated: the same seed, scenario and number strike the same apps
func TestRoundsRepeat(t *testing.T) {
	f, err := NewFleet("all")
	if err != nil {
		t.Fatal(err)
	}
	strikes := func(seed uint64, number int) string {
		return strings.Join(ids(newRound(&Rig{Fleet: f}, containerKilled, number, seed, "").Few(f)), " ")
	}
	first, again := strikes(1, 4), strikes(1, 4)
	if first != again {
		t.Errorf("the same round strikes %q, then %q", first, again)
	}
	if first == strikes(1, 5) && first == strikes(2, 4) {
		t.Error("every round strikes the same apps")
	}
}

// test that all apps are struck equally often, by each fault
func TestStrikesAreEven(t *testing.T) {
	f, err := NewFleet("all")
	if err != nil {
		t.Fatal(err)
	}
	struck := map[string]int{}
	faults := len(containerKilled.Faults)
	for number := 1; number <= faults*len(f); number++ {
		r := newRound(&Rig{Fleet: f}, containerKilled, number, 1, "")
		for _, a := range r.Few(f) {
			struck[a.ID+" by "+r.Fault.Name]++
		}
	}
	if len(struck) != faults*len(f) {
		t.Errorf("%d of %d pairs of app and fault", len(struck), faults*len(f))
	}
	for pair, n := range struck {
		if n != few {
			t.Errorf("%s: %d times, want %d", pair, n, few)
		}
	}
}

// test that what opens of an app is what its manifest publishes, and that only these publish nothing on the host
func TestWhatOpens(t *testing.T) {
	every, err := everyApp()
	if err != nil {
		t.Fatal(err)
	}
	var closed []string
	for _, a := range every {
		if len(a.Ports) == 0 && len(a.Pages) == 0 {
			closed = append(closed, a.ID)
		}
	}
	slices.Sort(closed)
	if got := strings.Join(closed, " "); got != "archy-btcpay-db archy-mempool-db archy-nbxplorer immich-postgres immich-redis tailscale" {
		t.Errorf("nothing opens of %s", got)
	}
	explorer, _ := every.Get("mempool")
	if !slices.Equal(explorer.Pages, []page{{"http://127.0.0.1:4080/", true}}) || !slices.Equal(explorer.Ports, []int{4080}) {
		t.Errorf("%+v", explorer)
	}
	lnd, _ := every.Get("lnd")
	if len(lnd.Pages) != 0 || !slices.Equal(lnd.Ports, []int{9735, 10009, 8080}) {
		t.Errorf("%+v", lnd)
	}
}
