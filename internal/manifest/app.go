// Package manifest says what an app is: the schema of apps/<id>/manifest.yml, its strict
// loading, its validation and the sizes in it. It knows no other package of archy.
package manifest

import (
	"cmp"
	"time"
)

// App is one manifest, the value of its root key "app". Field names and rules are those of
// docs/manifest.md; the format is shared with the node's backend.
type App struct {
	ID            string               `yaml:"id"`
	Name          string               `yaml:"name"`
	Version       string               `yaml:"version"`
	Description   string               `yaml:"description,omitempty"`
	Category      string               `yaml:"category,omitempty"`
	Upstream      *Upstream            `yaml:"upstream,omitempty"`
	ContainerName string               `yaml:"container_name,omitempty"`
	Container     Container            `yaml:"container"`
	StopGraceSecs int                  `yaml:"stop_grace_secs,omitempty"`
	Optional      bool                 `yaml:"optional,omitempty"`
	StartGate     []Gate               `yaml:"start_gate,omitempty"`
	Follows       string               `yaml:"follows,omitempty"`
	Profiles      []string             `yaml:"profiles,omitempty"`
	Conflicts     []string             `yaml:"conflicts,omitempty"`
	Dependencies  []Dependency         `yaml:"dependencies,omitempty"`
	Resources     Resources            `yaml:"resources,omitempty"`
	Security      Security             `yaml:"security,omitempty"`
	Ports         []Port               `yaml:"ports,omitempty"`
	Volumes       []Volume             `yaml:"volumes,omitempty"`
	Environment   []string             `yaml:"environment,omitempty"`
	Devices       []string             `yaml:"devices,omitempty"`
	Files         []File               `yaml:"files,omitempty"`
	HealthCheck   *HealthCheck         `yaml:"health_check,omitempty"`
	Hooks         Hooks                `yaml:"hooks,omitempty"`
	Interfaces    map[string]Interface `yaml:"interfaces,omitempty"`
	Metadata      Metadata             `yaml:"metadata,omitempty"`
	Extensions    map[string]any       `yaml:"extensions,omitempty"`

	// Dir is the folder that the manifest was read from, File the manifest itself, and Local
	// tells that it is the owner's and not the shipped one. Set by Load, not part of the document.
	Dir   string `yaml:"-"`
	File  string `yaml:"-"`
	Local bool   `yaml:"-"`
	// Shipped is the image in the shipped manifest that a local one replaces, "" without one.
	Shipped string `yaml:"-"`
	// Unknown holds the keys that archy does not know, by their path in the document. Kept, not interpreted.
	Unknown map[string]any `yaml:"-"`
}

// Upstream is where the packaged software comes from.
type Upstream struct {
	Kind string `yaml:"kind,omitempty"`
	Repo string `yaml:"repo,omitempty"`
}

// Container describes the container of an app. Exactly one of Image and Build is set.
type Container struct {
	Image               string            `yaml:"image,omitempty"`
	Build               *Build            `yaml:"build,omitempty"`
	ImageSignature      string            `yaml:"image_signature,omitempty"`
	ImageDigest         string            `yaml:"image_digest,omitempty"`
	PullPolicy          string            `yaml:"pull_policy,omitempty"`
	Network             string            `yaml:"network,omitempty"`
	NetworkAliases      []string          `yaml:"network_aliases,omitempty"`
	Entrypoint          []string          `yaml:"entrypoint,omitempty"`
	CustomArgs          []string          `yaml:"custom_args,omitempty"`
	DerivedEnv          []DerivedEnv      `yaml:"derived_env,omitempty"`
	SecretEnv           []SecretEnv       `yaml:"secret_env,omitempty"`
	GeneratedSecrets    []GeneratedSecret `yaml:"generated_secrets,omitempty"`
	GeneratedCerts      []GeneratedCert   `yaml:"generated_certs,omitempty"`
	SecretMounts        []SecretMount     `yaml:"secret_mounts,omitempty"`
	Hostname            string            `yaml:"hostname,omitempty"`
	ShmSize             Size              `yaml:"shm_size,omitempty"`
	RestartOnPeerChange []string          `yaml:"restart_on_peer_change,omitempty"`
	DataUID             string            `yaml:"data_uid,omitempty"`
}

// Build is the build context of an image that is made on the node.
type Build struct {
	Context    string `yaml:"context"`
	Dockerfile string `yaml:"dockerfile,omitempty"`
	Tag        string `yaml:"tag"`
}

// DerivedEnv is a variable computed from a fact of the machine. Soft: a change alone is reported
// and applied at the next restart.
type DerivedEnv struct {
	Key      string `yaml:"key"`
	Template string `yaml:"template"`
	Soft     bool   `yaml:"soft,omitempty"`
}

// SecretEnv is a variable whose value is a file of the secrets directory. Pass is nil for true.
type SecretEnv struct {
	Key        string `yaml:"key"`
	SecretFile string `yaml:"secret_file"`
	Optional   bool   `yaml:"optional,omitempty"`
	Pass       *bool  `yaml:"pass,omitempty"`
}

// Passed tells whether the variable itself reaches the container.
func (s SecretEnv) Passed() bool { return s.Pass == nil || *s.Pass }

// GeneratedSecret is a secret that archy makes. Kind: hex16, hex32, base64, bcrypt.
type GeneratedSecret struct {
	Name string `yaml:"name"`
	Kind string `yaml:"kind"`
}

// GeneratedCert is a self-signed certificate that archy makes.
type GeneratedCert struct {
	Crt        string   `yaml:"crt"`
	Key        string   `yaml:"key"`
	CommonName string   `yaml:"common_name"`
	SANs       []string `yaml:"sans,omitempty"`
}

// SecretMount is a secret as a read-only file inside the container. Mode is octal text, 0400 when absent.
type SecretMount struct {
	SecretFile string `yaml:"secret_file"`
	Target     string `yaml:"target"`
	Mode       string `yaml:"mode,omitempty"`
}

// Gate is one condition under which an app may start: a secret that exists, or a path below the app's data.
type Gate struct {
	Secret string `yaml:"secret,omitempty"`
	Path   string `yaml:"path,omitempty"`
}

// Conditions of a dependency.
const (
	Started  = "started"
	Healthy  = "healthy"
	Answers  = "answers"
	Archival = "archival"
	Unlocked = "unlocked"
)

// Dependency is another app that must be in Condition (never empty after loading), or Storage that must be free
// before the first start. In a document an app id alone is the short form.
type Dependency struct {
	AppID     string `yaml:"app_id,omitempty"`
	Version   string `yaml:"version,omitempty"`
	Condition string `yaml:"condition,omitempty"`
	Storage   Size   `yaml:"storage,omitempty"`
}

// Resources are limits; a nil CPULimit and a zero size mean none.
type Resources struct {
	CPULimit    *float64 `yaml:"cpu_limit,omitempty"`
	MemoryLimit Size     `yaml:"memory_limit,omitempty"`
	DiskLimit   Size     `yaml:"disk_limit,omitempty"`
}

// Security narrows what the container may do. Nil booleans mean true.
type Security struct {
	Capabilities    []string `yaml:"capabilities,omitempty"`
	ReadonlyRoot    *bool    `yaml:"readonly_root,omitempty"`
	NoNewPrivileges *bool    `yaml:"no_new_privileges,omitempty"`
	User            string   `yaml:"user,omitempty"`
	SeccompProfile  string   `yaml:"seccomp_profile,omitempty"`
	AppArmorProfile string   `yaml:"apparmor_profile,omitempty"`
	NetworkPolicy   string   `yaml:"network_policy,omitempty"`
}

// Port is a published port, or with network host the port that the app listens on.
// Protocol is never empty after loading; Auth is open or gated.
type Port struct {
	Host          int    `yaml:"host"`
	Container     int    `yaml:"container"`
	Protocol      string `yaml:"protocol,omitempty"`
	Bind          string `yaml:"bind,omitempty"`
	Auth          string `yaml:"auth,omitempty"`
	AuthRationale string `yaml:"auth_rationale,omitempty"`
}

// Volume is a mount. Type is bind, tmpfs or volume.
type Volume struct {
	Type    string   `yaml:"type"`
	Source  string   `yaml:"source,omitempty"`
	Target  string   `yaml:"target"`
	Options []string `yaml:"options,omitempty"`
}

// File is written into one of the app's binds before the first start.
type File struct {
	Path      string `yaml:"path"`
	Content   string `yaml:"content"`
	Overwrite bool   `yaml:"overwrite,omitempty"`
}

// HealthCheck is how the app is asked whether it works. Type: http, tcp, exec, cmd, host_http.
// Exec holds the argv of type exec, Command the text of type cmd; in a document both are "endpoint".
type HealthCheck struct {
	Type        string   `yaml:"type"`
	Endpoint    Endpoint `yaml:"endpoint,omitempty"`
	Path        string   `yaml:"path,omitempty"`
	Interval    Duration `yaml:"interval,omitempty"`
	Timeout     Duration `yaml:"timeout,omitempty"`
	Retries     int      `yaml:"retries,omitempty"`
	StartPeriod Duration `yaml:"start_period,omitempty"`
	Status      []int    `yaml:"status,omitempty"`
}

// Endpoint is a text (an address, or a shell text) or an argv list.
type Endpoint struct {
	Text string
	Argv []string
}

// Duration is written as 30s, 5m or 1m30s.
type Duration time.Duration

// Hooks run after every creation of the container, 60 s each.
type Hooks struct {
	PostInstall []Hook `yaml:"post_install,omitempty"`
	PostStart   []Hook `yaml:"post_start,omitempty"`
}

// Hook is a command inside the container, or a file copied into it.
type Hook struct {
	Exec         []string      `yaml:"exec,omitempty"`
	CopyFromHost *CopyFromHost `yaml:"copy_from_host,omitempty"`
}

// CopyFromHost copies Src (relative to the app's data directory or to /opt/archipelago) to Dest inside.
type CopyFromHost struct {
	Src  string `yaml:"src"`
	Dest string `yaml:"dest"`
}

// Interface is where a person opens the app.
type Interface struct {
	Name        string `yaml:"name,omitempty"`
	Description string `yaml:"description,omitempty"`
	Type        string `yaml:"type,omitempty"`
	Port        int    `yaml:"port,omitempty"`
	Protocol    string `yaml:"protocol,omitempty"`
	Path        string `yaml:"path,omitempty"`
}

// Metadata is shown, not interpreted, except Tier (0 databases to 4 pages; nil means 3).
type Metadata struct {
	Author   string   `yaml:"author,omitempty"`
	Website  string   `yaml:"website,omitempty"`
	Repo     string   `yaml:"repo,omitempty"`
	License  string   `yaml:"license,omitempty"`
	Tags     []string `yaml:"tags,omitempty"`
	Icon     string   `yaml:"icon,omitempty"`
	Category string   `yaml:"category,omitempty"`
	Tier     *int     `yaml:"tier,omitempty"`
	Features []string `yaml:"features,omitempty"`
	Launch   *Launch  `yaml:"launch,omitempty"`
}

// Launch says how a web page opens the app.
type Launch struct {
	OpenInNewTab bool `yaml:"open_in_new_tab,omitempty"`
}

// Size is a number of bytes written as 128Mi, 1.5Gi, 500G, 128m or 1024. Zero means absent.
type Size int64

// Tier is the app's place in the order of starts: metadata.tier, 3 when absent.
func (a *App) Tier() int {
	if a.Metadata.Tier == nil {
		return 3
	}
	return *a.Metadata.Tier
}

// Unit is the container's name, which is also the name of its unit: container_name wins, the pages of
// tier 4 are archy-<id>, every other app is called by its id.
func (a *App) Unit() string {
	switch {
	case a.ContainerName != "":
		return a.ContainerName
	case a.Tier() == 4:
		return "archy-" + a.ID
	}
	return a.ID
}

// defaultStopGrace is what an app gets to end in when neither its manifest nor stopGraces says, in seconds.
const defaultStopGrace = 30

// stopGraces are for an owner's manifest of a shipped app that does not say: bitcoin writes its chain state when it ends,
// a database its log, and who is killed meanwhile begins with hours of repair. The shipped manifests say the same.
var stopGraces = map[string]int{
	"archy-btcpay-db": 120, "archy-mempool-db": 120, "immich-postgres": 120,
	"bitcoin-core": 600, "bitcoin-knots": 600, "lnd": 330, "electrumx": 300,
	"archy-nbxplorer": 60, "btcpay-server": 60, "fedimint": 60, "fedimint-gateway": 60,
}

// StopGrace is how long the app may take to end, in seconds.
func (a *App) StopGrace() int { return cmp.Or(a.StopGraceSecs, stopGraces[a.ID], defaultStopGrace) }
