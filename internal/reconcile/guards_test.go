package reconcile

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// guarded is a node on which an app with a guard of its own runs with an image of that tag.
func guarded(t *testing.T, id, tag string) *fakeNode {
	t.Helper()
	n := newNode(t, map[string]string{id: upgraded(manifestOf(id, 3, fmt.Sprintf(dataOf, id)), tag)}).firstBootDone()
	n.pass()
	n.later(time.Minute)
	return n
}

// upgradeTo asks for another tag, and gives the result of the app.
func (n *fakeNode) upgradeTo(id, tag string, downgrade bool) AppResult {
	n.t.Helper()
	ref := "docker.io/example/" + id + ":" + tag
	n.registry[ref] = true
	r, err := n.verb(Request{Verb: VerbUpgrade, Apps: []string{id}, To: ref, AllowDowngrade: downgrade})
	if err != nil {
		n.t.Fatal(err)
	}
	return n.result(r, id)
}

// Apps that have a guard of their own are under the rule about lower versions as well.
func TestLowerVersionsOfGuardedApps(t *testing.T) {
	for id, c := range map[string]struct{ tag, lower, file, text string }{
		"archy-mempool-db": {"10.11", "10.6", "mariadb_upgrade_info", "10.6.0-MariaDB"},
		"immich-postgres":  {"14.10", "14.2", "PG_VERSION", "14\n"},
		"nextcloud":        {"28.0.5-apache", "28.0.1-apache", "config/config.php", "'version' => '28.0.1.1',"},
	} {
		t.Run(id, func(t *testing.T) {
			n := guarded(t, id, c.tag)
			n.lay(n.layout.Data(id, c.file), c.text)
			if got := n.upgradeTo(id, c.lower, false); got.Action != NeedsHuman || !strings.Contains(got.Cause, "lower version") {
				t.Errorf("%s: %s", got.Action, got.Cause)
			}
			if got := n.upgradeTo(id, c.lower, true); got.Action != Recreated {
				t.Errorf("allowed: %s: %s", got.Action, got.Cause)
			}
		})
	}
}

// A Nextcloud that its owner took to the next major version is started again with it, and skips none.
func TestNextcloudOfAnotherVersionThanTheManifests(t *testing.T) {
	n := guarded(t, "nextcloud", "28-apache")
	config := n.layout.Data("nextcloud", "config/config.php")
	n.lay(config, "'version' => '28.0.1.1',")
	if got := n.upgradeTo("nextcloud", "30-apache", false); got.Action != NeedsHuman || !strings.Contains(got.Cause, "data of Nextcloud 28, image of 30") {
		t.Errorf("%s: %s", got.Action, got.Cause)
	}
	if got := n.upgradeTo("nextcloud", "29-apache", false); got.Action != Recreated {
		t.Fatalf("%s: %s", got.Action, got.Cause)
	}
	n.lay(config, "'version' => '29.0.2.2',")
	n.mustVerb(0, Request{Verb: VerbStop, Apps: []string{"nextcloud"}})
	n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{"nextcloud"}})
	if !n.runs("nextcloud") {
		t.Error("it does not run")
	}
}

// A version that cannot be read is not taken for that of new data.
func TestUnreadableVersionOfData(t *testing.T) {
	for id, file := range map[string]string{"archy-mempool-db": "mariadb_upgrade_info", "immich-postgres": "PG_VERSION", "nextcloud": "config/config.php"} {
		t.Run(id, func(t *testing.T) {
			n := guarded(t, id, "14")
			n.mustVerb(0, Request{Verb: VerbStop, Apps: []string{id}})
			n.lay(n.layout.Data(id, file, "x"), "a directory gives an error, whoever reads it")
			r, err := n.verb(Request{Verb: VerbStart, Apps: []string{id}})
			if err != nil {
				t.Fatal(err)
			}
			if got := n.result(r, id); got.Action != NeedsHuman || !strings.Contains(got.Cause, file+" cannot be read") || n.runs(id) {
				t.Errorf("%s: %s", got.Action, got.Cause)
			}
		})
	}
}

// A newer version that has converted the data and fails then is not followed by the older one, which would spoil them: neither after an upgrade nor after a
// migration, and not by a later pass.
func TestNoWayBackOverConvertedData(t *testing.T) {
	const id, newer = "archy-mempool-db", "docker.io/example/archy-mempool-db:11.4"
	for name, begin := range map[string]func(t *testing.T) (*fakeNode, func() AppResult){
		"upgrade": func(t *testing.T) (*fakeNode, func() AppResult) {
			n := guarded(t, id, "10.11")
			return n, func() AppResult { return n.upgradeTo(id, "11.4", false) }
		},
		"migration": func(t *testing.T) (*fakeNode, func() AppResult) {
			n := newNode(t, map[string]string{id: upgraded(manifestOf(id, 3, fmt.Sprintf(dataOf, id)), "11.4")}).firstBootDone()
			n.script(id, "docker.io/example/archy-mempool-db:10.11", binds(n.layout.Data(id), "/data"))
			n.pass()
			n.later(time.Minute)
			return n, func() AppResult { return n.result(n.pass(migrateAll), id) }
		},
	} {
		for _, converts := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, converts %v", name, converts), func(t *testing.T) {
				n, change := begin(t)
				n.lay(n.layout.Data(id, "mariadb_upgrade_info"), "10.11.6-MariaDB")
				n.behave[newer] = behaviour{sick: true}
				n.onCall = func(call string) {
					if converts && n.images[newer].ID != "" && (strings.HasPrefix(call, "restart "+id) || strings.HasPrefix(call, "start "+id)) {
						_ = os.WriteFile(n.layout.Host(n.layout.Data(id, "mariadb_upgrade_info")), []byte("11.4.2-MariaDB"), 0o600)
					}
				}
				got := change()
				for range 3 {
					if !converts {
						if got.Action != RolledBack || n.containers[id].Image == newer {
							t.Errorf("%+v", got)
						}
						return
					}
					if got.Action != NeedsHuman || !strings.Contains(got.Cause, "data of MariaDB 11.4.2-MariaDB, image of 10.11") || n.containers[id].Image != newer {
						t.Fatalf("%s: %s", got.Action, got.Cause)
					}
					n.later(6 * time.Minute)
					got = n.result(n.pass(), id)
				}
			})
		}
	}
}
