package manifest

import (
	"regexp"
	"sync"
)

// Root is where the data of all apps lives; a bind has its source below it.
const Root = "/var/lib/archipelago"

// Install is where a release is laid down; build contexts and hook sources may lie below it.
const Install = "/opt/archipelago"

// Networks that are not bridges.
const (
	HostNetwork  = "host"
	NoNetwork    = "none"
	PastaNetwork = "pasta"
)

// DefaultNetwork is the bridge of an app that names none.
const DefaultNetwork = "archy-net"

// Patterns of names. They are read by Go and, in the schema, by editors.
const (
	idPattern       = `^[a-z0-9]+(-[a-z0-9]+)*$`
	namePattern     = `^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`
	secretPattern   = `^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$`
	envPattern      = `^[A-Za-z_][A-Za-z0-9_.-]*$`
	labelPattern    = `^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$`
	digestPattern   = `^sha256:[0-9a-f]{64}$`
	ownerPattern    = `^[0-9]{1,10}:[0-9]{1,10}$`
	userPattern     = `^[0-9]{1,10}(:[0-9]{1,10})?$`
	modePattern     = `^0?[0-7]{3}$`
	absolutePattern = `^/[^\x00-\x1f\x7f-\x9f]*$`
	networkPattern  = `^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`
	versionPattern  = `^ *(\*|(>=|<=|==|!=|>|<|=|\^|~)? *v?[0-9]+(\.[0-9]+)*[0-9A-Za-z.+-]*( *, *(>=|<=|==|!=|>|<|=|\^|~)? *v?[0-9]+(\.[0-9]+)*[0-9A-Za-z.+-]*)*) *$`
	environPattern  = `^[A-Za-z_][A-Za-z0-9_.-]*=[^\x00-\x1f\x7f-\x9f]*$`
)

// rule is what a field must be, beyond its Go type. The decoder, the JSON Schema and the table of
// docs/manifest.md are made from it.
type rule struct {
	doc      string   // one line for app authors
	required bool     // absent or empty is an error
	enum     []string // the only values
	def      string   // value when absent
	pattern  string   // of text
	want     string   // what the pattern stands for, in a message
	hint     string   // what the author can do
	maxLen   int      // characters
	min, max int      // of a whole number, when max is not 0
	digits   bool     // text that may be written as a bare number
	private  bool     // the value is not shown in a message

	multiline bool // line breaks are kept
}

const imageHint = "registry/name:tag, as in docker.io/library/redis:7.2-alpine"

// rules holds every field of the schema by its path; [] is an item of a list, * an entry of a map.
var rules = map[string]rule{
	"id": {doc: "Name of the app and of its folder.", required: true, pattern: idPattern, maxLen: 63,
		want: "an app id", hint: "lower-case letters and digits, joined by single hyphens"},
	"name":        {doc: "Name for people.", required: true},
	"version":     {doc: "Version of the packaged software, free text.", required: true, maxLen: 64},
	"description": {doc: "One paragraph for people.", multiline: true},
	"category":    {doc: "Group in which the app is shown."},

	"upstream":      {doc: "Where the packaged software comes from."},
	"upstream.kind": {doc: "Kind of the source, as in `github`."},
	"upstream.repo": {doc: "Name of the repository there."},

	"container_name": {doc: "Name of the container and its unit; without it `archy-<id>` for pages (tier 4) and `<id>` for the rest. Not of hex digits only, and not that of a service of the user's manager (`podman`, `podman-...`, `dbus`, `dbus-broker`, `systemd-...`), which the app's unit would take the place of.",
		pattern: namePattern, maxLen: 128, want: "a container name", hint: "letters, digits, hyphens, underscores and dots"},
	"container":       {doc: "The container.", required: true},
	"container.image": {doc: "Image reference with a tag or a digest. Exactly one of `image` and `build`."},

	"container.build":            {doc: "Build context of an image that is made on the node."},
	"container.build.context":    {doc: "Folder, relative to the manifest's or absolute below `/opt/archipelago`.", required: true},
	"container.build.dockerfile": {doc: "File in the context.", def: "Dockerfile"},
	"container.build.tag":        {doc: "Name of the built image; `localhost/` is added when it has no registry.", required: true},

	"container.image_signature": {doc: "Signature of the image; kept, not enforced yet."},
	"container.image_digest": {doc: "Digest that the pulled image must have.", pattern: digestPattern,
		want: "an image digest", hint: "sha256: and 64 hex digits"},
	"container.pull_policy": {doc: "When the image is pulled.", enum: []string{"if-not-present", "always", "never"}, def: "if-not-present"},
	"container.network": {doc: "`host`, `none`, `pasta`, or a bridge by name, made on demand.", def: DefaultNetwork,
		pattern: networkPattern, want: "a network", hint: "host, none, pasta or the name of a bridge"},
	"container.network_aliases": {doc: "Further DNS names on the bridge."},
	"container.network_aliases[]": {doc: "DNS label.", pattern: labelPattern, want: "a DNS label",
		hint: "letters, digits and hyphens, at most 63"},
	"container.entrypoint":    {doc: "Replaces the image's entrypoint."},
	"container.entrypoint[]":  {doc: "Argument."},
	"container.custom_args":   {doc: "The command, one item per argument; never joined into one."},
	"container.custom_args[]": {doc: "Argument."},

	"container.derived_env":   {doc: "Variables computed from facts of the machine."},
	"container.derived_env[]": {doc: "Variable."},
	"container.derived_env[].key": {doc: "Name of the variable.", required: true, pattern: envPattern,
		want: "a variable name", hint: "letters, digits and underscores"},
	"container.derived_env[].template": {doc: "Value with `{{HOST_IP}}`, `{{HOST_MDNS}}`, `{{DISK_GB}}`, `{{BITCOIN_HOST}}`, and `${KEY}` of a `secret_env`.", required: true},
	"container.derived_env[].soft":     {doc: "A change alone waits for the next restart."},

	"container.secret_env":   {doc: "Variables from files of the secrets directory."},
	"container.secret_env[]": {doc: "Variable."},
	"container.secret_env[].key": {doc: "Name of the variable.", required: true, pattern: envPattern,
		want: "a variable name", hint: "letters, digits and underscores"},
	"container.secret_env[].secret_file": {doc: "Bare file name in the secrets directory.", required: true,
		pattern: secretPattern, want: "a bare file name", hint: "a file of the secrets directory, without a path"},
	"container.secret_env[].optional": {doc: "Left out while the operator's file is absent."},
	"container.secret_env[].pass":     {doc: "`false`: only for `${KEY}`, not given to the container itself. Default `true`."},

	"container.generated_secrets":   {doc: "Secrets that archy makes."},
	"container.generated_secrets[]": {doc: "Secret."},
	"container.generated_secrets[].name": {doc: "File name in the secrets directory.", required: true,
		pattern: secretPattern, want: "a bare file name", hint: "a file of the secrets directory, without a path"},
	"container.generated_secrets[].kind": {doc: "What it is made of; `bcrypt` keeps the hash under the name and the plain text under `<name>.pw`.",
		required: true, enum: []string{"hex16", "hex32", "base64", "bcrypt"}, hint: "one of hex16, hex32, base64, bcrypt"},

	"container.generated_certs":               {doc: "Self-signed certificates that archy makes."},
	"container.generated_certs[]":             {doc: "Certificate."},
	"container.generated_certs[].crt":         {doc: "File of the certificate.", required: true},
	"container.generated_certs[].key":         {doc: "File of its key.", required: true},
	"container.generated_certs[].common_name": {doc: "Common name; placeholders as in `derived_env`.", required: true},
	"container.generated_certs[].sans":        {doc: "Further names and addresses."},
	"container.generated_certs[].sans[]":      {doc: "Name or address; placeholders as in `derived_env`."},

	"container.secret_mounts":   {doc: "Secrets as read-only files inside."},
	"container.secret_mounts[]": {doc: "File."},
	"container.secret_mounts[].secret_file": {doc: "Bare file name in the secrets directory.", required: true,
		pattern: secretPattern, want: "a bare file name", hint: "a file of the secrets directory, without a path"},
	"container.secret_mounts[].target": {doc: "Absolute path inside.", required: true, pattern: absolutePattern, want: "an absolute path"},
	"container.secret_mounts[].mode": {doc: "Permissions in octal.", def: "0400", digits: true, pattern: modePattern,
		want: "an octal mode", hint: "as in 0400"},

	"container.hostname": {doc: "Host name inside.", pattern: labelPattern, want: "a host name", hint: "letters, digits and hyphens, at most 63"},
	"container.shm_size": {doc: "Size of `/dev/shm`."},

	"container.restart_on_peer_change":   {doc: "Apps whose address this app keeps; it restarts when one of them changes."},
	"container.restart_on_peer_change[]": {doc: "App id.", required: true, pattern: idPattern, want: "an app id"},
	"container.data_uid": {doc: "Host `uid:gid` given to the app's own new data directories.", pattern: ownerPattern,
		want: "an owner", hint: "uid:gid in numbers, as in 1000:1000"},

	"stop_grace_secs": {doc: "Seconds that a stop may take; without it those of the shipped app of that id (bitcoin 600, lnd 330), else 30.", min: 1, max: 3600},
	"optional":        {doc: "Not created by a pass unless it was installed."},

	"start_gate":          {doc: "The app starts when one of these exists; until then it needs configuration."},
	"start_gate[]":        {doc: "Condition: exactly one of `secret` and `path`."},
	"start_gate[].secret": {doc: "File of the secrets directory.", pattern: secretPattern, want: "a bare file name", hint: "a file of the secrets directory, without a path"},
	"start_gate[].path":   {doc: "Path below the app's data."},

	"follows":     {doc: "App with which this one is installed and removed.", pattern: idPattern, want: "an app id"},
	"profiles":    {doc: "First-boot profiles that hold the app."},
	"profiles[]":  {doc: "Profile.", required: true, enum: []string{"core", "full"}},
	"conflicts":   {doc: "Apps that are never installed together with this one."},
	"conflicts[]": {doc: "App id.", required: true, pattern: idPattern, want: "an app id"},

	"dependencies":          {doc: "What must be there first; an item is an app id alone, or a map with either `app_id` or `storage`."},
	"dependencies[]":        {doc: "An app id alone, or a map that names an app or a storage."},
	"dependencies[].app_id": {doc: "The other app.", pattern: idPattern, want: "an app id"},
	"dependencies[].version": {doc: "Constraint on the other manifest's version, as in `>=26.0`; several are joined by commas.",
		pattern: versionPattern, want: "a version constraint", hint: "as in >=26.0 or >=26.0,<29"},
	"dependencies[].condition": {doc: "What the other app must be; `started` when absent.",
		enum: []string{Started, Healthy, Answers, Archival, Unlocked}},
	"dependencies[].storage": {doc: "Free space, checked before the first start; an app whose directory holds data has it already."},

	"resources":              {doc: "Limits."},
	"resources.cpu_limit":    {doc: "Cores, as in `0.5`.", hint: "leave it out for no limit"},
	"resources.memory_limit": {doc: "Memory; absent means no limit."},
	"resources.disk_limit":   {doc: "Disk; absent means no limit."},

	"security":                   {doc: "What the container may do."},
	"security.capabilities":      {doc: "Added back after all were dropped; the prefix `CAP_` is optional."},
	"security.capabilities[]":    {doc: "One of " + capabilityList + ".", required: true},
	"security.readonly_root":     {doc: "Read-only root file system. Default `true`."},
	"security.no_new_privileges": {doc: "No gain of privileges through set-uid files. Default `true`."},
	"security.user": {doc: "`uid[:gid]` inside. When it is not 0 and the app's directory belonged to another user before the app first came up, the app runs as that user.", digits: true, pattern: userPattern, want: "a user",
		hint: "numbers, as in 1000 or 1000:1000"},
	"security.seccomp_profile":  {doc: "Seccomp profile."},
	"security.apparmor_profile": {doc: "AppArmor profile."},
	"security.network_policy":   {doc: "Must agree with `container.network`.", enum: []string{"isolated", "bridge", "host"}},

	"ports":                  {doc: "Published ports; with network `host` the ports that the app listens on."},
	"ports[]":                {doc: "Port."},
	"ports[].host":           {doc: "Port of the node.", required: true, min: 1, max: 65535},
	"ports[].container":      {doc: "Port inside; with network `host` the same, or left out.", min: 1, max: 65535},
	"ports[].protocol":       {doc: "Protocol.", enum: []string{"tcp", "udp"}, def: "tcp"},
	"ports[].bind":           {doc: "IP address of the node to listen on; all of them when absent."},
	"ports[].auth":           {doc: "`open`: anybody may reach it; `gated`: private networks only.", enum: []string{"open", "gated"}, def: "gated"},
	"ports[].auth_rationale": {doc: "Why an open port is safe; required with `open`."},

	"volumes":             {doc: "Mounts."},
	"volumes[]":           {doc: "Mount."},
	"volumes[].type":      {doc: "`bind` (a path of the node), `tmpfs`, or `volume`.", required: true, enum: []string{"bind", "tmpfs", "volume"}},
	"volumes[].source":    {doc: "For `bind` a path below `/var/lib/archipelago`, for `volume` its name, for `tmpfs` nothing."},
	"volumes[].target":    {doc: "Absolute path inside.", required: true, pattern: absolutePattern, want: "an absolute path"},
	"volumes[].options":   {doc: "`ro`, `rw`, `noexec`, `nosuid`, `nodev`; for `tmpfs` also `size=64m` and `mode=1777`."},
	"volumes[].options[]": {doc: "Option.", required: true},

	"environment": {doc: "Variables, `KEY=value` each; `${KEY}` in a value names a `secret_env` key. No secrets: they belong in `secret_env`."},
	"environment[]": {doc: "`KEY=value`; `${KEY}` in it names a `secret_env` key.", required: true, private: true,
		pattern: environPattern, want: "KEY=value", hint: "as in NETWORK=mainnet"},
	"devices":   {doc: "Devices of the node, by absolute path."},
	"devices[]": {doc: "Absolute path.", required: true, pattern: absolutePattern, want: "an absolute path"},

	"files":             {doc: "Files written before the first start."},
	"files[]":           {doc: "File."},
	"files[].path":      {doc: "Path inside one of the app's binds.", required: true, pattern: absolutePattern, want: "an absolute path"},
	"files[].content":   {doc: "Text of the file.", multiline: true},
	"files[].overwrite": {doc: "Write it again when it differs or is gone. Without it the file is written before the first start only."},

	"health_check":              {doc: "How the app is asked whether it works; it runs inside the container. Without it an app that runs for 5 s is healthy."},
	"health_check.type":         {doc: "How to ask; `host_http` asks from the host.", required: true, enum: []string{"http", "tcp", "exec", "cmd", "host_http"}},
	"health_check.endpoint":     {doc: "Address for `http`, `tcp` and `host_http`; a list of arguments for `exec`; a shell text for `cmd`. No double quotes."},
	"health_check.path":         {doc: "Path of the address."},
	"health_check.interval":     {doc: "Time between checks, as in `30s`."},
	"health_check.timeout":      {doc: "Time for one check."},
	"health_check.retries":      {doc: "Failures in a row that make the app unhealthy.", min: 1, max: 100},
	"health_check.start_period": {doc: "Time after the start in which failures do not count."},
	"health_check.status":       {doc: "Accepted codes of `host_http`."},
	"health_check.status[]":     {doc: "HTTP status.", min: 100, max: 599},

	"hooks":                                    {doc: "Run after every creation of the container, 60 s each."},
	"hooks.post_install":                       {doc: "After the container was created."},
	"hooks.post_install[]":                     {doc: "Exactly one of `exec` and `copy_from_host`."},
	"hooks.post_install[].exec":                {doc: "Command inside, one item per argument."},
	"hooks.post_install[].exec[]":              {doc: "Argument."},
	"hooks.post_install[].copy_from_host":      {doc: "Copies a file into the container."},
	"hooks.post_install[].copy_from_host.src":  {doc: "Relative to the app's data or, when it is not there, to `/opt/archipelago`.", required: true},
	"hooks.post_install[].copy_from_host.dest": {doc: "Absolute path inside.", required: true, pattern: absolutePattern, want: "an absolute path"},
	"hooks.post_start":                         {doc: "After the app has started."},
	"hooks.post_start[]":                       {doc: "Exactly one of `exec` and `copy_from_host`."},
	"hooks.post_start[].exec":                  {doc: "Command inside, one item per argument."},
	"hooks.post_start[].exec[]":                {doc: "Argument."},
	"hooks.post_start[].copy_from_host":        {doc: "Copies a file into the container."},
	"hooks.post_start[].copy_from_host.src":    {doc: "Relative to the app's data or to `/opt/archipelago`.", required: true},
	"hooks.post_start[].copy_from_host.dest":   {doc: "Absolute path inside.", required: true, pattern: absolutePattern, want: "an absolute path"},

	"interfaces":               {doc: "Where a person or a program opens the app, by name."},
	"interfaces.*":             {doc: "Interface."},
	"interfaces.*.name":        {doc: "Name for people."},
	"interfaces.*.description": {doc: "What it is for."},
	"interfaces.*.type":        {doc: "Kind, as in `ui`, `api` or `p2p`."},
	"interfaces.*.port":        {doc: "Port of the node.", min: 1, max: 65535},
	"interfaces.*.protocol":    {doc: "Protocol, as in `http`."},
	"interfaces.*.path":        {doc: "Path of the address."},

	"metadata":                        {doc: "Shown, not interpreted, except `tier`."},
	"metadata.author":                 {doc: "Who makes the software."},
	"metadata.website":                {doc: "Its site."},
	"metadata.repo":                   {doc: "Its source."},
	"metadata.license":                {doc: "Its licence."},
	"metadata.tags":                   {doc: "Words to find it by."},
	"metadata.tags[]":                 {doc: "Word."},
	"metadata.icon":                   {doc: "Picture."},
	"metadata.category":               {doc: "Group in which the app is shown."},
	"metadata.tier":                   {doc: "0 databases, 1 bitcoin, 2 services on it, 3 applications, 4 pages; 3 when absent.", max: 4},
	"metadata.features":               {doc: "What it can do, in a few words each."},
	"metadata.features[]":             {doc: "Feature."},
	"metadata.launch":                 {doc: "How a web page opens the app."},
	"metadata.launch.open_in_new_tab": {doc: "In a tab of its own."},

	"extensions":   {doc: "Free for other programs; kept, not interpreted."},
	"extensions.*": {doc: "Any value."},
}

var patterns sync.Map // pattern → *regexp.Regexp, compiled when it is first needed

// matches compiles lazily: most runs of the program read no manifest at all.
func matches(pattern, text string) bool {
	compiled, ok := patterns.Load(pattern)
	if !ok {
		compiled, _ = patterns.LoadOrStore(pattern, regexp.MustCompile(pattern))
	}
	return compiled.(*regexp.Regexp).MatchString(text)
}
