package release

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// testInputs lays a source tree down in dir.
func testInputs(t testing.TB, dir string) Inputs {
	t.Helper()
	write := func(name, data string, mode os.FileMode) {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o777))
		must(t, os.WriteFile(path, []byte(data), mode))
	}
	write("dist/index.html", `<script src="/assets/app.js"></script>`, 0o600)
	write("dist/assets/app.js", hex.EncodeToString([]byte(random(1_200_000))), 0o640)
	write("dist/assets/app.js.map", "{}", 0o644)
	write("dist/assets/"+strings.Repeat("long", 60)+".svg", "<svg/>", 0o644)
	write("dist/assets/ünï.txt", "x", 0o644)
	write("dist/tools/run.sh", "#!/bin/sh\n", 0o700)
	write("dist/catalog.json", "{}\n", 0o644)
	write("dist/.gitignore", "*", 0o644)
	write("dist/.git/config", "secret", 0o644)
	write("dist/x~", "old", 0o644)
	write("aiui/index.html", "<p>chat", 0o644)
	write("apps/web/manifest.yml", appManifest, 0o644)
	write("apps/web/Dockerfile", "FROM scratch", 0o644)
	write("catalog.json", "{}\n", 0o644)
	write("news.txt", "- faster\n- better\n\n", 0o644)
	write("archipelago", program(0x3e), 0o755)
	return Inputs{
		Version: "1.2.3", Date: "2026-01-01", Frontend: filepath.Join(dir, "dist"), Binary: filepath.Join(dir, "archipelago"),
		AIUI: filepath.Join(dir, "aiui"), Apps: filepath.Join(dir, "apps"), Catalog: filepath.Join(dir, "catalog.json"),
		Changelog: filepath.Join(dir, "news.txt"), Out: filepath.Join(dir, "out"), BaseURL: "https://updates.example/v1.2.3/",
		Target: "amd64", Tool: "archy test", Limits: DefaultLimits(), Now: now,
	}
}

// program is the head of an ELF program for a machine.
func program(machine byte) string {
	b := make([]byte, 4096)
	copy(b, "\x7fELF\x02\x01\x01")
	b[16], b[18] = 2, machine
	return string(b)
}

func create(t testing.TB, in Inputs) Created {
	t.Helper()
	r, err := Create(t.Context(), in)
	must(t, err)
	return r
}

func created(t testing.TB, in Inputs) Created {
	t.Helper()
	r := create(t, in)
	if !r.OK || len(r.Findings) > 0 {
		t.Fatalf("findings %v", r.Findings)
	}
	return r
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return data
}

// names lists a directory.
func namesIn(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	must(t, err)
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

func TestCreate(t *testing.T) {
	in := testInputs(t, t.TempDir())
	r := created(t, in)
	if got := namesIn(t, in.Out); got != "archipelago archipelago-frontend-1.2.3.tar.gz manifest.json" {
		t.Errorf("the directory holds %s", got)
	}
	if got := strings.Join(r.LeftOut, " "); got != ".git/ .gitignore assets/app.js.map x~" {
		t.Errorf("left out: %s", got)
	}
	for name, mode := range map[string]os.FileMode{"archipelago": 0o755, "manifest.json": 0o644, FrontendName("1.2.3"): 0o644} {
		info, err := os.Stat(filepath.Join(in.Out, name))
		must(t, err)
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %04o", name, info.Mode().Perm())
		}
	}
	result, err := Release{ManifestPath: r.Manifest, Dir: in.Out, Policy: PolicyIfPresent, Target: "amd64", Rules: testRules(), Now: now}.Verify(t.Context())
	must(t, err)
	if !result.OK || len(result.Findings) > 0 {
		t.Errorf("findings %v", result.Findings)
	}
	m, _, _, err := LoadManifest(r.Manifest)
	must(t, err)
	var modes []string
	for _, f := range m.Frontend().Files {
		modes = append(modes, f.Mode+" "+f.Path)
	}
	if !slices.Contains(modes, "0755 tools/run.sh") || !slices.Contains(modes, "0644 index.html") || slices.Contains(modes, "0644 archipelago-runtime/apps/web/Dockerfile") {
		t.Errorf("files %q", modes)
	}
	if head := read(t, r.Archive)[:10]; !bytes.Equal(head, gzipHeader) {
		t.Errorf("gzip header %x", head)
	}
}

// TestRequiredMapIsPacked: a source map is left out unless it is required, however its path is written.
func TestRequiredMapIsPacked(t *testing.T) {
	for _, name := range []string{"assets/app.js.map", "./assets/app.js.map"} {
		in := testInputs(t, t.TempDir())
		in.Require = []string{name}
		r := create(t, in)
		if !r.OK || slices.Contains(r.LeftOut, "assets/app.js.map") {
			t.Errorf("--require %s: left out %q, findings %v", name, r.LeftOut, r.Findings)
		}
	}
}

// TestOldUpdaterReadsIt reads the manifest as the updater in the field does: these fields, these types, nothing else.
func TestOldUpdaterReadsIt(t *testing.T) {
	in := testInputs(t, t.TempDir())
	in.Previous = "1.2.2"
	r := created(t, in)
	var old struct {
		Version     string   `json:"version"`
		ReleaseDate string   `json:"release_date"`
		Changelog   []string `json:"changelog"`
		Components  []struct {
			Name           string `json:"name"`
			CurrentVersion string `json:"current_version"`
			NewVersion     string `json:"new_version"`
			DownloadURL    string `json:"download_url"`
			SHA256         string `json:"sha256"`
			SizeBytes      uint64 `json:"size_bytes"`
		} `json:"components"`
	}
	data := read(t, r.Manifest)
	must(t, json.Unmarshal(data, &old))
	if old.Version != "1.2.3" || old.ReleaseDate != "2026-01-01" || strings.Join(old.Changelog, "|") != "faster|better" || len(old.Components) != 2 {
		t.Fatalf("%+v", old)
	}
	for i, name := range []string{"archipelago", "archipelago-frontend-1.2.3.tar.gz"} {
		c := old.Components[i]
		want := digestOf(t, filepath.Join(in.Out, name))
		if c.Name != name || c.CurrentVersion != "1.2.2" || c.NewVersion != "1.2.3" || c.DownloadURL != "https://updates.example/v1.2.3/"+name || c.SHA256 != want || c.SizeBytes == 0 {
			t.Errorf("component %d is %+v", i, c)
		}
	}
	if !bytes.HasPrefix(data, []byte("{\n  \"version\": \"1.2.3\",\n  \"release_date\"")) || !bytes.HasSuffix(data, []byte("}\n")) {
		t.Errorf("form:\n%s", data[:80])
	}
}

func digestOf(t testing.TB, path string) string {
	to := newTally(discard{})
	_, err := to.Write(read(t, path))
	must(t, err)
	return digest(to.sum)
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// TestReproducible: the same bytes from two directories, umasks, users, time zones, orders, times and numbers of cores.
func TestReproducible(t *testing.T) {
	first := testInputs(t, t.TempDir())
	a := created(t, first)

	defer syscall.Umask(syscall.Umask(0o077))
	defer func(l *time.Location) { time.Local = l }(time.Local)
	time.Local = time.FixedZone("east", 12*3600)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(7))
	second := testInputs(t, filepath.Join(t.TempDir(), "elsewhere"))
	disturb(t, filepath.Dir(second.Frontend))
	b := created(t, second)
	for _, pair := range [][2]string{{a.Archive, b.Archive}, {a.Manifest, b.Manifest}} {
		if !bytes.Equal(read(t, pair[0]), read(t, pair[1])) {
			t.Errorf("%s differs", filepath.Base(pair[0]))
		}
	}
}

// disturb gives files other times, owners where that can be done, and another order in their directories.
func disturb(t *testing.T, dir string) {
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		must(t, os.Rename(path, path+".new"))
		must(t, os.Rename(path+".new", path))
		if os.Getuid() == 0 {
			must(t, os.Chown(path, 1234, 4321))
		}
		when := time.Unix(rand.Int64N(1_700_000_000), 0)
		return os.Chtimes(path, when, when)
	}))
}

func TestGNUTarReadsIt(t *testing.T) {
	needs(t, "tar")
	in := testInputs(t, t.TempDir())
	r := created(t, in)
	out := filepath.Join(t.TempDir(), "web-ui")
	must(t, os.Mkdir(out, 0o700))
	if text, err := exec.CommandContext(t.Context(), "tar", "xzpf", r.Archive, "-C", out).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	info, err := os.Stat(out)
	must(t, err)
	if info.Mode().Perm() != 0o755 || !bytes.Equal(read(t, out+"/assets/app.js"), read(t, in.Frontend+"/assets/app.js")) {
		t.Errorf("mode %04o", info.Mode().Perm())
	}
	if _, err := os.Stat(out + "/assets/" + strings.Repeat("long", 60) + ".svg"); err != nil {
		t.Error(err)
	}
}

// TestBadInput: each is refused by its code, all at once, and nothing is written.
func TestBadInput(t *testing.T) {
	tests := map[string]struct {
		spoil func(*testing.T, *Inputs)
		codes string
	}{
		"no index":              {func(t *testing.T, in *Inputs) { must(t, os.Remove(in.Frontend+"/index.html")) }, "E_MEMBER_MISSING"},
		"empty index":           {func(t *testing.T, in *Inputs) { must(t, os.Truncate(in.Frontend+"/index.html", 0)) }, "E_MEMBER_EMPTY"},
		"no frontend":           {func(t *testing.T, in *Inputs) { in.Frontend += "x" }, "E_INPUT_MISSING E_MEMBER_MISSING"},
		"other architecture":    {func(t *testing.T, in *Inputs) { must(t, os.WriteFile(in.Binary, []byte(program(0xb7)), 0o755)) }, "E_BINARY"},
		"a script as binary":    {func(t *testing.T, in *Inputs) { must(t, os.WriteFile(in.Binary, []byte("#!/bin/sh\n"), 0o755)) }, "E_BINARY"},
		"binary not executable": {func(t *testing.T, in *Inputs) { must(t, os.Chmod(in.Binary, 0o644)) }, "E_BINARY"},
		"binary a pipe": {func(t *testing.T, in *Inputs) {
			must(t, os.Remove(in.Binary))
			must(t, syscall.Mkfifo(in.Binary, 0o755))
		}, "E_BINARY"},
		"not newer":            {func(t *testing.T, in *Inputs) { in.Previous = "1.2.3" }, "E_INPUT_VERSION"},
		"older than a pre":     {func(t *testing.T, in *Inputs) { in.Previous = "1.2.4-rc.1" }, "E_INPUT_VERSION"},
		"min version too high": {func(t *testing.T, in *Inputs) { in.MinVersion = "1.2.3" }, "E_INPUT_VERSION"},
		"tomorrow":             {func(t *testing.T, in *Inputs) { in.Date = "2026-01-03" }, "E_INPUT_DATE"},
		"changelog not UTF-8":  {func(t *testing.T, in *Inputs) { must(t, os.WriteFile(in.Changelog, []byte("caf\xe9\n"), 0o644)) }, "E_INPUT_CHANGELOG"},
		"changelog empty":      {func(t *testing.T, in *Inputs) { must(t, os.WriteFile(in.Changelog, []byte("\n- \n"), 0o644)) }, "E_INPUT_CHANGELOG"},
		"changelog line too long": {func(t *testing.T, in *Inputs) {
			must(t, os.WriteFile(in.Changelog, []byte(strings.Repeat("x", 301)), 0o644))
		}, "E_INPUT_CHANGELOG"},
		"catalogue differs": {func(t *testing.T, in *Inputs) { must(t, os.WriteFile(in.Catalog, []byte("{}"), 0o644)) }, "E_INPUT_CATALOG"},
		"no apps":           {func(t *testing.T, in *Inputs) { must(t, os.RemoveAll(in.Apps+"/web")) }, "E_INPUT_MISSING"},
		"bad app": {func(t *testing.T, in *Inputs) {
			must(t, os.WriteFile(in.Apps+"/web/manifest.yml", []byte("app: 1"), 0o644))
		}, "E_APP_MANIFEST"},
		"no URL":             {func(t *testing.T, in *Inputs) { in.BaseURL = "updates.example/x" }, "E_INPUT_URL"},
		"symlink":            {func(t *testing.T, in *Inputs) { must(t, os.Symlink("index.html", in.Frontend+"/x")) }, "E_SYMLINK_FORBIDDEN"},
		"required, left out": {func(t *testing.T, in *Inputs) { in.Require = []string{"files/client.js"} }, "E_MEMBER_MISSING"},
		"two sources": {func(t *testing.T, in *Inputs) {
			must(t, os.Mkdir(in.Frontend+"/aiui", 0o755))
			must(t, os.WriteFile(in.Frontend+"/aiui/index.html", []byte("other"), 0o644))
		}, "E_NAME_DUPLICATE"},
		"index names what is not there": {func(t *testing.T, in *Inputs) {
			must(t, os.WriteFile(in.Frontend+"/index.html", []byte(`<script src=/assets/gone.js>`), 0o644))
		}, "E_ASSET_MISSING"},
		"symlink that leads out": {func(t *testing.T, in *Inputs) {
			in.AllowSymlinks = true
			must(t, os.Symlink("../../catalog.json", in.Frontend+"/x"))
		}, "E_SYMLINK_ESCAPE"},
		"another version there": {func(t *testing.T, in *Inputs) {
			must(t, os.Mkdir(in.Out, 0o755))
			must(t, os.WriteFile(in.Out+"/"+FrontendName("1.2.2"), nil, 0o644))
		}, "E_INPUT_OUT"},
		"several": {func(t *testing.T, in *Inputs) {
			in.Previous, in.BaseURL = "2.0.0", ""
			must(t, os.Remove(in.Changelog))
		}, "E_INPUT_CHANGELOG E_INPUT_URL E_INPUT_VERSION"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			in := testInputs(t, t.TempDir())
			test.spoil(t, &in)
			before := namesIn(t, in.Out)
			r := create(t, in)
			if got := codes(Report{Findings: r.Findings}); got != test.codes || r.OK {
				t.Errorf("codes %s, want %s: %v", got, test.codes, r.Findings)
			}
			if after := namesIn(t, in.Out); after != before {
				t.Errorf("it wrote %s", after)
			}
		})
	}
}

func TestCheckOnlyWritesNothing(t *testing.T) {
	in := testInputs(t, t.TempDir())
	in.CheckOnly = true
	if r := created(t, in); r.Entries == 0 {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(in.Out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is there: %v", err)
	}
	must(t, os.WriteFile(in.Frontend+"/index.html", []byte(`<script src=/assets/gone.js>`), 0o644))
	if r := create(t, in); r.OK || r.Findings[0].Code != AssetMissing {
		t.Errorf("findings %v", r.Findings)
	}
}

// TestInterruptedAtAnyTime: cancelled after each step that looks at the context, a run leaves no manifest and no half file.
func TestInterruptedAtAnyTime(t *testing.T) {
	in := testInputs(t, t.TempDir())
	for n := 0; ; n++ {
		ctx := &countdown{Context: t.Context(), left: n}
		_, err := Create(ctx, in)
		if err == nil {
			if n < 20 {
				t.Errorf("only %d steps look at the context", n)
			}
			return
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("step %d: %v", n, err)
		}
		if got := namesIn(t, in.Out); strings.Contains(got, "partial") || strings.Contains(got, "manifest") {
			t.Fatalf("step %d leaves %s", n, got)
		}
		if n > 20 {
			n += n / 4
		}
		must(t, os.RemoveAll(in.Out))
	}
}

// countdown is cancelled when it was looked at so many times.
type countdown struct {
	context.Context
	mu   sync.Mutex
	left int
}

func (c *countdown) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestAgain: the same version built again replaces its own release and says the same; a manifest of another stays.
func TestAgain(t *testing.T) {
	in := testInputs(t, t.TempDir())
	in.Previous = "1.2.2"
	first := created(t, in)
	before := read(t, first.Manifest)
	in.Previous = ""
	created(t, in)
	if !bytes.Equal(before, read(t, first.Manifest)) {
		t.Error("the manifest differs")
	}
	in.Version = "1.2.4"
	if r := create(t, in); r.OK || !bytes.Equal(before, read(t, first.Manifest)) {
		t.Errorf("findings %v", r.Findings)
	}
}

func TestCompat(t *testing.T) {
	in := testInputs(t, t.TempDir())
	in.BaseURL = "https://git.example/lfg/releases/download/v1.2.3"
	created(t, in)
	in.Version, in.BaseURL, in.Compat, in.Temp = "1.2.4", "", true, t.TempDir()
	r := created(t, in)
	if r.Archive != filepath.Join(in.Temp, FrontendName("1.2.4")) || r.Binary != in.Binary || r.Manifest != filepath.Join(in.Out, "manifest.json") {
		t.Errorf("places %s %s %s", r.Archive, r.Binary, r.Manifest)
	}
	m, _, _, err := LoadManifest(r.Manifest)
	must(t, err)
	if m.Frontend().DownloadURL != "https://git.example/lfg/releases/download/v1.2.4/archipelago-frontend-1.2.4.tar.gz" || m.Backend().CurrentVersion != "1.2.3" {
		t.Errorf("%+v", m.Frontend().DownloadURL)
	}
}

func TestDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	in := testInputs(t, t.TempDir())
	must(t, os.WriteFile(in.Frontend+"/big.bin", []byte(random(3<<20)), 0o644))
	must(t, os.Mkdir(in.Out, 0o755))
	if err := syscall.Mount("none", in.Out, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	defer syscall.Unmount(in.Out, 0)
	if _, err := Create(t.Context(), in); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v", err)
	}
	if got := namesIn(t, in.Out); got != "" {
		t.Errorf("it leaves %s", got)
	}
}
