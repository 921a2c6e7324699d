package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"git.tx1138.com/lfg2025/archy/test/node"
)

// databaseLost: podman's database is gone or unreadable while containers run. They go on serving until each moves over, once.
var databaseLost = Scenario{
	Number: 4, Name: "database-lost", Whole: true, Timer: true, Heals: true, Limit: moveOverLimit,
	Faults: []Fault{
		{"removed", removeDatabase},
		{"4 KiB of zeros in it", loseDatabase("dd if=/dev/zero of=$DB bs=4096 count=1 conv=notrunc status=none")},
		{"truncated", loseDatabase("truncate -s 5000 $DB")},
		{"removed while the node was off", loseDatabaseOff},
		{"zeros, with a stranger that runs", loseDatabaseBesideStranger},
	},
}

// moveOverLimit: a minute until it is seen, then a minute for each app whose turn comes before and for the app itself. The contract adds the
// time that each needs to stop; the stand-ins stop at once.
func moveOverLimit(a App) time.Duration { return time.Duration(1+a.turn) * time.Minute }

const database = dataDir + "/containers/storage/db.sql"

func loseDatabase(script string) func(context.Context, *Round) error {
	return func(ctx context.Context, r *Round) error {
		if err := r.farewell(ctx); err != nil {
			return err
		}
		r.HitAll()
		if err := r.user(ctx, "DB="+database+"; "+script).Error(); err != nil {
			return err
		}
		r.Struck()
		r.once = true
		return nil
	}
}

// removeDatabase: podman's service has the deleted file open and goes on listing everybody. The first heal finds that, and leaves nothing to a person.
func removeDatabase(ctx context.Context, r *Round) error {
	r.healedOnce = func(res node.Result) {
		if res.Code != 0 {
			r.Fail("archy podman heal: exit code %d, want 0: %s", res.Code, lastLines(res.Stdout+res.Stderr, 6))
		}
	}
	return loseDatabase("rm -f $DB $DB-wal $DB-shm")(ctx, r)
}

func loseDatabaseOff(ctx context.Context, r *Round) error {
	if err := r.farewell(ctx); err != nil {
		return err
	}
	r.HitAll()
	r.Cut()
	files, err := filepath.Glob(filepath.Join(r.Dir, "data/archipelago/containers/storage/db.sql*"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no database on the disk: %w", err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	if err := r.Boot(ctx); err != nil {
		return err
	}
	r.Struck()
	return nil
}

// loseDatabaseBesideStranger: while somebody else's container runs, nothing is renamed and nobody stops; exit code 6 says
// so within a minute. Its owner stops it, and the node heals.
func loseDatabaseBesideStranger(ctx context.Context, r *Round) error {
	r.hit, r.forgets = r.Fleet, true
	if err := r.user(ctx, "dd if=/dev/zero of="+database+" bs=4096 count=1 conv=notrunc status=none").Error(); err != nil {
		return err
	}
	began := time.Now()
	r.Want(ctx, []int{6}, "podman", "heal")
	if took := time.Since(began); took > time.Minute {
		r.Late("exit code 6 came after %s", took.Round(time.Second))
	}
	if res := r.user(ctx, "head -c 16 "+database+" | tr -d '\\0' | wc -c"); strings.TrimSpace(res.Stdout) != "0" {
		r.Fail("the database was replaced while a stranger runs: %s%s", res.Stdout, res.Stderr)
	}
	r.HitAll()
	r.killStranger()
	r.Struck()
	return nil
}

// onceEach wants nobody to have restarted more than once; it is asked after the first pass.
func (r *Round) onceEach() {
	for _, a := range r.Fleet {
		if n := r.sampler.started(a.Container); n > 2 {
			r.Fail("%s was restarted %d times in one pass", a.ID, n-1)
		}
	}
}

// farewell takes the stranger's container away: podman is about to lose its list, and while it runs nothing may be healed.
func (r *Round) farewell(ctx context.Context) error {
	r.forgets = true
	r.sampler.allow(stranger)
	return r.user(ctx, "podman rm -f -t 0 "+stranger+" >/dev/null").Error()
}

func (r *Round) killStranger() {
	for _, c := range r.sampler.look() {
		if c.Name == stranger {
			_ = syscall.Kill(c.Payload, syscall.SIGKILL)
		}
	}
}
