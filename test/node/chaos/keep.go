package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The container and the volume of somebody else: without archy's labels, never to be touched.
const (
	stranger       = "stranger"
	strangerVolume = "stranger-data"
	strangerImage  = "docker.io/library/mariadb:10.11"
)

// plantedFile lies in each app's data and has nothing to do with the app.
const plantedFile = "planted.by.chaos"

// plant puts a file into each app's data, and a stranger on the node.
func (r *Rig) plant(ctx context.Context) error {
	var script strings.Builder
	for _, a := range r.Fleet {
		if a.Data != "" {
			fmt.Fprintf(&script, "head -c 65536 /dev/urandom >%s/%s; sync -d %[1]s/%[2]s\n", a.Data, plantedFile)
		}
	}
	if err := r.sh(ctx, script.String()).Error(); err != nil {
		return err
	}
	return r.welcome(ctx)
}

// welcome makes the stranger, unless it is there and runs. A power cut stops it, and nobody but its owner starts it again.
func (r *Rig) welcome(ctx context.Context) error {
	return r.user(ctx, fmt.Sprintf(`podman image exists %[3]s || podman pull -q %[3]s >/dev/null
podman volume exists %[2]s || podman volume create %[2]s >/dev/null
m=$(podman volume inspect -f '{{.Mountpoint}}' %[2]s)/mine; [ -e "$m" ] || echo mine >"$m"
make() { podman create -q --name %[1]s -v %[2]s:/mine %[3]s sleep 1000000 >/dev/null; }
podman container exists %[1]s || make 2>/dev/null || { podman rm -f -t 0 %[1]s >/dev/null 2>&1; make; }
up() { [ "$(podman inspect -f '{{.State.Running}}' %[1]s)" = true ] || systemd-run -q --user --scope --collect podman start %[1]s >/dev/null; }
up 2>/dev/null || { podman rm -f -t 0 %[1]s >/dev/null 2>&1; make; up; }`,
		stranger, strangerVolume, strangerImage)).Error()
}

// kept is what a round must not change.
type kept struct {
	// data are digests of the planted files and of the marks that the apps left at their first start.
	data map[string]string
	// secrets are digests of the secret files.
	secrets map[string]string
	// stranger is somebody else's container and volume.
	stranger string
}

func (r *Rig) keeping(ctx context.Context) (kept, error) {
	data := r.sh(ctx, `cd `+dataDir+`; find . -path ./containers -prune -o \( -name born -o -name `+plantedFile+` \) -print0 | sort -z | xargs -0 sha256sum`)
	secrets := r.sh(ctx, `cd `+dataDir+`/secrets; find . -type f -not -name '*.bak-*' -print0 | sort -z | xargs -0 sha256sum`)
	other := r.user(ctx, strangerState)
	for _, res := range []error{data.Error(), secrets.Error(), other.Error()} {
		if res != nil {
			return kept{}, res
		}
	}
	return kept{sums(data.Stdout), sums(secrets.Stdout), other.Stdout}, nil
}

// strangerState is the content of its volume, and its container by podman's word.
const strangerState = `cd ` + dataDir + `/containers/storage
sha256sum volumes/` + strangerVolume + `/_data/mine
podman inspect -f '{{.Id}}' ` + stranger + ` 2>/dev/null || echo unknown to podman`

// sums reads the output of sha256sum.
func sums(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if sum, file, ok := strings.Cut(strings.TrimSpace(line), "  "); ok {
			out[file] = sum
		}
	}
	return out
}

// lost are the entries of before that are missing or different now.
func lost(before, now map[string]string) []string {
	var out []string
	for _, file := range slices.Sorted(maps.Keys(before)) {
		switch sum, there := now[file]; {
		case !there:
			out = append(out, file+" is gone")
		case sum != before[file]:
			out = append(out, file+" has another content")
		}
	}
	return out
}

// inTrash are the digests of what lies in archy's trash.
func inTrash(data map[string]string) map[string]bool {
	out := map[string]bool{}
	for file, sum := range data {
		if strings.HasPrefix(file, "./state/trash/") {
			out[sum] = true
		}
	}
	return out
}

// torn are archy's own files that are half written.
func (r *Rig) torn(ctx context.Context) []string {
	const mark = "\x01file "
	res := r.sh(ctx, `cd `+dataDir+`/state; for f in $(find . -name '*.json' -not -path './quarantine/*' -not -path './trash/*') `+unitDir+`/*.container `+unitDir+`/*.network; do [ -e $f ] || continue; printf '\001file %s\n' $f; cat $f; done`)
	if err := res.Error(); err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, file := range strings.Split(res.Stdout, mark)[1:] {
		name, content, _ := strings.Cut(file, "\n")
		switch {
		case !strings.HasSuffix(content, "\n"):
			out = append(out, name+" is torn: it does not end with a newline")
		case strings.HasSuffix(name, ".json") && !json.Valid([]byte(content)):
			out = append(out, name+" is torn: it is not JSON")
		}
	}
	return out
}

// counted: each app has exactly one container, and it runs.
func (r *Rig) counted(ctx context.Context) []string {
	res := r.user(ctx, `podman ps -a --format '{{.Names}} {{.State}}'`)
	if err := res.Error(); err != nil {
		return []string{err.Error()}
	}
	count, running := map[string]int{}, map[string]bool{}
	for line := range strings.Lines(res.Stdout) {
		name, state, _ := strings.Cut(strings.TrimSpace(line), " ")
		count[name]++
		running[name] = running[name] || state == "running"
	}
	var out []string
	for _, a := range r.Fleet {
		switch {
		case count[a.Container] != 1:
			out = append(out, fmt.Sprintf("%s has %d containers", a.ID, count[a.Container]))
		case !running[a.Container]:
			out = append(out, a.ID+" does not run")
		}
	}
	for name := range count {
		if strings.Contains(name, "-archy-old-") {
			out = append(out, name+" was left")
		}
	}
	slices.Sort(out)
	return out
}

// values are the texts of the secrets, to look for them where they must not be.
func (r *Rig) values(ctx context.Context) []string {
	var out []string
	res := r.sh(ctx, `cd `+dataDir+`/secrets; for f in *; do [ -f "$f" ] && cat "$f" && echo; done`)
	for line := range strings.Lines(res.Stdout) {
		if value := strings.TrimSpace(line); len(value) >= 12 && !strings.HasPrefix(value, "-----") {
			out = append(out, value)
		}
	}
	return out
}
