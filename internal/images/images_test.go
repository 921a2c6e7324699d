package images_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/images"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/podman/podmantest"
	"git.tx1138.com/lfg2025/archy/internal/wait"
)

const lnd = "docker.io/lightninglabs/lnd:v0.18.4-beta"

// fetcher asks a fake podman and does not wait between attempts.
func fetcher(t *testing.T, mirrors ...images.Mirror) (*podmantest.Server, *images.Fetcher) {
	s := podmantest.New(t)
	return s, &images.Fetcher{Engine: s.Client(), Offline: t.TempDir(), Mirrors: mirrors, Pauses: []time.Duration{0, 0, 0}}
}

// archive lays an archive down, and writes it into the index as edit leaves it.
func archive(t *testing.T, dir, ref string, edit func(*images.Archive)) {
	t.Helper()
	text, err := os.ReadFile(podmantest.WriteArchive(t, podmantest.OCIArchive, ref, "archived"))
	ok(t, err)
	ok(t, os.WriteFile(filepath.Join(dir, "lnd.tar"), text, 0o644))
	sum := sha256.Sum256(text)
	a := images.Archive{File: "lnd.tar", SHA256: hex.EncodeToString(sum[:]), Size: int64(len(text))}
	if edit != nil {
		edit(&a)
	}
	index(t, dir, images.Index{lnd: a})
}

func index(t *testing.T, dir string, i images.Index) {
	t.Helper()
	text, err := json.Marshal(i)
	ok(t, err)
	ok(t, os.WriteFile(filepath.Join(dir, "index.json"), text, 0o644))
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCalls(t *testing.T, s *podmantest.Server, want ...string) {
	t.Helper()
	if got := s.Changes(); !slices.Equal(got, want) {
		t.Errorf("asked podman for\n%q, want\n%q", got, want)
	}
}

func TestImageThatIsHereCostsNothing(t *testing.T) {
	s, f := fetcher(t, images.Mirror{Location: "mirror.example"})
	archive(t, f.Offline, lnd, nil)
	s.AddImage(lnd)
	ok(t, f.Fetch(t.Context(), images.Wanted{Ref: lnd}))
	wantCalls(t, s)
}

// test the order: archive, mirrors as configured, the reference; and that each is asked only when those before had nothing
func TestIncident18PullLadder(t *testing.T) {
	mirrors := []images.Mirror{{Location: "full.example/x"}, {Location: "flat.example:5000", Flat: true, Insecure: true}}
	full, flat := "full.example/x/lightninglabs/lnd:v0.18.4-beta", "flat.example:5000/lnd:v0.18.4-beta"
	for name, test := range map[string]struct {
		offer   string
		archive bool
		want    []string
	}{
		"archive":     {archive: true, want: []string{"load"}},
		"full mirror": {offer: full, want: []string{"pull " + full, "tag " + full + " " + lnd, "remove-image " + full}},
		"flat mirror": {offer: flat, want: []string{"pull " + full, "pull " + flat, "tag " + flat + " " + lnd, "remove-image " + flat}},
		"reference":   {offer: lnd, want: []string{"pull " + full, "pull " + flat, "pull " + lnd}},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := fetcher(t, mirrors...)
			if test.archive {
				archive(t, f.Offline, lnd, nil)
			}
			s.Offer(test.offer)
			ok(t, f.Fetch(t.Context(), images.Wanted{Ref: lnd}))
			wantCalls(t, s, test.want...)
			list, err := f.Engine.Images(t.Context())
			ok(t, err)
			if len(list) != 1 || list[lnd].ID == "" {
				t.Errorf("the node has %v, want %s alone", list, lnd)
			}
		})
	}
}

func TestPlainHTTPOnlyWhereTheOwnerSaysSo(t *testing.T) {
	for _, test := range []struct {
		mirror images.Mirror
		want   string
	}{{images.Mirror{Location: "m.example"}, "true"}, {images.Mirror{Location: "m.example", Insecure: true}, "false"}} {
		s, f := fetcher(t, test.mirror)
		s.Offer(test.mirror.Reference(lnd))
		seen := ""
		w := images.Wanted{Ref: lnd, Progress: func(podman.Progress) { seen = s.LastQuery().Get("tlsVerify") }}
		ok(t, f.Fetch(t.Context(), w))
		if seen != test.want {
			t.Errorf("mirror %+v is asked with tlsVerify=%s, want %s", test.mirror, seen, test.want)
		}
		s, f = fetcher(t, test.mirror)
		if err := f.Fetch(t.Context(), images.Wanted{Ref: lnd}); err == nil {
			t.Error("an image came from nowhere")
		}
		if got := s.LastQuery(); got.Has("tlsVerify") {
			t.Errorf("the reference itself is asked with %v, want what registries.conf says", got)
		}
	}
}

// interrupted is a podman without images that is told to end while it pulls.
type interrupted struct {
	noRegistry
	interrupt func()
}

func (e interrupted) Pull(ctx context.Context, ref string, tls podman.TLS, progress func(podman.Progress)) error {
	e.interrupt()
	return e.noRegistry.Pull(ctx, ref, tls, progress)
}

// test that a fetch which is told to end asks nobody else, and is not told as an image that is nowhere
func TestInterruptedFetch(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	var asked []time.Time
	f := &images.Fetcher{Engine: interrupted{noRegistry{asked: &asked}, interrupt}, Offline: t.TempDir(), Mirrors: []images.Mirror{{Location: "m.example"}}}
	var nowhere *images.Error
	if err := f.Fetch(ctx, images.Wanted{Ref: lnd}); !errors.Is(err, context.Canceled) || errors.As(err, &nowhere) {
		t.Errorf("error %v", err)
	}
	if len(asked) != 1 {
		t.Errorf("asked %d times", len(asked))
	}
}

// test that a registry that fails twice is asked a third time, and not a fourth
func TestThreeAttempts(t *testing.T) {
	for failures, want := range map[int]int{0: 1, 1: 2, 2: 3, 9: 3} {
		s, f := fetcher(t)
		s.Offer(lnd)
		for range failures { // each fault hits the first pull that those before it let through
			s.Inject(podmantest.Fault{Kind: podmantest.Fail, Match: "pull", At: 1, Text: "received unexpected HTTP status: 500 Internal Server Error"})
		}
		var said []string
		err := f.Fetch(t.Context(), images.Wanted{Ref: lnd, Progress: func(p podman.Progress) { said = append(said, p.Text) }})
		if (err == nil) != (failures < 3) || len(s.Changes()) != want {
			t.Errorf("%d failures: %d attempts, want %d, error %v", failures, len(s.Changes()), want, err)
		}
		if failures > 0 && !strings.HasPrefix(said[0], "attempt 1 of 3 failed, next in 0s: pull image "+lnd+": received unexpected") {
			t.Errorf("said %q", said)
		}
	}
}

// noRegistry is a podman without images whose pulls all fail; it notes when.
type noRegistry struct {
	images.Engine
	asked *[]time.Time
}

func (noRegistry) ImageID(context.Context, string) (string, error) { return "", podman.ErrNotFound }

func (e noRegistry) Pull(context.Context, string, podman.TLS, func(podman.Progress)) error {
	*e.asked = append(*e.asked, time.Now())
	return errors.New("connection refused")
}

// test that a registry is asked again after 5 and 15 s, and the next one at once after the last attempt
func TestPausesBetweenAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Time
		f := &images.Fetcher{Engine: noRegistry{asked: &asked}, Offline: t.TempDir(), Mirrors: []images.Mirror{{Location: "m.example"}}}
		if err := f.Fetch(t.Context(), images.Wanted{Ref: lnd}); err == nil {
			t.Error("an image came from nowhere")
		}
		var pauses []time.Duration
		for i := range asked[1:] {
			pauses = append(pauses, asked[i+1].Sub(asked[i]))
		}
		if want := []time.Duration{5 * time.Second, 15 * time.Second, 0, 5 * time.Second, 15 * time.Second}; !slices.Equal(pauses, want) {
			t.Errorf("pauses %v, want %v", pauses, want)
		}
	})
}

// test the answers of podman 5.4.2, word for word
// slowRegistry is one whose pulls take so long before they fail, or until they are told to end.
type slowRegistry struct {
	noRegistry
	takes time.Duration
}

func (e slowRegistry) Pull(ctx context.Context, ref string, tls podman.TLS, progress func(podman.Progress)) error {
	if wait.For(ctx, e.takes) != nil {
		return fmt.Errorf("pull image %s: %w", ref, context.Cause(ctx))
	}
	return e.noRegistry.Pull(ctx, ref, tls, progress)
}

// test that an image has 60 minutes in all, however many attempts and sources there are; be they over in an attempt or in a pause
func TestSixtyMinutesInAll(t *testing.T) {
	for _, takes := range []time.Duration{25 * time.Minute, 30*time.Minute - 4*time.Second} {
		synctest.Test(t, func(t *testing.T) {
			var asked []time.Time
			began := time.Now()
			f := &images.Fetcher{Engine: slowRegistry{noRegistry{asked: &asked}, takes}, Offline: t.TempDir(), Mirrors: []images.Mirror{{Location: "a.example"}, {Location: "b.example"}}}
			err := f.Fetch(t.Context(), images.Wanted{Ref: lnd})
			if took := time.Since(began); took != time.Hour || len(asked) != 2 {
				t.Errorf("%s a pull: %s in all, %d pulls to their end", takes, took, len(asked))
			}
			if err == nil || !strings.Contains(err.Error(), "not here after 1h0m0s in all") || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestTransient(t *testing.T) {
	for text, want := range map[string]bool{
		"manifest unknown": false,
		"reading manifest v9 in docker.io/x/y: requested access to the resource is denied":           false,
		"unable to retrieve auth token: invalid username/password: unauthorized: incorrect username": false,
		"lookup docker.io: no such host": false,
		"lookup docker.io on 127.0.0.53:53: read udp 127.0.0.1:41852->127.0.0.53:53: read: connection refused": false,
		"lookup registry.invalid: Temporary failure in name resolution":                                        false,
		"network is unreachable":                               false,
		"http: server gave HTTP response to HTTPS client":      false,
		"write /var/tmp/x: no space left on device":            false,
		"connection refused":                                   true,
		"connection reset by peer":                             true,
		"received unexpected HTTP status: 503":                 true,
		"toomanyrequests: you have reached your pull rate":     true,
		"unexpected EOF":                                       true,
		"no progress for 5m0s; check the network and registry": true,
	} {
		if got := images.Transient(errors.New(text)); got != want {
			t.Errorf("%q: another attempt %v, want %v", text, got, want)
		}
	}
	if images.Transient(&podman.APIError{Status: 404, Message: "gone"}) {
		t.Error("an image that the registry does not have is asked for again")
	}
}

// test that an image with another digest than the manifest pins is refused wherever it comes from, and that what was here
// before stays what the reference means
func TestWrongDigestIsRefused(t *testing.T) {
	m := images.Mirror{Location: "m.example"}
	s, f := fetcher(t, m)
	archive(t, f.Offline, lnd, nil)
	s.Offer(m.Reference(lnd))
	s.Offer(lnd)
	err := f.Fetch(t.Context(), images.Wanted{Ref: lnd, Digest: "sha256:0000"})
	var failed *images.Error
	if !errors.As(err, &failed) || len(failed.Tried) != 3 || strings.Count(err.Error(), "the manifest wants sha256:0000") != 3 {
		t.Errorf("error %v", err)
	}
	if list, err := f.Engine.Images(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("refused images stay on the node: %v (%v)", list, err)
	}

	s, f = fetcher(t)
	want := s.AddImage("localhost/first:v1")
	ok(t, f.Engine.Tag(t.Context(), "localhost/first:v1", lnd))
	s.Offer(lnd)
	if err := f.Fetch(t.Context(), images.Wanted{Ref: lnd, Digest: "sha256:0000"}); err == nil {
		t.Error("a wrong digest was taken")
	}
	if id, err := f.Engine.ImageID(t.Context(), lnd); id != want {
		t.Errorf("%s is %s now (%v), want %s", lnd, id, err, want)
	}
}

func TestRightDigestIsTaken(t *testing.T) {
	s, f := fetcher(t, images.Mirror{Location: "m.example"})
	s.Offer("m.example/lightninglabs/lnd:v0.18.4-beta")
	ok(t, f.Fetch(t.Context(), images.Wanted{Ref: lnd}))
	list, err := f.Engine.Images(t.Context())
	ok(t, err)
	s2, f2 := fetcher(t, f.Mirrors...)
	s2.Offer("m.example/lightninglabs/lnd:v0.18.4-beta")
	ok(t, f2.Fetch(t.Context(), images.Wanted{Ref: lnd, Digest: list[lnd].Digest}))
	if !images.HasDigest(podman.Image{Digests: []string{"docker.io/x/y@sha256:1"}}, "sha256:1") {
		t.Error("the digest of the list that names an image does not count")
	}
}

// test that an archive that is not what the index says is not loaded, and that the next source is asked
func TestBadArchiveFallsThrough(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*images.Archive)
		want string
	}{
		"sha256":  {func(a *images.Archive) { a.SHA256 = strings.Repeat("0", 64) }, "index.json says 0000"},
		"size":    {func(a *images.Archive) { a.Size++ }, "bytes, index.json says"},
		"file":    {func(a *images.Archive) { a.File = "absent.tar" }, "no such file"},
		"outside": {func(a *images.Archive) { a.File = "../lnd.tar" }, "leads out of the directory"},
		"folder":  {func(a *images.Archive) { a.File = "." }, "it is not a file"},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := fetcher(t)
			archive(t, f.Offline, lnd, test.edit)
			err := f.Fetch(t.Context(), images.Wanted{Ref: lnd})
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "manifest unknown") {
				t.Errorf("error %v, want %q and the registry's answer", err, test.want)
			}
			wantCalls(t, s, "pull "+lnd)
			s.Offer(lnd)
			ok(t, f.Fetch(t.Context(), images.Wanted{Ref: lnd}))
			if _, err := os.Stat(filepath.Join(f.Offline, "lnd.tar")); err != nil {
				t.Errorf("archives are never deleted: %v", err)
			}
		})
	}
	s, f := fetcher(t)
	ok(t, os.WriteFile(filepath.Join(f.Offline, "index.json"), []byte("{"), 0o644))
	if err := f.Fetch(t.Context(), images.Wanted{Ref: lnd}); err == nil || !strings.Contains(err.Error(), "index.json: unexpected end of JSON") {
		t.Errorf("a broken index: %v", err)
	}
	wantCalls(t, s, "pull "+lnd)
}

// test that an archive of something else is refused, and leaves the references of others as they were
func TestArchiveOfAnotherImage(t *testing.T) {
	const other = "docker.io/library/redis:7.2-alpine"
	s, f := fetcher(t)
	before := s.AddImage(other)
	s.AddImage("localhost/keep:v1") // a second name: the image is not removed with its reference
	ok(t, f.Engine.Tag(t.Context(), other, "localhost/redis:keep"))
	archive(t, f.Offline, other, nil) // indexed as lnd
	err := f.Fetch(t.Context(), images.Wanted{Ref: lnd})
	if err == nil || !strings.Contains(err.Error(), `lnd.tar holds ["`+other+`"], not `+lnd) {
		t.Errorf("error %v", err)
	}
	if id, err := f.Engine.ImageID(t.Context(), other); id != before {
		t.Errorf("%s is %s now (%v), want %s", other, id, err, before)
	}
}

func TestNoRoomNoPull(t *testing.T) {
	s, f := fetcher(t)
	s.Offer(lnd)
	free := int64(3<<30 - 1)
	known := true
	f.Free = func() (int64, bool) { return free, known }
	err := f.Fetch(t.Context(), images.Wanted{Ref: lnd})
	if err == nil || !strings.Contains(err.Error(), "only 3071 MiB free below the data directory, 3072 are needed") {
		t.Errorf("error %v", err)
	}
	wantCalls(t, s)
	free = 0 // a full disk, not one that nobody could ask
	if err := f.Fetch(t.Context(), images.Wanted{Ref: lnd}); err == nil || !strings.Contains(err.Error(), "only 0 MiB free") {
		t.Errorf("error %v", err)
	}
	wantCalls(t, s)
	known = false
	ok(t, f.Fetch(t.Context(), images.Wanted{Ref: lnd}))
	_, f = fetcher(t)
	f.Free = func() (int64, bool) { return free, true }
	// Of an archive the size is known.
	archive(t, f.Offline, lnd, nil)
	free = 1 << 20
	ok(t, f.Fetch(t.Context(), images.Wanted{Ref: lnd}))
}

// test that the base of a build comes by the same ladder, and that the build itself touches no network then
func TestBaseOfABuild(t *testing.T) {
	const base, ui = "docker.io/library/nginx:1.28.0-alpine", "localhost/archy-lnd-ui:c1"
	m := images.Mirror{Location: "m.example", Flat: true}
	s, f := fetcher(t, m)
	s.Offer(m.Reference(base))
	dir := t.TempDir()
	ok(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("# a page\nFROM "+base+"\n"), 0o644))
	b := &images.Build{Dockerfile: "Dockerfile", Context: func() (string, func(), error) { return dir, func() {}, nil }}
	ok(t, f.Fetch(t.Context(), images.Wanted{Ref: ui, Build: b}))
	from := m.Reference(base)
	wantCalls(t, s, "pull "+from, "tag "+from+" "+base, "remove-image "+from, "build "+ui)
	if got := s.LastQuery().Get("pullpolicy"); got != "never" {
		t.Errorf("the build may pull: %s", got)
	}

	s, f = fetcher(t, m)
	err := f.Fetch(t.Context(), images.Wanted{Ref: ui, Build: b})
	if err == nil || !strings.Contains(err.Error(), "base of the build: image "+base+" could not be had") {
		t.Errorf("error %v", err)
	}
	wantCalls(t, s, "pull "+from, "pull "+base)
}

func TestBases(t *testing.T) {
	for text, want := range map[string]struct {
		bases []string
		known bool
	}{
		"FROM docker.io/a/b:1": {[]string{"docker.io/a/b:1"}, true},
		"from --platform=linux/amd64 docker.io/a/b:1 AS x\nFROM x":       {[]string{"docker.io/a/b:1"}, true},
		"FROM scratch\nCOPY FROM /":                                      {nil, true},
		"ARG V=1\nFROM docker.io/a/b:$V":                                 {nil, false},
		"FROM nginx:1":                                                   {nil, false},
		"FROM docker.io/a/b@sha256:1\nFROM localhost:5000/c:2\nRUN true": {[]string{"localhost:5000/c:2"}, false},
	} {
		bases, known, err := images.Bases(strings.NewReader(text))
		if err != nil || !slices.Equal(bases, want.bases) || known != want.known {
			t.Errorf("%q: %q, known %v (%v); want %+v", text, bases, known, err, want)
		}
	}
}

func TestMirrorReference(t *testing.T) {
	for _, test := range []struct {
		mirror images.Mirror
		want   string
	}{
		{images.Mirror{Location: "m.example"}, "m.example/lightninglabs/lnd:v0.18.4-beta"},
		{images.Mirror{Location: "m.example:5000/copies/"}, "m.example:5000/copies/lightninglabs/lnd:v0.18.4-beta"},
		{images.Mirror{Location: "m.example", Flat: true}, "m.example/lnd:v0.18.4-beta"},
	} {
		if got := test.mirror.Reference(lnd); got != test.want {
			t.Errorf("%+v keeps it at %s, want %s", test.mirror, got, test.want)
		}
	}
}
