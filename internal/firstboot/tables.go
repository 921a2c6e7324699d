package firstboot

import (
	"io/fs"
	"path/filepath"
	"strings"

	"git.tx1138.com/lfg2025/archy/dist"
	"git.tx1138.com/lfg2025/archy/internal/node"
)

// The tables of what a first boot lays down on a node. They stand here alone: the steps apply them, and a test on a node
// compares every row with what is really there.

// DirectoryTable has the directories of a node, parents before children, each with its mode and owner.
func DirectoryTable(l node.Layout, service, system Owner) []Dir {
	d := func(owner Owner, mode uint32, paths ...string) (list []Dir) {
		for _, p := range paths {
			list = append(list, Dir{p, fs.FileMode(mode), owner})
		}
		return list
	}
	list := StorageDirectories(l, service)
	list = append(list, d(service, 0o755, l.Data("config"), l.Data("data"), l.Data("tor-hostnames"), "/var/log/archipelago", l.LockDir)...)
	list = append(list, d(service, 0o700, l.State(), l.State("apps"), l.State("stopped"), l.State("quarantine"), l.State("units"), l.Secrets())...)
	list = append(list, d(system, 0o755, "/etc/archipelago", "/etc/archipelago/apps", "/etc/archipelago/ssl", "/opt/archipelago",
		"/opt/archipelago/apps", "/opt/archipelago/bin", "/opt/archipelago/docker", "/opt/archipelago/images",
		"/opt/archipelago/scripts", "/opt/archipelago/web-ui", "/etc/containers", "/var/lib/containers")...)
	return list
}

// StorageDirectories are those that podman needs before it can be asked anything: a new data disk belongs to root.
func StorageDirectories(l node.Layout, service Owner) []Dir {
	return []Dir{{l.DataDir, 0o755, service}, {l.Data("containers"), 0o700, service}, {l.Data("containers/tmp"), 0o700, service},
		{Graphroot(l), 0o700, service}}
}

// Graphroot is where podman keeps images and containers.
func Graphroot(l node.Layout) string { return l.Data("containers/storage") }

// UserDirectories are made in the service user's home where they are missing, parents first; one that is there keeps
// its mode.
func UserDirectories(l node.Layout, service Owner) (list []Dir) {
	for _, p := range []string{".config", ".config/containers", ".config/containers/containers.conf.d", ".config/containers/systemd",
		".local", ".local/share", ".local/share/containers"} {
		list = append(list, Dir{filepath.Join(l.Home, p), 0o755, service})
	}
	return list
}

// SystemDirectories are made for the files below where they are missing.
func SystemDirectories(system Owner) []Dir {
	return []Dir{{"/etc/systemd/system/user@1000.service.d", 0o755, system}, {"/etc/systemd/journald.conf.d", 0o755, system},
		{"/etc/tmpfiles.d", 0o755, system}, {"/etc/sysctl.d", 0o755, system}}
}

// StorageConf says where podman of the service user keeps images and containers.
func StorageConf(l node.Layout, service Owner) File {
	return File{filepath.Join(l.Home, ".config/containers/storage.conf"), 0o644, service, lines(
		"# Laid down by archy first-boot.", "[storage]", `driver = "overlay"`,
		`graphroot = "`+Graphroot(l)+`"`, `runroot = "`+filepath.Join(l.RuntimeDir, "containers")+`"`)}
}

// ContainersConf is podman's configuration beyond its storage.
func ContainersConf(l node.Layout, service Owner) File {
	return File{filepath.Join(l.Home, ".config/containers/containers.conf.d/50-archipelago.conf"), 0o644, service, lines(
		"# Laid down by archy first-boot.", "[network]", `network_backend = "netavark"`, `default_rootless_network_cmd = "pasta"`, "",
		"[engine]", `image_copy_tmp_dir = "`+l.Data("containers/tmp")+`"`)}
}

// UserManagerDropIn holds the service user's manager back until the data volume is mounted, and gives its apps the time to end.
func UserManagerDropIn(system Owner) File {
	return File{"/etc/systemd/system/user@1000.service.d/10-archipelago.conf", 0o644, system, dist.Text("systemd/user@1000.service.d/10-archipelago.conf")}
}

// JournalConf keeps the journal, and keeps it small.
func JournalConf(system Owner) File {
	return File{"/etc/systemd/journald.conf.d/50-archipelago.conf", 0o644, system, dist.Text("journald.conf.d/50-archipelago.conf")}
}

// TmpfilesConf makes at each boot what does not last.
func TmpfilesConf(system Owner) File {
	return File{"/etc/tmpfiles.d/archipelago.conf", 0o644, system, dist.Text("tmpfiles.d/archipelago.conf")}
}

// InstallLog is the history of installations, which only grows.
const InstallLog = "/var/log/archipelago/container-installs.log"

// SubordinateLine is the line of a new node in /etc/subuid and /etc/subgid.
const (
	subordinateStart = 100000
	subordinateCount = 65536
)

// Onion is an onion service, for an app that is installed; without apps for every node.
type Onion struct {
	Name   string
	Port   int
	Target string
	Apps   []string
}

// Onions are all onion services.
var Onions = []Onion{
	{"web", 80, "127.0.0.1:80", nil},
	{"bitcoin", 8333, "127.0.0.1:8333", []string{"bitcoin-knots", "bitcoin-core"}},
	{"lnd", 9735, "127.0.0.1:9735", []string{"lnd"}},
	{"lnd-rest", 8080, "127.0.0.1:8080", []string{"lnd"}},
	{"electrs", 50001, "127.0.0.1:50001", []string{"electrumx"}},
	{"btcpay", 80, "127.0.0.1:23000", []string{"btcpay-server"}},
	{"mempool", 80, "127.0.0.1:4080", []string{"mempool"}},
}

// privateRanges are who may reach a port that is not for everybody.
var privateRanges = []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fe80::/10", "fc00::/7"}

// closedPorts listen for the node's own apps and are never opened.
var closedPorts = map[int]bool{8332: true, 28332: true, 28333: true}

// BaseRules are the firewall's rules of every node.
func BaseRules(cfg node.Config) []Rule {
	rules := []Rule{
		{Proto: "tcp", Port: 22, Comment: commentPrefix + "ssh"},
		{Proto: "tcp", Port: 80, Comment: commentPrefix + "http"},
		{Proto: "tcp", Port: 443, Comment: commentPrefix + "https"},
		{Proto: "udp", Port: 5353, Comment: commentPrefix + "mdns"},
	}
	if cfg.WireGuard.Enabled {
		rules = append(rules, Rule{Proto: "udp", Port: cfg.WireGuard.Port, Comment: commentPrefix + "wireguard"})
	}
	return rules
}

func lines(list ...string) []byte { return []byte(strings.Join(list, "\n") + "\n") }
