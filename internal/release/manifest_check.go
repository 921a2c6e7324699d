package release

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// Check applies the rules of a manifest's content; now decides what lies in the future.
func (m *Manifest) Check(now time.Time) Findings {
	c := manifestCheck{m: m, now: now}
	c.head()
	c.dates()
	for i := range m.Components {
		c.component(&m.Components[i], fmt.Sprintf("components[%d].", i))
	}
	if len(m.Components) == 2 {
		c.names()
	}
	if f := m.Frontend(); f != nil && f.Files != nil {
		c.files(f)
	}
	return c.found
}

type manifestCheck struct {
	m     *Manifest
	now   time.Time
	found Findings
}

func (c *manifestCheck) head() {
	m := c.m
	if _, err := ParseVersion(m.Version); err != nil {
		c.found.Add(ManifestVersion, "version", err.Error(), "")
	}
	if m.MinVersion != "" {
		if _, err := ParseVersion(m.MinVersion); err != nil {
			c.found.Add(ManifestVersion, "min_version", err.Error(), "")
		} else if !newer(m.Version, m.MinVersion) {
			c.found.Add(ManifestVersion, "min_version", m.MinVersion, "lower than "+m.Version)
		}
	}
	if m.Schema < 0 || m.Schema > ManifestSchema || m.Schema == 1 {
		c.found.Addf(ManifestField, "schema", fmt.Sprint(ManifestSchema), "%d", m.Schema)
	}
}

// dates: a day that has begun nowhere yet cannot be a release's.
func (c *manifestCheck) dates() {
	day, err := time.Parse(time.DateOnly, c.m.ReleaseDate)
	switch {
	case err != nil:
		c.found.Add(ManifestDate, "release_date", c.m.ReleaseDate, "YYYY-MM-DD")
	case day.After(c.now):
		c.found.Add(ManifestDate, "release_date", c.m.ReleaseDate, "not after "+c.now.UTC().Format(time.DateOnly))
	}
	if c.m.Expires == "" {
		return
	}
	switch end, err := time.Parse(time.RFC3339, c.m.Expires); {
	case err != nil:
		c.found.Add(ManifestDate, "expires", c.m.Expires, "a time as in RFC 3339")
	case c.now.After(end):
		c.found.Add(Expired, "expires", c.m.Expires, "not before "+c.now.UTC().Format(time.RFC3339))
	}
}

func (c *manifestCheck) component(k *Component, at string) {
	if k.NewVersion != c.m.Version {
		c.found.Add(ManifestVersion, at+"new_version", k.NewVersion, c.m.Version)
	}
	if _, err := ParseVersion(k.CurrentVersion); err != nil {
		c.found.Add(ManifestVersion, at+"current_version", err.Error(), "")
	} else if _, err := ParseVersion(k.NewVersion); err == nil && !newer(k.NewVersion, k.CurrentVersion) {
		c.found.Add(ManifestVersion, at+"current_version", k.CurrentVersion, "lower than "+k.NewVersion)
	}
	if !goodDigest(k.SHA256) {
		c.found.Add(ManifestField, at+"sha256", k.SHA256, "64 lower-case hexadecimal digits")
	}
	if k.SizeBytes <= 0 || k.SizeBytes >= 1<<53 {
		c.found.Addf(ManifestField, at+"size_bytes", "above 0 and below 2^53", "%d", k.SizeBytes)
	}
	c.url(k, at)
}

// url: the last element of the path is the artefact's file name, on every mirror.
func (c *manifestCheck) url(k *Component, at string) {
	u, err := url.Parse(k.DownloadURL)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil:
		c.found.Add(ManifestURL, at+"download_url", k.DownloadURL, "an absolute http or https URL")
	case path.Base(u.Path) != k.Name:
		c.found.Add(ManifestURL, at+"download_url", path.Base(u.Path), k.Name)
	}
}

func (c *manifestCheck) names() {
	for i, want := range []string{BackendName, FrontendName(c.m.Version)} {
		if have := c.m.Components[i].Name; have != want {
			c.found.Add(ManifestComponents, fmt.Sprintf("components[%d].name", i), have, want)
		}
	}
}

func (c *manifestCheck) files(f *Component) {
	var sum int64
	for i, file := range f.Files {
		at := fmt.Sprintf("components[1].files[%d]", i)
		mode, err := strconv.ParseUint(file.Mode, 8, 12)
		if err != nil || mode&^0o755 != 0 {
			c.found.Add(ManifestField, at+".mode", file.Mode, "0644 or 0755")
		}
		if !goodDigest(file.SHA256) {
			c.found.Add(ManifestField, at+".sha256", file.SHA256, "64 lower-case hexadecimal digits")
		}
		if file.Size < 0 || file.Size > 1<<53-sum {
			c.found.Addf(ManifestField, at+".size", "a sum below 2^53", "%d", file.Size)
			return
		}
		sum += file.Size
		if i > 0 && f.Files[i-1].Path >= file.Path {
			c.found.Add(ManifestField, at+".path", file.Path, "paths in order, each once")
		}
	}
	if f.UnpackedBytes != nil && *f.UnpackedBytes != sum {
		c.found.Addf(ManifestField, "components[1].unpacked_bytes", fmt.Sprint(sum), "%d", *f.UnpackedBytes)
	}
}

func goodDigest(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == 64 && s == strings.ToLower(s)
}
