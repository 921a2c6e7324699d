package quadlet

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// generator answers as podman's does, for the units that it is told to convert.
type generator struct {
	t              *testing.T
	stdout, stderr string
	err            error
}

func (g generator) Run(ctx context.Context, env []string, argv ...string) ([]byte, []byte, error) {
	if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > 30*time.Second {
		g.t.Errorf("the generator may run until %v", deadline)
	}
	if len(env) != 1 || !strings.HasPrefix(env[0], "QUADLET_UNIT_DIRS=/") || !slices.Equal(argv, []string{Generator, "--user", "--dryrun"}) {
		g.t.Errorf("run with %q %q", env, argv)
	}
	return []byte(g.stdout), []byte(g.stderr), g.err
}

func TestDryRun(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"lnd.container", "archy-net.network", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const network = "---archy-net-network.service---\n[Service]\nType=oneshot\n\n"
	const lnd = "---lnd.service---\n[Service]\nExecStart=/usr/bin/podman run\n\n"
	for _, test := range []struct {
		name string
		gen  generator
		want string
	}{
		{"both", generator{stdout: network + lnd}, ""},
		{"one left out", generator{
			stdout: network, err: errors.New("exit status 1"),
			stderr: "quadlet-generator[1]: Loading source unit file " + dir + "/lnd.container\nquadlet-generator[1]: converting \"lnd.container\": no Image or Rootfs key specified\n",
		}, `lnd.container: podman's generator makes no service of it: quadlet-generator[1]: converting "lnd.container": no Image or Rootfs key specified`},
		{"no generator", generator{err: os.ErrNotExist}, "archy-net"},
		{"an error about something else", generator{stdout: network + lnd, stderr: "odd\n", err: errors.New("exit status 1")},
			"podman's generator: exit status 1: odd"},
	} {
		test.gen.t = t
		services, err := DryRun(context.Background(), test.gen, dir)
		switch {
		case test.want == "" && (err != nil || string(services["lnd.service"]) != "[Service]\nExecStart=/usr/bin/podman run\n\n"):
			t.Errorf("%s: %v %q", test.name, err, services)
		case test.want == "":
		case test.name == "no generator":
			if !errors.Is(err, os.ErrNotExist) && !strings.Contains(err.Error(), "file does not exist") {
				t.Errorf("%s: got %v", test.name, err)
			}
		case err == nil || err.Error() != test.want:
			t.Errorf("%s: got %v\nwant %s", test.name, err, test.want)
		}
	}
}
