package quadlet

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// Generator is the program that turns units into services on a node.
const Generator = "/usr/lib/systemd/user-generators/podman-user-generator"

// DryRunLimit bounds the generator, which reads a few files.
const DryRunLimit = 30 * time.Second

// Runner runs a program with further environment variables and returns what it wrote; err tells about an exit code
// other than 0 too.
type Runner interface {
	Run(ctx context.Context, env []string, argv ...string) (stdout, stderr []byte, err error)
}

// DryRun lets the node's own generator read the units of a scratch directory and returns the services that it would
// write, by file name. A unit that the generator leaves out is an error, because that is how it reports a mistake.
func DryRun(ctx context.Context, run Runner, dir string) (map[string][]byte, error) {
	units, err := unitNames(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the units of %s: %w", dir, err)
	}
	ctx, cancel := context.WithTimeout(ctx, DryRunLimit)
	defer cancel()
	stdout, stderr, err := run.Run(ctx, []string{"QUADLET_UNIT_DIRS=" + dir}, Generator, "--user", "--dryrun")
	services := parseDryRun(stdout)
	for _, name := range units {
		if _, ok := services[serviceName(name)]; !ok {
			return services, fmt.Errorf("%s: podman's generator makes no service of it: %s", name, complaint(name, stderr, err))
		}
	}
	if err != nil {
		return services, fmt.Errorf("podman's generator: %w: %s", err, strings.TrimSpace(string(stderr)))
	}
	return services, nil
}

func unitNames(dir string) ([]string, error) {
	var names []string
	for _, pattern := range []string{"*.container", "*.network"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, p := range paths {
			names = append(names, filepath.Base(p))
		}
	}
	return names, nil
}

// serviceName follows Quadlet: a container's service has its name, a network's the ending -network.
func serviceName(unit string) string {
	if base, ok := strings.CutSuffix(unit, ".network"); ok {
		return base + "-network.service"
	}
	return strings.TrimSuffix(unit, ".container") + ".service"
}

// complaint picks the generator's last line about a unit: what it loads and warns of comes before its errors.
func complaint(unit string, stderr []byte, err error) string {
	text := "it gave no reason"
	if err != nil {
		text = err.Error()
	}
	for line := range strings.Lines(string(stderr)) {
		if strings.Contains(line, unit) && !strings.Contains(line, "Loading source unit file") {
			text = strings.TrimSpace(line)
		}
	}
	return text
}

// parseDryRun reads the generator's output: each service after a line ---NAME---.
func parseDryRun(out []byte) map[string][]byte {
	services := map[string][]byte{}
	name := ""
	for _, line := range strings.SplitAfter(string(out), "\n") {
		mark := strings.TrimRight(line, "\n")
		if inner, ok := strings.CutPrefix(mark, "---"); ok && strings.HasSuffix(inner, ".service---") {
			name = strings.TrimSuffix(inner, "---")
			services[name] = []byte{}
			continue
		}
		if name != "" {
			services[name] = append(services[name], line...)
		}
	}
	return services
}
