package install

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
)

var shells = []string{"sh", "bash"}

// run runs a script in a shell and returns what it prints.
func run(t *testing.T, shell, script string, args ...string) string {
	t.Helper()
	out, err := exec.Command(shell, append([]string{"-euc", script, shell}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", shell, err, out)
	}
	return string(out)
}

// TestScriptsAreSourced by sh and bash, with the names that callers know.
func TestScriptsAreSourced(t *testing.T) {
	dir := installed(t)
	for _, shell := range shells {
		for _, file := range []string{"opt/archipelago/image-versions.sh", "opt/archipelago/scripts/image-versions.sh"} {
			got := run(t, shell, `. "$1"; echo "$MARIADB_IMAGE $BTCPAY_POSTGRES_IMAGE $BITCOIN_KNOTS_IMAGE $LND_UI_IMAGE"`, filepath.Join(dir, file))
			want := "docker.io/library/mariadb:10.11 docker.io/library/postgres:15-alpine ghcr.io/retropex/bitcoin:v28.1 localhost/archy-lnd-ui:ctx-"
			if !strings.HasPrefix(got, want) {
				t.Errorf("%s %s gives %q", shell, file, got)
			}
		}
		names := strings.Fields(run(t, shell, `. "$1"; for name in $ALL_CONTAINER_SPECS; do echo "$name"; done; command -v load_spec`,
			filepath.Join(dir, "opt/archipelago/scripts/container-specs.sh")))
		if len(names) != 34 || names[33] != "load_spec" || !slices.Contains(names, "immich_server") || !slices.Contains(names, "archy-bitcoin-ui") {
			t.Errorf("%s: containers %v", shell, names)
		}
	}
}

// TestImagesOfTheOwner: a local manifest replaces an image, adds one, and takes no shipped app's variable.
func TestImagesOfTheOwner(t *testing.T) {
	dir := tempDir(t)
	for id, image := range map[string]string{"lnd": "registry.example/lnd:mine", "2fa": "registry.example/2fa:1", "mariadb": "registry.example/mariadb:2"} {
		write(t, dir, "etc/archipelago/apps/"+id+"/manifest.yml",
			"app: {id: "+id+", name: N, version: \"1\", container_name: x"+id+", container: {image: \""+image+"\"}}\n")
	}
	install(t, dir)
	text := read(t, dir, "opt/archipelago/image-versions.sh")
	for _, line := range []string{
		`LND_IMAGE="registry.example/lnd:mine"`, `_2FA_IMAGE="registry.example/2fa:1"`,
		`MARIADB_IMAGE="docker.io/library/mariadb:10.11"`, "# mariadb: MARIADB_IMAGE is the image of archy-mempool-db",
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
	if got := run(t, "sh", `. "$1"; echo "$_2FA_IMAGE"`, filepath.Join(dir, "opt/archipelago/image-versions.sh")); got != "registry.example/2fa:1\n" {
		t.Errorf("sh reads %q", got)
	}
	if strings.Contains(text, "lightninglabs") {
		t.Error("the shipped image of lnd is still there")
	}
}

// TestImageOfOwnersBuild: its tag depends on a context that only the node has.
func TestImageOfOwnersBuild(t *testing.T) {
	set, _ := manifest.LoadFS(fstest.MapFS{"page/manifest.yml": {Data: []byte(
		"app: {id: page, name: N, version: \"1\", container: {build: {context: ctx, tag: page}}}\n")}}, "apps")
	if got := string(ImageVersions(set)); !strings.HasSuffix(got, "\n# page: built from a context of the owner\n") {
		t.Errorf("image-versions.sh is\n%s", got)
	}
}
