package firstboot

// Names of the steps, in their order.
const (
	Preflight   = "preflight"
	Rootless    = "rootless"
	Directories = "directories"
	Secrets     = "secrets"
	Tor         = "tor"
	WireGuard   = "wireguard"
	Firewall    = "firewall"
	Nostr       = "nostr"
	Networks    = "networks"
	Files       = "files"
	Images      = "images"
	Containers  = "containers"
	Post        = "post"
	Record      = "record"
	Marker      = "marker"
)

// Step is one line of the table of steps.
type Step struct {
	Name string
	// Percent of the run is reached when the step ends.
	Percent int
	// Fatal tells that a failure ends the run without a marker; of any other step it is a warning.
	Fatal bool
	// Child tells that the service user's child does it, through an AppsStage.
	Child bool
	// Skippable tells that --skip may name it.
	Skippable bool
}

// Steps are all steps in their order. In the child's only networks is fatal; from there on a failure is an app's.
var Steps = []Step{
	{Name: Preflight, Percent: 2, Fatal: true},
	{Name: Rootless, Percent: 5, Fatal: true},
	{Name: Directories, Percent: 8, Fatal: true},
	{Name: Secrets, Percent: 10, Fatal: true},
	{Name: Tor, Percent: 13, Skippable: true},
	{Name: WireGuard, Percent: 14, Skippable: true},
	{Name: Firewall, Percent: 16, Skippable: true},
	{Name: Nostr, Percent: 17, Skippable: true},
	{Name: Networks, Percent: 18, Fatal: true, Child: true},
	{Name: Files, Percent: 20, Child: true},
	{Name: Images, Percent: 60, Child: true, Skippable: true},
	{Name: Containers, Percent: 95, Child: true},
	{Name: Post, Percent: 98, Child: true},
	{Name: Record, Percent: 99},
	{Name: Marker, Percent: 100, Fatal: true},
}

// SkippableSteps are the names that --skip takes.
func SkippableSteps() []string {
	var names []string
	for _, s := range Steps {
		if s.Skippable {
			names = append(names, s.Name)
		}
	}
	return names
}

func stepNamed(name string) (Step, bool) {
	for _, s := range Steps {
		if s.Name == name {
			return s, true
		}
	}
	return Step{}, false
}
