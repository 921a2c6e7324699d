package main

import (
	"os"
	"slices"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/node"
)

func TestServiceEnvIsClean(t *testing.T) {
	got := serviceEnv([]string{
		"HOME=/somewhere", "SUDO_USER=me", "LD_PRELOAD=x.so", "XDG_RUNTIME_DIR=/run/user/0", "TERM=xterm", "NO_COLOR=1",
		"ARCHY_RECONCILE_INTERVAL=1m", "SSH_AUTH_SOCK=/s", "PATH=/tmp",
	}, node.User{Name: "archipelago", UID: 1000, Home: "/home/archipelago"})
	want := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/home/archipelago", "USER=archipelago",
		"LOGNAME=archipelago", "XDG_RUNTIME_DIR=/run/user/1000", "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus",
		"TERM=xterm", "NO_COLOR=1", "ARCHY_RECONCILE_INTERVAL=1m",
	}
	if !slices.Equal(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}

// As after sudo -u, from cron, or with what su has left of somebody else's session: systemctl --user, podman and journalctl are found,
// and find the service user's manager.
func TestTheEnvironmentOfASessionIsMadeGood(t *testing.T) {
	u := node.User{Name: "archipelago", UID: os.Geteuid(), Home: "/home/archipelago"}
	l := node.Layout{RuntimeDir: "/run/user/1000"}
	for _, was := range []map[string]string{
		{"PATH": "/opt/x:/usr/bin", "HOME": "/home/me"},
		{"PATH": "/opt/x:/usr/bin", "HOME": "/home/me", "XDG_RUNTIME_DIR": "/run/user/0", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/0/bus"},
	} {
		for _, name := range []string{"PATH", "HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"} {
			t.Setenv(name, was[name])
		}
		(&cli{}).environment(u, l)
		for name, want := range map[string]string{
			"PATH": "/opt/x:/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/bin", "HOME": "/home/me",
			"XDG_RUNTIME_DIR": "/run/user/1000", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1000/bus",
		} {
			if got := os.Getenv(name); got != want {
				t.Errorf("%s=%q, want %q", name, got, want)
			}
		}
	}
	t.Setenv("PATH", "")
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/0")
	u.UID++
	(&cli{}).environment(u, l)
	if got := os.Getenv("PATH"); got != systemPath {
		t.Errorf("PATH=%q without one", got)
	}
	if got := os.Getenv("XDG_RUNTIME_DIR"); got != "/run/user/0" {
		t.Errorf("XDG_RUNTIME_DIR=%q of another user", got)
	}
}
