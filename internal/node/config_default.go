package node

import "time"

// ConfigPath is where the configuration lies on a node.
const ConfigPath = "/etc/archipelago/archy.yaml"

// Default is the configuration of a node without a file.
func Default() Config {
	return Config{
		ServiceUser:      "archipelago",
		DataDir:          "/var/lib/archipelago",
		ManifestDir:      "/opt/archipelago/apps",
		LocalManifestDir: "/etc/archipelago/apps",
		Images:           Images{OfflineDir: "/opt/archipelago/images"},
		Firewall:         Managed{Manage: true},
		Tor:              Managed{Manage: true},
		Reconcile:        Reconcile{Interval: 30 * time.Second, MaxParallel: 4},
		Doctor:           Doctor{AutoHeal: "safe"},
		FirstBoot:        FirstBoot{Profile: "core"},
		Bitcoin:          Bitcoin{Prune: "auto", DBCacheMiB: "auto"},
		LND:              LND{AutoInitWallet: true},
		WireGuard:        WireGuard{Address: "10.77.0.1/24", Port: 51820},
		Release:          Release{KeysDir: "/etc/archipelago/release-keys", RequireSignature: "if-present"},
	}
}
