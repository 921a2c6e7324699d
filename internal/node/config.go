package node

import "time"

// Config is /etc/archipelago/archy.yaml with the ARCHY_* environment over it. Default has every default.
type Config struct {
	ServiceUser      string    `mapstructure:"service_user"`
	DataDir          string    `mapstructure:"data_dir"`
	ManifestDir      string    `mapstructure:"manifest_dir"`
	LocalManifestDir string    `mapstructure:"local_manifest_dir"`
	Images           Images    `mapstructure:"images"`
	Firewall         Managed   `mapstructure:"firewall"`
	Tor              Managed   `mapstructure:"tor"`
	Reconcile        Reconcile `mapstructure:"reconcile"`
	Doctor           Doctor    `mapstructure:"doctor"`
	FirstBoot        FirstBoot `mapstructure:"first_boot"`
	Bitcoin          Bitcoin   `mapstructure:"bitcoin"`
	LND              LND       `mapstructure:"lnd"`
	WireGuard        WireGuard `mapstructure:"wireguard"`
	Release          Release   `mapstructure:"release"`
}

// Images says where images come from.
type Images struct {
	Mirrors         []Mirror `mapstructure:"mirrors"`
	InsecureMirrors []string `mapstructure:"insecure_mirrors"`
	OfflineDir      string   `mapstructure:"offline_dir"`
}

// Mirror is a registry that holds copies; Layout is full or flat.
type Mirror struct {
	Location string `mapstructure:"location"`
	Layout   string `mapstructure:"layout"`
}

// Managed tells whether archy looks after something of the system.
type Managed struct {
	Manage bool `mapstructure:"manage"`
}

// Reconcile sets the pace: Interval of --watch, at least 5 s, and apps changed side by side. Metrics is the file that
// each full pass writes its figures to, "" for none.
type Reconcile struct {
	Interval    time.Duration `mapstructure:"interval"`
	MaxParallel int           `mapstructure:"max_parallel"`
	Metrics     string        `mapstructure:"metrics"`
}

// Doctor says how far healing goes by itself: off or safe.
type Doctor struct {
	AutoHeal string `mapstructure:"auto_heal"`
}

// FirstBoot chooses the apps of a new node.
type FirstBoot struct {
	Profile string   `mapstructure:"profile"`
	Apps    []string `mapstructure:"apps"`
}

// Bitcoin holds "auto" or a number as text: Prune in MiB (0 keeps everything), DBCacheMiB.
type Bitcoin struct {
	Prune      string `mapstructure:"prune"`
	DBCacheMiB string `mapstructure:"dbcache_mib"`
}

// LND says whether a wallet is made on a new node.
type LND struct {
	AutoInitWallet bool `mapstructure:"auto_init_wallet"`
}

// WireGuard is the opt-in tunnel.
type WireGuard struct {
	Enabled bool   `mapstructure:"enabled"`
	Address string `mapstructure:"address"`
	Port    int    `mapstructure:"port"`
}

// Release says where releases come from and whose signature counts (never, if-present, always).
type Release struct {
	Mirrors          []string `mapstructure:"mirrors"`
	KeysDir          string   `mapstructure:"keys_dir"`
	RequireSignature string   `mapstructure:"require_signature"`
}
