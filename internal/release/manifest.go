package release

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// ManifestSchema is the version of manifest.json that this archy writes. Manifests of the old script have none.
const ManifestSchema = 2

// BackendName is the name of the backend in a manifest, and of its file.
const BackendName = "archipelago"

// ManifestName is the file beside the artefacts; SignatureName is its signature.
const (
	ManifestName  = "manifest.json"
	SignatureName = "manifest.json.minisig"
)

// FrontendName is the file name of a release's archive.
func FrontendName(version string) string { return "archipelago-frontend-" + version + ".tar.gz" }

// Manifest is manifest.json. The order of the fields is the order in the file; those up to Components are what updaters
// in the field read, the others are ours.
type Manifest struct {
	Version         string      `json:"version"`
	ReleaseDate     string      `json:"release_date"`
	Changelog       []string    `json:"changelog"`
	Components      []Component `json:"components"`
	Schema          int         `json:"schema,omitempty"`
	MinVersion      string      `json:"min_version,omitempty"`
	Expires         string      `json:"expires,omitempty"`
	SourceDateEpoch *int64      `json:"source_date_epoch,omitempty"`
	Tool            string      `json:"tool,omitempty"`
}

// Component is one artefact: the backend or the frontend.
type Component struct {
	Name           string      `json:"name"`
	CurrentVersion string      `json:"current_version"`
	NewVersion     string      `json:"new_version"`
	DownloadURL    string      `json:"download_url"`
	SHA256         string      `json:"sha256"`
	SizeBytes      int64       `json:"size_bytes"`
	Files          []FileEntry `json:"files,omitempty"`
	UnpackedBytes  *int64      `json:"unpacked_bytes,omitempty"`
}

// FileEntry is one file of the frontend's archive.
type FileEntry struct {
	Path   string `json:"path"`
	Mode   string `json:"mode"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Frontend is the component of the archive, nil in a manifest that has none.
func (m *Manifest) Frontend() *Component { return m.component(1) }

// Backend is the component of the binary, nil in a manifest that has none.
func (m *Manifest) Backend() *Component { return m.component(0) }

func (m *Manifest) component(i int) *Component {
	if len(m.Components) != 2 {
		return nil
	}
	return &m.Components[i]
}

// date is midnight UTC of the release date, zero when there is none.
func (m *Manifest) date() time.Time {
	t, _ := time.Parse(time.DateOnly, m.ReleaseDate)
	return t
}

// Encode writes the manifest as it is published: two spaces, a final newline.
func (m *Manifest) Encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("%s: %w", ManifestName, err)
	}
	return b.Bytes(), nil
}
