package firstboot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/failpoint"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
)

// Limits of the preflight.
const (
	minPodman, minSystemd = 5, 254
	minFree, enoughFree   = 5 << 30, 20 << 30
	enoughMemory          = 4 << 30
	clockWait             = 60 * time.Second
	firstYear             = 2025
)

// preflight looks at what archy cannot make itself. Everything that is missing is said at once.
func (h *Host) preflight(ctx context.Context, p *Plan) error {
	if err := node.CheckVolume(h.Layout); err != nil {
		return err
	}
	err := errors.Join(h.account(), h.volume(p), h.podman(ctx), h.systemd(ctx, p), h.tools(), h.room(p), h.manifests(p))
	if err != nil {
		return err
	}
	h.warnOfSize(p)
	h.ports(p)
	h.clock(ctx, p)
	return nil
}

func (h *Host) account() error {
	u := h.User
	if u.UID != h.WantUID || u.GID != h.WantUID {
		return fmt.Errorf("user %s has uid %d and gid %d; the units want %d", u.Name, u.UID, u.GID, h.WantUID)
	}
	if info, err := os.Stat(h.Layout.Host(u.Home)); err != nil || !info.IsDir() {
		return fmt.Errorf("user %s has no home: %s is not there", u.Name, u.Home)
	}
	return nil
}

// volume plans the name of a new data volume. The name is drawn first and becomes the node's last: a run that was killed
// between the two files is completed and not taken for a node whose disk is missing.
func (h *Host) volume(p *Plan) error {
	id, named, err := h.readFile(node.VolumeIDPath)
	if err != nil || named && len(id) > 0 {
		return err
	}
	p.add(does(h.nameVolume), "give the data volume a name (%s, %s)", node.VolumeIDPath, h.Layout.VolumeMark())
	return nil
}

func (h *Host) nameVolume() error {
	for _, d := range []Dir{{"/etc/archipelago", 0o755, h.System}, {h.Layout.DataDir, 0o755, h.service()}} {
		if err := h.makeDir(d); err != nil {
			return err
		}
	}
	drawn := node.VolumeIDPath + node.VolumeDrawn
	id, found, err := h.readFile(drawn)
	if err != nil {
		return err
	}
	if !found || len(id) == 0 {
		id = []byte(h.NewID() + "\n")
	}
	for _, f := range []File{{drawn, 0o644, h.System, id}, {h.Layout.VolumeMark(), 0o644, h.service(), id}, {node.VolumeIDPath, 0o644, h.System, id}} {
		if err := h.writeFile(f); err != nil {
			return err
		}
	}
	return failpoint.Write("remove "+drawn, func() error { return os.Remove(h.Layout.Host(drawn)) })
}

var firstNumber = regexp.MustCompile(`\d+`)

// major is the first number in what a program says about its version.
func (h *Host) major(ctx context.Context, argv ...string) (int, error) {
	text, err := h.run(ctx, argv...)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(firstNumber.FindString(text))
	if err != nil {
		return 0, fmt.Errorf("%s does not say its version", argv[0])
	}
	return n, nil
}

func (h *Host) podman(ctx context.Context) error {
	version, err := h.major(ctx, "podman", "--version")
	switch {
	case err != nil:
		return fmt.Errorf("podman: %w", err)
	case version < minPodman:
		return fmt.Errorf("podman %d is too old, %d is needed", version, minPodman)
	}
	var errs []error
	if !h.overlay() {
		errs = append(errs, errors.New("no overlay file system: neither the kernel's nor fuse-overlayfs"))
	}
	if !h.anywhere("podman-user-generator", "/usr/lib/systemd/user-generators", "/etc/systemd/user-generators", "/usr/local/lib/systemd/user-generators") {
		errs = append(errs, errors.New("podman's unit generator is missing (podman-user-generator)"))
	}
	return errors.Join(errs...)
}

// overlay tells whether the kernel has the file system, or can load it, or a program stands in for it.
func (h *Host) overlay() bool {
	text, _ := os.ReadFile(h.Layout.Host("/proc/filesystems"))
	if strings.Contains(string(text), "\toverlay\n") || h.anywhere("fuse-overlayfs", toolDirs...) {
		return true
	}
	modules, _ := filepath.Glob(h.Layout.Host("/lib/modules/*/kernel/fs/overlayfs/overlay.ko*"))
	return len(modules) > 0
}

func (h *Host) systemd(ctx context.Context, p *Plan) error {
	version, err := h.major(ctx, "systemctl", "--version")
	switch {
	case err != nil:
		return fmt.Errorf("systemd: %w", err)
	case version < minSystemd:
		return fmt.Errorf("systemd %d is too old, %d is needed", version, minSystemd)
	}
	if _, err := os.Stat(h.Layout.Host("/sys/fs/cgroup/cgroup.controllers")); err != nil {
		return errors.New("no cgroup version 2 at /sys/fs/cgroup")
	}
	// Before the user's manager is up nothing is delegated to anybody.
	if missing := h.Facts.Delegated.Missing(); len(missing) > 0 && h.busAnswers() {
		p.warn("cgroup controllers not delegated to %s: %s; apps run without these limits", h.User.Name, strings.Join(missing, ", "))
	}
	return nil
}

var toolDirs = append(strings.Split(path, ":"), "/usr/lib/podman", "/usr/libexec/podman", "/usr/local/lib/podman", "/usr/local/libexec/podman")

// Tools are the programs that podman needs beside itself.
var Tools = []string{"newuidmap", "newgidmap", "pasta", "netavark", "aardvark-dns", "conmon", "crun"}

func (h *Host) tools() error {
	var missing []string
	for _, name := range Tools {
		if !h.anywhere(name, toolDirs...) {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("missing programs: %s (apt install podman uidmap passt netavark aardvark-dns conmon crun)", strings.Join(missing, ", "))
}

// anywhere tells whether one of the directories has the program.
func (h *Host) anywhere(name string, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool {
		info, err := os.Stat(h.Layout.Host(filepath.Join(dir, name)))
		return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
	})
}

func (h *Host) room(p *Plan) error {
	const gib = float64(1 << 30)
	free, memory := h.Facts.DataFree, h.Facts.MemTotal
	if free < minFree {
		return fmt.Errorf("%s has %.1f GiB free, at least %d GiB are needed", h.Layout.DataDir, float64(free)/gib, minFree>>30)
	}
	if free < enoughFree {
		p.warn("%s has %.1f GiB free, %d GiB are advised", h.Layout.DataDir, float64(free)/gib, enoughFree>>30)
	}
	if memory < enoughMemory {
		p.warn("the machine has %.1f GiB of memory, %d GiB are advised", float64(memory)/gib, enoughMemory>>30)
	}
	return nil
}

// manifests are wrong as a whole when one is: a first boot has nobody who would notice that an app is missing.
func (h *Host) manifests(p *Plan) error {
	var errs []error
	for _, f := range h.Findings {
		if f.Severity == manifest.Error {
			errs = append(errs, errors.New(f.String()))
		} else {
			p.warn("%s", f.String())
		}
	}
	return errors.Join(errs...)
}

// clock waits for the time to be set, where something sets it.
func (h *Host) clock(ctx context.Context, p *Plan) {
	const look = time.Second
	var ntp, synchronised bool
	for i := range clockWait / look {
		ntp, synchronised = h.timeState(ctx)
		if synchronised || !ntp || h.Impatient {
			break
		}
		if i == 0 && h.Tell != nil {
			h.Tell(fmt.Sprintf("wait for the clock to be set, at most %s", clockWait))
		}
		if !h.Pause(ctx, look) {
			break
		}
	}
	h.Impatient = true // the next check follows at once
	switch {
	case h.Now().Year() < firstYear:
		p.warn("the clock says %s: images cannot be fetched over TLS until it is set", h.Now().UTC().Format("2006-01-02"))
	case !synchronised && ntp:
		p.warn("the clock was not synchronised within %s; fetching images over TLS may fail", clockWait)
	case !synchronised:
		p.warn("nothing synchronises the clock; fetching images over TLS may fail")
	}
}

func (h *Host) timeState(ctx context.Context) (ntp, synchronised bool) {
	text, err := h.run(ctx, "timedatectl", "show", "-p", "NTP", "-p", "NTPSynchronized")
	return err != nil || strings.Contains(text, "NTP=yes"), strings.Contains(text, "NTPSynchronized=yes")
}
