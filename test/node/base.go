package node

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const suite = "trixie"

// packages is what a node has beyond Debian's minimal system. podman-compose is for the benchmarks,
// busybox-static and nginx-light are also the material of the stand-in images.
var packages = []string{
	"aardvark-dns", "busybox-static", "ca-certificates", "crun", "curl", "dbus", "dbus-user-session", "iproute2",
	"iptables", "jq", "libpam-systemd", "netavark", "nftables", "nginx-light", "openssl", "passt", "podman",
	"podman-compose", "procps", "sudo", "systemd", "systemd-sysv", "tor", "ufw", "uidmap", "wireguard-tools",
}

// setup turns the bare Debian into a node. It runs inside the new root.
//
//go:embed base.sh
var setup string

// Base returns the directory of the base file system, which every node shares read-only. It is built on first use
// and kept in the cache under a name that is a digest of everything it is made of.
func Base(ctx context.Context, progress io.Writer) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	base := filepath.Join(cache, "base-"+baseKey())
	err = Once(base, func(tmp string) error { return buildBase(ctx, tmp, progress) })
	if err != nil {
		return "", fmt.Errorf("node base: %w", err)
	}
	return base, nil
}

func baseKey() string {
	sum := sha256.Sum256([]byte(strings.Join(append(packages, suite, runtime.GOARCH, setup), "\n")))
	return hex.EncodeToString(sum[:])[:16]
}

func buildBase(ctx context.Context, dir string, progress io.Writer) error {
	if err := needDebootstrap(ctx, progress); err != nil {
		return err
	}
	mirror, err := debianMirror(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(progress, "building the node's base file system, once, about 90 s (%s)\n", dir)
	start := time.Now()
	err = logged(ctx, dir+".log", "", "debootstrap", "--variant=minbase",
		"--include="+strings.Join(packages, ","), suite, dir, mirror)
	if err != nil {
		return err
	}
	if err := logged(ctx, dir+".log", setup, "chroot", dir, "sh", "-eu"); err != nil {
		return err
	}
	fmt.Fprintf(progress, "base file system built in %.0f s\n", time.Since(start).Seconds())
	return nil
}

func needDebootstrap(ctx context.Context, progress io.Writer) error {
	if _, err := exec.LookPath("debootstrap"); err == nil {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("debootstrap is needed and this is not Debian: install it by hand")
	}
	fmt.Fprintln(progress, "installing debootstrap")
	script := "apt-get update && apt-get install -y --no-install-recommends debootstrap debian-archive-keyring"
	out, err := exec.CommandContext(ctx, "sh", "-c", script).CombinedOutput()
	if err != nil {
		return fmt.Errorf("install debootstrap: %w\n%s", err, tail(string(out), 10))
	}
	return nil
}

// debianMirror asks apt, so that a machine's own mirror is used wherever it is.
func debianMirror(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets",
		"--format", "$(ORIGIN)|$(LABEL)|$(SITE)|$(REPO_URI)", "Created-By: Packages").Output()
	if err != nil {
		return "", fmt.Errorf("ask apt for its mirrors: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) == 4 && f[0] == "Debian" && f[1] == "Debian" {
			return f[3], nil
		}
	}
	return "", errors.New("apt knows no Debian mirror: add one to /etc/apt/sources.list.d and run apt-get update")
}

// logged runs a command with its output in a file, and quotes the end of it when it fails.
func logged(ctx context.Context, logFile, stdin, name string, args ...string) error {
	f, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), f, f
	cmd.Env = append(os.Environ(), "LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(logFile)
		return fmt.Errorf("%s: %w, see %s\n%s", name, err, logFile, tail(string(text), 10))
	}
	return nil
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
