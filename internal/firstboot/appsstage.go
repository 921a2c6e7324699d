package firstboot

import "context"

// AppsJob is what root wants of the child. It reaches the child as JSON on its standard input.
type AppsJob struct {
	// Apps are the ids of the apps to make, those that they depend on included, in the order in which they start.
	Apps []string `json:"apps"`
	// SkipImages: no image is fetched; what is not on the node fails its app.
	SkipImages bool `json:"skip_images,omitempty"`
	// Check: the child tells what it would do, changes nothing, and ends.
	Check bool `json:"check,omitempty"`
}

// AppsStage is steps networks, files, images, containers and post: the work of the service user. Root holds node.lock
// exclusively meanwhile, so it is not to be taken again (reconcile.Pass.Held). When root dies the child gets SIGKILL; when
// root is told to end, the context is cancelled.
type AppsStage interface {
	// Check tells what Run would do, a line a thing; it changes nothing.
	Check(ctx context.Context, job AppsJob) ([]string, error)
	// Run does it. It reports each step as it begins (Running) and ends (Done, Failed, Skipped); StepEvent with Running may
	// come again with a higher Percent of the run. An app that fails is an AppEvent with phase Failed and is no error of Run;
	// an error of Run is fatal to the first boot.
	Run(ctx context.Context, job AppsJob, report func(Event)) error
}

// Phases of an app.
const (
	PhasePreparing  = "Preparing"
	PhasePulling    = "PullingImage"
	PhaseCreating   = "CreatingContainer"
	PhaseStarting   = "StartingContainer"
	PhaseWaiting    = "WaitingHealthy"
	PhasePost       = "PostInstall"
	PhaseDone       = "Done"
	PhaseFailed     = "Failed"
	PhaseNeeds      = "NeedsConfig"
	PhaseBlocked    = "Blocked"
	PhaseStillBegin = "Starting"
	PhaseHeld       = "Waiting"
)
