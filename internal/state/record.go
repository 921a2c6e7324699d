package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// Owners of an app's container.
const (
	Quadlet = "quadlet"
	Legacy  = "legacy"
)

// What made an app installed.
const (
	ByFirstBoot     = "first-boot"
	ByInstall       = "install"
	ByDependency    = "dependency"
	ByCompanion     = "companion"
	ByAdopt         = "adopt"
	ByCreateMissing = "create-missing"
)

// Record is what archy knows about an installed (or removed) app: state/apps/<id>.json.
type Record struct {
	Schema    int    `json:"schema"`
	App       string `json:"app"`
	Container string `json:"container"`
	Owner     string `json:"owner"`

	Installed   bool      `json:"installed"`
	InstalledAt time.Time `json:"installed_at,omitzero"`
	By          string    `json:"by,omitempty"`
	RemovedAt   time.Time `json:"removed_at,omitzero"`
	// RemovedWith is the app whose page this one is and with which it was removed; it comes back with that.
	RemovedWith string `json:"removed_with,omitempty"`

	// Image is the pinned reference: reconcile never changes it.
	Image   string `json:"image,omitempty"`
	ImageID string `json:"image_id,omitempty"`
	// PreviousImages are the last two, the newest first.
	PreviousImages []string `json:"previous_images,omitempty"`

	// SpecHash is what was applied last, for information; the labels of the container decide.
	SpecHash string `json:"spec_hash,omitempty"`
	// FailedHash is the spec that failed its gate and is held.
	FailedHash string `json:"failed_hash,omitempty"`
	// UnitDigests name the last unit texts that archy wrote; another one on disk was edited by somebody.
	UnitDigests []string `json:"unit_digests,omitempty"`
	// PendingRestart is the reason of a restart that a legacy container still needs.
	PendingRestart string `json:"pending_restart,omitempty"`

	Pinned Pinned `json:"pinned,omitzero"`
	// Disks are the mount points of disks of their own on which the app's data lie: without them it would begin anew.
	Disks []string `json:"disks,omitempty"`
	// Peers are the addresses of other apps at the last start, by app id.
	Peers map[string]string `json:"peers,omitempty"`
	// PeerStarts are the starts of the containers that had these addresses, ID@SECONDS since 1970: each start may give another address.
	PeerStarts map[string]string `json:"peer_starts,omitempty"`
	// Op is the operation in progress, nil when there is none.
	Op *Op `json:"op,omitempty"`
	// Hooks remembers for which container the hooks ran.
	Hooks Hooks `json:"hooks,omitzero"`
	// Wallet is what was found out about the app's wallet.
	Wallet Wallet `json:"wallet,omitzero"`
	// OldContainers were renamed by a migration and wait 24 h for their removal.
	OldContainers []OldContainer `json:"old_containers,omitempty"`
}

// Latest is the record of that one of the apps which was installed last, removed or not.
func Latest(records map[string]Record, apps []string) (latest Record, found bool) {
	for _, app := range apps {
		if r, ok := records[app]; ok && (!found || r.InstalledAt.After(latest.InstalledAt)) {
			latest, found = r, true
		}
	}
	return latest, found
}

// Pinned is taken over from an existing container or data directory and wins over the manifest.
type Pinned struct {
	// Name is what an adopted container is called, where that is not what its unit would be called.
	Name    string            `json:"name,omitempty"`
	User    string            `json:"user,omitempty"`
	Volumes []PinnedVolume    `json:"volumes,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	// ExtraPorts are host ports of the old container that the manifest does not have.
	ExtraPorts []PinnedPort `json:"extra_ports,omitempty"`
	// Held are the mounts of an adopted container in which its data may be and that are at none of the above.
	Held []HeldMount `json:"held,omitempty"`
	// Prune is MiB, 0 for a full chain, nil when nothing is pinned. TxIndex likewise.
	Prune   *int  `json:"prune,omitempty"`
	TxIndex *bool `json:"txindex,omitempty"`
}

// PinnedVolume keeps the source of a target where the old container had it.
type PinnedVolume struct {
	Source string `json:"source"`
	Target string `json:"target"`
}

// HeldMount is a volume of podman, with its name, or a directory of the node. Source is where it lies.
type HeldMount struct {
	Volume string `json:"volume,omitempty"`
	Source string `json:"source"`
	Target string `json:"target"`
}

// PinnedPort is a published port; HostIP "" is every address.
type PinnedPort struct {
	HostIP    string `json:"host_ip,omitempty"`
	Host      int    `json:"host"`
	Container int    `json:"container"`
	Protocol  string `json:"protocol"`
}

// Kinds of operation.
const (
	OpReplace = "replace"
	OpMigrate = "migrate"
)

// Op is an operation in progress. A run that was killed leaves it, and the next one goes on from Step,
// the numbers of "Safe replace, migration, rollback" in docs/reconcile.md.
type Op struct {
	Kind string `json:"kind"`
	Step int    `json:"step"`
	// Rollback tells that the operation failed and is being undone.
	Rollback bool `json:"rollback,omitempty"`
	// Reason is why it is rolled back.
	Reason         string `json:"reason,omitempty"`
	OldContainerID string `json:"old_container_id,omitempty"`
	// FirstName is what the old container was called, OldName what it is called while it is set aside.
	FirstName     string `json:"first_name,omitempty"`
	OldName       string `json:"old_name,omitempty"`
	PreviousImage string `json:"previous_image,omitempty"`
	PreviousHash  string `json:"previous_hash,omitempty"`
	// Policy is the restart policy that the old container had.
	Policy  string `json:"policy,omitempty"`
	NewHash string `json:"new_hash,omitempty"`
	// NewImage is the reference that an upgrade changes to; the record pins it when the app has proved itself.
	NewImage  string    `json:"new_image,omitempty"`
	StartedAt time.Time `json:"started_at,omitzero"`
	StepAt    time.Time `json:"step_at,omitzero"`
}

// Hooks tells for which container the hooks ran.
type Hooks struct {
	ContainerID string    `json:"container_id,omitempty"`
	RanAt       time.Time `json:"ran_at,omitzero"`
}

// Wallet is what archy remembers of a wallet.
type Wallet struct {
	// ContainerID is the bitcoin container whose wallets were looked at last.
	ContainerID string `json:"container_id,omitempty"`
	// Refused is the fingerprint of a password that does not open LND's wallet: LND must not start with it, since it ends
	// at once then.
	Refused string `json:"refused,omitempty"`
	// Made tells that LND has had a wallet since the app was installed: no other one is made in its place.
	Made bool `json:"made,omitempty"`
}

// OldContainer is a legacy container that a migration renamed.
type OldContainer struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	RenamedAt time.Time `json:"renamed_at"`
}

// PreviousImagesKept is how many earlier images of an app stay in its record.
const PreviousImagesKept = 2

// Repin makes ref the pinned image and moves the one before it to PreviousImages.
func (r *Record) Repin(ref, id string) {
	if r.Image != "" && r.Image != ref {
		kept := []string{r.Image}
		for _, p := range r.PreviousImages {
			if p != r.Image && p != ref && len(kept) < PreviousImagesKept {
				kept = append(kept, p)
			}
		}
		r.PreviousImages = kept
	}
	r.Image, r.ImageID = ref, id
}

func (s *Store) recordPath(app string) string { return s.layout.State("apps", app+".json") }

// ReadRecord reads the install record of an app; found is false when there is none. The error is a
// Problem when the file is there and cannot be understood.
func (s *Store) ReadRecord(app string) (r Record, found bool, err error) {
	path := s.recordPath(app)
	found, err = s.read(path, &r)
	if err == nil && found && r.App != app {
		err = Problem{Path: path, Err: fmt.Errorf("it is the record of %q", r.App)}
	}
	if err != nil {
		return Record{}, false, ofApp(err, app)
	}
	return r, found, nil
}

// ReadRecords reads all install records by app id, and what could not be read.
func (s *Store) ReadRecords() (map[string]Record, []Problem) {
	records := map[string]Record{}
	ids, problems := s.ids("apps")
	for _, id := range ids {
		r, _, err := s.ReadRecord(id)
		if err != nil {
			problems = append(problems, asProblem(err))
			continue
		}
		records[id] = r
	}
	return records, problems
}

// WriteRecord replaces the record of r.App. An unreadable record in its place is kept aside first.
func (s *Store) WriteRecord(r Record) error {
	if r.App == "" {
		return errors.New("install record without an app id")
	}
	path := s.recordPath(r.App)
	_, _, err := s.ReadRecord(r.App)
	if err := s.replaceable(path, err); err != nil {
		return err
	}
	r.Schema = Schema
	return s.writeJSON(path, r)
}

// ids lists the names of state/<dir>/*.json without the suffix, in order.
func (s *Store) ids(dir string) ([]string, []Problem) {
	path := s.layout.State(dir)
	entries, err := os.ReadDir(s.layout.Host(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, []Problem{{Path: path, Err: bare(err)}}
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), ".json"); ok && !strings.HasPrefix(id, ".") {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func ofApp(err error, app string) error {
	p := asProblem(err)
	p.App = app
	return p
}

func asProblem(err error) Problem {
	var p Problem
	if errors.As(err, &p) {
		return p
	}
	return Problem{Err: err}
}
