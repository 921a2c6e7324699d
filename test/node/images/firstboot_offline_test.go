package images_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/test/node"
)

const electrum = "docker.io/lukechilds/electrumx:v1.16.0"

// coreImages are the images of the core profile, and the one that its pages are built on.
func coreImages() (refs []string) {
	set, _ := manifest.LoadFS(apps.FS, "apps")
	for _, id := range set.Order() {
		if app := set.Apps[id]; slices.Contains(app.Profiles, "core") && app.Container.Image != "" {
			refs = append(refs, app.Container.Image)
		}
	}
	return append(refs, nginx)
}

// TestFirstBootWithoutARegistry: the core profile comes from archives alone. One is missing: that app and those that need it
// have to wait, the boot goes on and says so, and when the archive is there the next pass completes the node.
func TestFirstBootWithoutARegistry(t *testing.T) {
	n := machine{node.UpT(t, node.Options{FirstBoot: true})}
	if err := n.Put(node.Archy(t), "/usr/local/bin/archy", 0o755); err != nil {
		t.Fatal(err)
	}
	n.write(t, "/etc/archipelago/archy.yaml", "bitcoin:\n  prune: 0\n") // the profile is core when nobody says another
	var there, all []string
	for _, ref := range coreImages() {
		line := n.shipped(t, ref)
		if all = append(all, line); ref != electrum {
			there = append(there, line)
		}
	}
	n.index(t, there...)
	n.nowhere(t)
	asked := n.Registry.Pulls("")

	end := n.firstBoot(t, 3)
	for id, want := range map[string]string{
		"archy-mempool-db": firstboot.PhaseDone, "bitcoin-knots": firstboot.PhaseDone, "bitcoin-ui": firstboot.PhaseDone, "lnd": firstboot.PhaseDone, "lnd-ui": firstboot.PhaseDone,
		"filebrowser": firstboot.PhaseDone, "fedimint-clientd": firstboot.PhaseNeeds, "electrumx": firstboot.PhaseFailed,
		"electrs-ui": firstboot.PhaseHeld, "mempool-api": firstboot.PhaseHeld, "mempool": firstboot.PhaseHeld,
	} {
		if got := end.Apps[id]; got.Phase != want {
			t.Errorf("%s is %+v, want it %s", id, got, want)
		}
	}
	if why := end.Apps["electrumx"].Error; end.Result != firstboot.ResultPartial || len(end.Apps) != 11 || !strings.Contains(why, electrum) {
		t.Errorf("result %s of %d apps, electrumx: %s", end.Result, len(end.Apps), why)
	}
	if text := n.MustRoot(t, "cat", "/var/lib/archipelago/.first-boot-containers-done"); !strings.Contains(text, `"partial"`) {
		t.Errorf("the marker says %s", text)
	}

	n.index(t, all...)
	wantUp(t, n.complete(t), "electrumx", "electrs-ui", "mempool-api", "mempool")
	if got := n.Registry.Pulls("") - asked; got != 0 {
		t.Errorf("the registry was asked %d times", got)
	}
}

// shipped is an archive as an image of a disk brings it, made without podman. It returns its line of the index.
func (n machine) shipped(t *testing.T, ref string) string {
	t.Helper()
	file := strings.NewReplacer("/", "_", ":", "_").Replace(ref) + ".tar"
	here := filepath.Join(t.TempDir(), file)
	if err := n.Registry.Archive(ref, here); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(here)
	if err != nil {
		t.Fatal(err)
	}
	n.write(t, filepath.Join(archives, file), string(data))
	return fmt.Sprintf("%q: {%q: %q, %q: \"%x\", %q: %d}", ref, "file", file, "sha256", sha256.Sum256(data), "size", len(data))
}

// ended is the last line of archy first-boot --json.
type ended struct {
	Result string
	Apps   map[string]firstboot.AppProgress
}

func (n machine) firstBoot(t *testing.T, code int) ended {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res := n.Root(ctx, "archy", "first-boot", "--json", "--skip", "tor", "--skip", "firewall")
	lines := strings.Split(strings.TrimSpace(res.Stdout), "\n")
	var end ended
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil || res.Code != code {
		t.Fatalf("archy first-boot: exit code %d, want %d (%v)\n%s%s", res.Code, code, err, res.Stdout, res.Stderr)
	}
	return end
}

// complete is the pass that the timer makes, and those after it, until nothing is left to do.
func (n machine) complete(t *testing.T) (r reconcile.Result) {
	t.Helper()
	for range 10 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		res := n.User(ctx, "archy", "reconcile", "--json")
		if r = (reconcile.Result{}); json.Unmarshal([]byte(res.Stdout), &r) == nil && res.Code == 0 && r.Summary.OK+r.Summary.NeedsConfig == 11 {
			return r
		}
	}
	t.Fatalf("the node is not complete: %+v", r.Summary)
	return r
}
