package chaos

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// drift: somebody edits what archy wrote. The next pass sees it, mends it, and restarts those alone who read it, once.
var drift = Scenario{
	Number: 6, Name: "drift", Limit: driftLimit,
	Faults: []Fault{
		{"unit edited", editUnits},
		{"unit deleted", deleteUnits},
		{"podman secret replaced", replaceSecrets},
		{"derived file damaged", damageFiles},
		{"secret file changed", changeSecrets},
		{"secret file readable by all", openSecrets},
	},
}

// driftLimit is the pass and the app's gate.
func driftLimit(a App) time.Duration {
	if a.Tier == 1 || a.Tier == 2 {
		return 90*time.Second + 300*time.Second
	}
	return 90*time.Second + 180*time.Second
}

// mend makes the pass that must see and mend it. Nobody but the restarting ones and who stands on them may stop, and each
// of them restarts once.
func (r *Round) mend(ctx context.Context, script string, restarting []App) error {
	if len(r.hit) == 0 {
		return nil // the only app that may be struck has nothing of the kind
	}
	if len(restarting) > 0 {
		r.sampler.allow(r.Fleet.Downstream(restarting...)...)
	}
	if err := r.user(ctx, script).Error(); err != nil {
		return err
	}
	r.Struck()
	if res := r.archy(ctx, "reconcile", "--check-only", "--exit-code"); res.Code != 4 {
		r.Fail("--check-only does not see it: exit code %d", res.Code)
	}
	r.Want(ctx, []int{0}, "reconcile")
	for _, a := range r.hit {
		if n := r.sampler.started(a.Container); n > 2 {
			r.Fail("%s was restarted %d times", a.ID, n-1)
		}
	}
	return nil
}

// forEach makes a script of a line for each app, with its container as %s.
func forEach(apps []App, line string) string {
	var b strings.Builder
	for _, a := range apps {
		fmt.Fprintf(&b, line+"\n", a.Container)
	}
	return b.String()
}

func editUnits(ctx context.Context, r *Round) error {
	r.hit = r.Some(r.Fleet)
	return r.mend(ctx, forEach(r.hit, "sed -i s/^RestartSec=10/RestartSec=9/ "+unitDir+"/%s.container"), nil)
}

func deleteUnits(ctx context.Context, r *Round) error {
	r.hit = r.Some(r.Fleet)
	return r.mend(ctx, forEach(r.hit, "rm "+unitDir+"/%s.container"), nil)
}

func replaceSecrets(ctx context.Context, r *Round) error {
	r.hit = r.Some(r.having(func(a App) bool { return len(a.Secrets) > 0 }))
	var script strings.Builder
	for _, a := range r.hit {
		fmt.Fprintf(&script, "printf wrong | podman secret create --replace archy.%s.%s - >/dev/null\n", a.ID, a.Secrets[r.rand.IntN(len(a.Secrets))])
	}
	return r.mend(ctx, script.String(), r.hit)
}

// damage is how a derived file of an app is broken, as its own script.
var damage = map[string]string{
	"bitcoin-knots": "sed -i 's/^rpcauth=archipelago:..../rpcauth=archipelago:0000/' /var/lib/archipelago/bitcoin/bitcoin.conf",
	"bitcoin-core":  "sed -i 's/^rpcauth=archipelago:..../rpcauth=archipelago:0000/' /var/lib/archipelago/bitcoin/bitcoin.conf",
	"lnd":           "sed -i s/^bitcoind.rpcuser=archipelago/bitcoind.rpcuser=nobody/ /var/lib/archipelago/lnd/lnd.conf",
	"bitcoin-ui":    "truncate -s 20 /var/lib/archipelago/bitcoin-ui/nginx.conf",
}

func damageFiles(ctx context.Context, r *Round) error {
	r.hit = r.Some(r.having(func(a App) bool { return damage[a.ID] != "" }))
	const alias = `grep -q '^alias=' /var/lib/archipelago/lnd/lnd.conf || printf '\nalias=of-the-owner\n' >>/var/lib/archipelago/lnd/lnd.conf`
	script := []string{alias}
	for _, a := range r.hit {
		script = append(script, "podman unshare sh -c \""+damage[a.ID]+"\"")
	}
	if err := r.mend(ctx, strings.Join(script, "\n"), r.hit); err != nil {
		return err
	}
	if res := r.user(ctx, "grep -c '^alias=of-the-owner$' /var/lib/archipelago/lnd/lnd.conf"); strings.TrimSpace(res.Stdout) != "1" {
		r.Fail("the owner's line of lnd.conf is not there once: %q", res.Stdout)
	}
	return nil
}

// changeSecrets gives new values to secrets that are not also inside an app's data.
func changeSecrets(ctx context.Context, r *Round) error {
	r.hit = r.Some(r.having(func(a App) bool { return len(a.Rotatable) > 0 }))
	var script strings.Builder
	for _, a := range r.hit {
		for _, file := range a.Rotatable {
			fmt.Fprintf(&script, "printf %%s %032x >%s/secrets/%s\n", r.rand.Uint64(), dataDir, file)
			r.secretsChange[file] = true
		}
	}
	readers := r.having(func(a App) bool {
		return slices.ContainsFunc(a.SecretFiles, func(f string) bool { return r.secretsChange[f] }) || damage[a.ID] != ""
	})
	return r.mend(ctx, script.String(), readers)
}

func openSecrets(ctx context.Context, r *Round) error {
	r.hit = r.Some(r.having(func(a App) bool { return len(a.SecretFiles) > 0 }))
	var script strings.Builder
	for _, a := range r.hit {
		fmt.Fprintf(&script, "chmod 0644 %s/secrets/%s\n", dataDir, a.SecretFiles[0])
	}
	if err := r.user(ctx, script.String()).Error(); err != nil {
		return err
	}
	r.Struck()
	if res := r.archy(ctx, "reconcile", "--check-only", "--exit-code"); len(r.hit) > 0 && res.Code != 4 {
		r.Fail("--check-only does not see it: exit code %d", res.Code)
	}
	r.Want(ctx, []int{0}, "reconcile")
	if res := r.user(ctx, "find "+dataDir+"/secrets -type f -perm /077"); res.Stdout != "" {
		r.Fail("still readable by others: %s", res.Stdout)
	}
	return nil
}

// having are the apps of the group for which it holds.
func (r *Round) having(ok func(App) bool) []App {
	var out []App
	for _, a := range r.Fleet {
		if ok(a) {
			out = append(out, a)
		}
	}
	return out
}
