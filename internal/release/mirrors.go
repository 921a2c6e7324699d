package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Mirrors asks several servers for the manifest of the newest release.
type Mirrors struct {
	URLs []string
	// Deep downloads and hashes every artefact instead of asking for its length.
	Deep bool
	// Expect, when not "", is the version that all must have.
	Expect string
	Keys   Keys
	Policy Policy
	Client *http.Client
	// Limit is how long one mirror may take in all, DeepLimit how long one artefact.
	Limit, DeepLimit time.Duration
	Now              func() time.Time
}

// Mirror is what one of them serves.
type Mirror struct {
	Mirror    string `json:"mirror"`
	URL       string `json:"url"`
	Status    string `json:"status"`
	Version   string `json:"version,omitempty"`
	Date      string `json:"date,omitempty"`
	SHA256    string `json:"sha256,omitempty"`
	Artefacts string `json:"artefacts,omitempty"` // "2/2" present and right
	Millis    int64  `json:"age_ms"`
	Detail    string `json:"detail,omitempty"`

	good, of int
	// unsigned: it has the manifest and not the signature that it must have.
	unsigned bool
}

// Status of a mirror that serves a manifest.
const statusOK = "ok"

// Agreement is what the mirrors say together.
type Agreement int

// What Agree can find: everything the same; nobody answers; the others agree and some do not answer; a difference.
const (
	MirrorsAgree Agreement = iota
	MirrorsSilent
	MirrorsPartly
	MirrorsDiffer
)

// Ask asks all mirrors side by side. The rows come in the order of the URLs.
func (m Mirrors) Ask(ctx context.Context) []Mirror {
	rows := make([]Mirror, len(m.URLs))
	var wg sync.WaitGroup
	for i, address := range m.URLs {
		wg.Go(func() {
			start := m.Now()
			rows[i] = m.ask(ctx, address)
			rows[i].Millis = m.Now().Sub(start).Milliseconds()
		})
	}
	wg.Wait()
	return rows
}

// Agree judges the rows. A mirror that answers with something that is no good manifest, or lacks an artefact, is a
// difference: a node that is sent there gets something wrong. One that does not answer is only not there; the manifest of one that was
// lost after it counts all the same.
func (m Mirrors) Agree(rows []Mirror) Agreement {
	var first *Mirror
	silent, differ := 0, false
	for i := range rows {
		r := &rows[i]
		switch {
		case r.silent():
			silent++
			if r.SHA256 == "" {
				continue
			}
		case r.Status != statusOK || r.good < r.of || m.Expect != "" && r.Version != m.Expect:
			differ = true
		}
		if first == nil {
			first = r
		}
		differ = differ || r.SHA256 != first.SHA256
	}
	switch {
	case silent == len(rows):
		return MirrorsSilent
	case differ:
		return MirrorsDiffer
	case silent > 0:
		return MirrorsPartly
	}
	return MirrorsAgree
}

func (r *Mirror) silent() bool {
	return !r.unsigned && (r.Status == "unreachable" || r.Status == "tls" || strings.HasPrefix(r.Status, "http "))
}

// MirrorManifest is where a mirror has its manifest: the address itself when it names a .json, else manifest.json below it.
func MirrorManifest(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("%q is no http or https URL", address)
	}
	if !strings.HasSuffix(u.Path, ".json") {
		u.Path = strings.TrimRight(u.Path, "/") + "/" + ManifestName
	}
	return u, nil
}

func (m Mirrors) ask(ctx context.Context, address string) Mirror {
	u, err := MirrorManifest(address)
	if err != nil {
		return Mirror{Mirror: address, URL: address, Status: "unreachable", Detail: err.Error()}
	}
	row := Mirror{Mirror: u.Scheme + "://" + u.Host, URL: u.String()}
	limited, cancel := context.WithTimeout(ctx, m.Limit)
	defer cancel()
	data, err := m.get(limited, u, MaxMirrorManifest)
	if err != nil {
		row.fail(err)
		return row
	}
	sum := sha256.Sum256(data)
	row.SHA256 = hex.EncodeToString(sum[:])
	manifest, found := ReadManifest(data)
	if manifest != nil {
		found.Join(manifest.Check(m.Now()))
		row.Version, row.Date = printable(manifest.Version), printable(manifest.ReleaseDate)
	}
	if found.Errors > 0 {
		row.Status, row.Detail = "not json", found.List[0].String()
		return row
	}
	if !m.checkSignature(limited, u, manifest, data, &row) {
		return row
	}
	row.Status = statusOK
	if len(found.List) > 0 {
		row.Detail = found.List[0].String()
	}
	if m.Deep {
		limited = ctx
	}
	m.artefacts(limited, u, manifest, &row)
	return row
}

// fail gives an error its word.
func (r *Mirror) fail(err error) {
	var status statusError
	switch {
	case errors.As(err, &status):
		r.Status = fmt.Sprintf("http %d", int(status))
	case errors.Is(err, errTooLong):
		r.Status = "not json"
	case isTLS(err):
		r.Status = "tls"
	default:
		r.Status = "unreachable"
	}
	r.Detail = printable(err.Error())
}

// checkSignature tells whether the manifest is signed as it must be. One that cannot be fetched is not a bad one.
func (m Mirrors) checkSignature(ctx context.Context, u *url.URL, manifest *Manifest, data []byte, row *Mirror) bool {
	if m.Policy == PolicyNever {
		return true
	}
	at := *u
	at.Path += ".minisig"
	signature, err := m.get(ctx, &at, 16<<10)
	var status statusError
	missing := errors.As(err, &status) && (status == http.StatusNotFound || status == http.StatusGone)
	switch {
	case missing:
		signature = nil
	case errors.Is(err, errTooLong):
		row.Status, row.Detail = "bad signature", SignatureName+": "+err.Error()
		return false
	case err != nil:
		row.fail(fmt.Errorf("%s: %w", SignatureName, err))
		return false
	}
	found := m.Keys.Check(m.Policy, manifest, data, signature)
	if found.Errors == 0 {
		return true
	}
	row.Status, row.Detail = "bad signature", found.List[0].String()
	if missing {
		row.Status, row.unsigned = fmt.Sprintf("http %d", int(status)), true
	}
	return false
}

// artefacts looks for both files on the mirror: consumers take the path from the manifest and the server from the
// mirror that served it.
func (m Mirrors) artefacts(ctx context.Context, at *url.URL, manifest *Manifest, row *Mirror) {
	row.of = len(manifest.Components)
	for i := range manifest.Components {
		c := &manifest.Components[i]
		u, err := url.Parse(c.DownloadURL)
		if err == nil {
			u.Scheme, u.Host = at.Scheme, at.Host
			err = m.artefact(ctx, u, c)
		}
		if err == nil {
			row.good++
			continue
		}
		if row.Detail == "" {
			row.Detail = printable(c.Name + ": " + err.Error())
		}
	}
	row.Artefacts = fmt.Sprintf("%d/%d", row.good, row.of)
}

func (m Mirrors) artefact(ctx context.Context, u *url.URL, c *Component) error {
	if m.Deep {
		return m.download(ctx, u, c)
	}
	resp, err := m.do(ctx, http.MethodHead, u)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.ContentLength != c.SizeBytes {
		return fmt.Errorf("length %d, want %d", resp.ContentLength, c.SizeBytes)
	}
	return nil
}

// download hashes an artefact and keeps nothing of it.
func (m Mirrors) download(ctx context.Context, u *url.URL, c *Component) error {
	ctx, cancel := context.WithTimeout(ctx, m.DeepLimit)
	defer cancel()
	resp, err := m.do(ctx, http.MethodGet, u)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	to := newTally(io.Discard)
	if _, err := io.Copy(to, io.LimitReader(resp.Body, c.SizeBytes+1)); err != nil {
		return err
	}
	switch sum := digest(to.sum); {
	case to.n > c.SizeBytes:
		return fmt.Errorf("longer than %d", c.SizeBytes)
	case to.n < c.SizeBytes:
		return fmt.Errorf("length %d, want %d", to.n, c.SizeBytes)
	case sum != c.SHA256:
		return fmt.Errorf("sha256 %s, want %s", sum, c.SHA256)
	}
	return nil
}
