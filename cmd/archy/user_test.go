package main

import (
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
