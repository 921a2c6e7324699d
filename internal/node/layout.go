// Package node says what this machine is: its paths, its configuration, its facts. It knows no
// other package of archy.
package node

import (
	"path/filepath"
	"strconv"
)

// Layout is where things lie on a node. The fields are the paths that the node itself sees and that
// end up in units; Host turns one into the path to open, which differs only with --root.
type Layout struct {
	// Root is put before every path that is opened; "" or "/" on a node.
	Root string
	// DataDir is /var/lib/archipelago: the apps' data, archy's state, the secrets.
	DataDir string
	// ManifestDir and LocalManifestDir hold the shipped manifests and the owner's.
	ManifestDir, LocalManifestDir string
	// Home is the service user's home directory.
	Home string
	// RuntimeDir is the service user's, /run/user/1000.
	RuntimeDir string
	// LockDir is /run/archy.
	LockDir string
}

// Host is the path to open for p, a path as the node sees it.
func (l Layout) Host(p string) string {
	if l.Root == "" {
		return p
	}
	return filepath.Join(l.Root, p)
}

// Data is a path below the data directory.
func (l Layout) Data(elem ...string) string {
	return filepath.Join(append([]string{l.DataDir}, elem...)...)
}

// State is a path below archy's own state.
func (l Layout) State(elem ...string) string {
	return l.Data(append([]string{"state"}, elem...)...)
}

// Secrets is the directory of the secret files.
func (l Layout) Secrets() string { return l.Data("secrets") }

// UnitDir is where the Quadlet units of the service user lie.
func (l Layout) UnitDir() string {
	return filepath.Join(l.Home, ".config/containers/systemd")
}

// Unit is the unit file of a container.
func (l Layout) Unit(container string) string {
	return filepath.Join(l.UnitDir(), container+".container")
}

// PodmanSocket is the service user's engine.
func (l Layout) PodmanSocket() string {
	return filepath.Join(l.RuntimeDir, "podman/podman.sock")
}

// UserBus is the service user's D-Bus.
func (l Layout) UserBus() string { return filepath.Join(l.RuntimeDir, "bus") }

// FirstBootDone is the marker whose existence says that the first boot is over.
func (l Layout) FirstBootDone() string { return l.Data(".first-boot-containers-done") }

// UserStopped lists the apps that the owner stopped.
func (l Layout) UserStopped() string { return l.Data("user-stopped.json") }

// NewLayout is the layout of a node below root ("" or "/" on the node itself).
func NewLayout(root string, cfg Config, u User) Layout {
	if root == "/" {
		root = ""
	}
	return Layout{
		Root:             root,
		DataDir:          cfg.DataDir,
		ManifestDir:      cfg.ManifestDir,
		LocalManifestDir: cfg.LocalManifestDir,
		Home:             u.Home,
		RuntimeDir:       filepath.Join("/run/user", strconv.Itoa(u.UID)),
		LockDir:          "/run/archy",
	}
}
