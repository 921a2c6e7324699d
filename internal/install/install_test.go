package install

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/apps"
)

// source is a small installation; what archy carries itself is the real thing.
func source() Source {
	return Source{
		Binary:      []byte("the program"),
		Pages:       map[string][]byte{"archy.1": []byte(".TH ARCHY 1\n")},
		Completions: map[string][]byte{"bash": []byte("b"), "zsh": []byte("z"), "fish": []byte("f")},
	}
}

// open opens a directory for whoever runs the tests.
func open(t *testing.T, dir string) *Root {
	t.Helper()
	r, err := Open(dir, os.Getuid(), os.Getgid())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	r.sync = func(*os.File) error { return nil } // thousands of files, and no power cut
	return r
}

func install(t *testing.T, dir string) Result {
	t.Helper()
	res, err := open(t, dir).Install(source())
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func check(t *testing.T, dir string) []string {
	t.Helper()
	diffs, err := open(t, dir).Check(source())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, d := range diffs {
		lines = append(lines, d.String())
	}
	return lines
}

// tempDir lies in memory where there is such a place: the tests make thousands of files.
func tempDir(t *testing.T) string {
	t.Helper()
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		if dir, err := os.MkdirTemp("/dev/shm", "archy-install-"); err == nil {
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			return dir
		}
	}
	return t.TempDir()
}

// installed is a directory with a whole installation.
func installed(t *testing.T) string {
	t.Helper()
	dir := tempDir(t)
	install(t, dir)
	return dir
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// snapshot describes everything below dir: kind, mode, target, content.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			text += " " + string(data)
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(file)
			if err != nil {
				return err
			}
			text += " " + to
		}
		all[strings.TrimPrefix(file, dir)] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// landing is the table of an installation, written down a second time.
var landing = map[string]string{
	"/usr/local/bin/archy":                                                    "0755",
	"/opt/archipelago/scripts/first-boot-containers.sh":                       "0755",
	"/opt/archipelago/scripts/reconcile-containers.sh":                        "0755",
	"/opt/archipelago/scripts/container-specs.sh":                             "0644",
	"/opt/archipelago/scripts/image-versions.sh":                              "0644",
	"/opt/archipelago/image-versions.sh":                                      "0644",
	"/etc/systemd/system/archy-first-boot.service":                            "0644",
	"/etc/systemd/system/archy-reconcile.service":                             "0644",
	"/etc/systemd/system/archy-reconcile.timer":                               "0644",
	"/etc/systemd/system/archy-update-verify.service":                         "0644",
	"/etc/systemd/system/archy-update-verify.path":                            "0644",
	"/etc/systemd/system/archy-doctor.service":                                "0644",
	"/etc/systemd/system/archy-doctor.timer":                                  "0644",
	"/etc/systemd/system/user@1000.service.d/10-archipelago.conf":             "0644",
	"/etc/systemd/journald.conf.d/50-archipelago.conf":                        "0644",
	"/etc/tmpfiles.d/archipelago.conf":                                        "0644",
	"/etc/archipelago/archy.yaml":                                             "0644",
	"/usr/share/man/man1/archy.1":                                             "0644",
	"/usr/share/bash-completion/completions/archy":                            "0644",
	"/usr/share/zsh/vendor-completions/_archy":                                "0644",
	"/usr/share/fish/vendor_completions.d/archy.fish":                         "0644",
	"/etc/systemd/system/multi-user.target.wants/archy-first-boot.service":    "-> /etc/systemd/system/archy-first-boot.service",
	"/etc/systemd/system/multi-user.target.wants/archy-update-verify.service": "-> /etc/systemd/system/archy-update-verify.service",
	"/etc/systemd/system/paths.target.wants/archy-update-verify.path":         "-> /etc/systemd/system/archy-update-verify.path",
	"/etc/systemd/system/timers.target.wants/archy-reconcile.timer":           "-> /etc/systemd/system/archy-reconcile.timer",
	"/etc/systemd/system/timers.target.wants/archy-doctor.timer":              "-> /etc/systemd/system/archy-doctor.timer",
}

// wholeLanding adds the manifests and the build contexts.
func wholeLanding(t *testing.T) map[string]string {
	t.Helper()
	all := maps.Clone(landing)
	if len(apps.IDs()) != 33 {
		t.Fatalf("%d shipped apps, want 33", len(apps.IDs()))
	}
	for _, id := range apps.IDs() {
		all["/opt/archipelago/apps/"+id+"/manifest.yml"] = "0644"
	}
	for _, page := range []string{"bitcoin-ui", "lnd-ui", "electrs-ui"} {
		for _, file := range []string{"Dockerfile", "html/app.js", "html/icon.svg", "html/index.html", "html/page.js", "html/style.css", "nginx/default.conf", "nginx/without-ipv6.sh"} {
			all["/opt/archipelago/docker/"+page+"/"+file] = "0644"
		}
	}
	return all
}

// TestEverythingLands: exactly the files and links of the table, whatever the umask, in directories that all may read.
func TestEverythingLands(t *testing.T) {
	for _, umask := range []int{0o077, 0o022, 0} {
		t.Run(fmt.Sprintf("umask%03o", umask), func(t *testing.T) {
			dir := tempDir(t)
			old := syscall.Umask(umask)
			install(t, dir)
			syscall.Umask(old)
			found := map[string]string{}
			for name, text := range snapshot(t, dir) {
				mode, rest, _ := strings.Cut(text, " ")
				switch mode[0] {
				case 'd':
					if mode != "drwxr-xr-x" {
						t.Errorf("directory %s has mode %s", name, mode)
					}
				case 'L':
					found[name] = "-> " + rest
				default:
					found[name] = map[string]string{"-rwxr-xr-x": "0755", "-rw-r--r--": "0644"}[mode]
				}
			}
			want := wholeLanding(t)
			for _, name := range slices.Sorted(maps.Keys(want)) {
				if found[name] != want[name] {
					t.Errorf("%s: %q, want %q", name, found[name], want[name])
				}
			}
			for name := range found {
				if _, ok := want[name]; !ok {
					t.Errorf("%s is not in the table", name)
				}
			}
		})
	}
}

// TestSecondRunTouchesNothing: not even a file with the same content in its place.
func TestSecondRunTouchesNothing(t *testing.T) {
	dir := installed(t)
	before := inodes(t, dir)
	if res := install(t, dir); len(res.Changed) > 0 || len(res.Kept) > 0 {
		t.Errorf("the second run changed %v, kept %v", res.Changed, res.Kept)
	}
	if after := inodes(t, dir); !maps.Equal(before, after) {
		t.Error("files were written again")
	}
}

func inodes(t *testing.T, dir string) map[string]uint64 {
	t.Helper()
	all := map[string]uint64{}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			all[file] = info.Sys().(*syscall.Stat_t).Ino
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// tamperings are what may happen to a file or link, with what check says then.
var tamperings = map[string]struct {
	do   func(file string) error
	says string
}{
	"gone":       {os.Remove, "missing"},
	"empty":      {replaced(""), "content differs"},
	"one byte":   {flipped, "content differs"},
	"private":    {chmod(0o600), "mode 0600, want"},
	"writable":   {chmod(0o666), "mode 0666, want"},
	"set-id":     {chmod(0o755 | fs.ModeSetuid), "mode 4755, want"},
	"linked":     {linked, "is a link, want a file"},
	"elsewhere":  {relinked, "leads to elsewhere, want /etc/systemd/system/"},
	"not a link": {replaced("x"), "is a file, want a link"},
}

func replaced(text string) func(string) error {
	return func(file string) error {
		mode := fs.FileMode(0o644)
		if info, err := os.Lstat(file); err == nil && info.Mode().IsRegular() {
			mode = info.Mode()
		}
		return errors.Join(os.Remove(file), os.WriteFile(file, []byte(text), mode), os.Chmod(file, mode))
	}
}

func flipped(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text[len(text)-1] ^= 1
	return os.WriteFile(file, text, 0)
}

func chmod(mode fs.FileMode) func(string) error {
	return func(file string) error { return os.Chmod(file, mode) }
}

func linked(file string) error {
	return errors.Join(os.Rename(file, file+".moved"), os.Symlink(filepath.Base(file)+".moved", file))
}

func relinked(file string) error { return errors.Join(os.Remove(file), os.Symlink("elsewhere", file)) }

// TestCheckFindsTampering does each tampering to everything that can suffer it; install mends it all.
func TestCheckFindsTampering(t *testing.T) {
	dir := installed(t)
	names := slices.Sorted(maps.Keys(wholeLanding(t)))
	for how, tamper := range tamperings {
		var hit []string
		for _, name := range names {
			if !suffers(name, how) {
				continue
			}
			hit = append(hit, name)
			if err := tamper.do(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		found := check(t, dir)
		for _, name := range hit {
			if !slices.ContainsFunc(found, func(line string) bool { return strings.HasPrefix(line, name+": "+tamper.says) }) {
				t.Errorf("%s, %s: check is silent", name, how)
			}
		}
		if len(hit) == 0 {
			t.Errorf("nothing suffers %q", how)
		}
		install(t, dir)
		if left := check(t, dir); len(left) > 0 {
			t.Errorf("%s: after install %q", how, left)
		}
	}
}

// suffers tells whether a tampering makes sense: links are not files, and the content of the configuration is the owner's.
func suffers(name, how string) bool {
	switch how {
	case "gone":
		return true
	case "elsewhere", "not a link":
		return strings.HasPrefix(landing[name], "->")
	case "empty", "one byte", "linked":
		return !strings.HasPrefix(landing[name], "->") && name != "/etc/archipelago/archy.yaml"
	}
	return !strings.HasPrefix(landing[name], "->")
}

// TestDirectoriesOfOursAreMended, incident 4: a private directory above the files makes all of them unreadable.
func TestDirectoriesOfOursAreMended(t *testing.T) {
	dir := installed(t)
	for _, name := range []string{"/opt/archipelago", "/opt/archipelago/apps/lnd", "/opt/archipelago/docker/lnd-ui/html", "/etc/archipelago"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if got, want := check(t, dir), []string{name + ": mode 0700, want 0755"}; !slices.Equal(got, want) {
			t.Errorf("check says %q, want %q", got, want)
		}
		if res := install(t, dir); len(res.Kept) > 0 || len(check(t, dir)) > 0 {
			t.Errorf("%s: kept %v, left %q", name, res.Kept, check(t, dir))
		}
	}
}

// TestDirectoriesOfOthersStay: /usr/local/bin of a machine may have a group and a mode of its own.
func TestDirectoriesOfOthersStay(t *testing.T) {
	dir := tempDir(t)
	bin := filepath.Join(dir, "usr/local/bin")
	if err := errors.Join(os.MkdirAll(bin, 0o755), os.Chmod(bin, 0o775|fs.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	install(t, dir)
	info, err := os.Stat(bin)
	if err != nil || info.Mode() != fs.ModeDir|fs.ModeSetgid|0o775 {
		t.Errorf("mode %v (%v)", info.Mode(), err)
	}
	if left := check(t, dir); len(left) > 0 {
		t.Errorf("check says %q", left)
	}
}

// TestOwnerIsFound: a file that belongs to somebody else could be changed by him.
func TestOwnerIsFound(t *testing.T) {
	dir := installed(t)
	r, err := Open(dir, os.Getuid()+1, os.Getgid())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	diffs, err := r.Check(source())
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("/usr/local/bin/archy: owner %d:%d, want %d:%d", os.Getuid(), os.Getgid(), os.Getuid()+1, os.Getgid())
	if !slices.ContainsFunc(diffs, func(d Difference) bool { return d.String() == want }) {
		t.Errorf("no %q in %v", want, diffs)
	}
}

// TestConfigurationIsTheOwners: what stands in it survives, who may write it is archy's business.
func TestConfigurationIsTheOwners(t *testing.T) {
	dir := tempDir(t)
	write(t, dir, "etc/archipelago/archy.yaml", "bitcoin: {prune: 0}\n")
	if err := os.Chmod(filepath.Join(dir, "etc/archipelago/archy.yaml"), 0o666); err != nil {
		t.Fatal(err)
	}
	install(t, dir)
	if got := read(t, dir, "etc/archipelago/archy.yaml"); got != "bitcoin: {prune: 0}\n" {
		t.Errorf("the configuration is %q", got)
	}
	if left := check(t, dir); len(left) > 0 {
		t.Errorf("check says %q", left)
	}
}

// TestOldScriptsGiveWay: the shims take the place of the scripts that first boot and reconcile were.
// local-manifest-survives-ota: what the operator has written is not in the way of an update, and stays as it is.
func TestIncident24LocalManifestSurvivesOta(t *testing.T) {
	dir := tempDir(t)
	install(t, dir)
	const local = "etc/archipelago/apps/mine/manifest.yml"
	write(t, dir, local, "app: mine\n")
	file := filepath.Join(dir, local)
	if err := errors.Join(os.Chmod(file, 0o640), os.Chtimes(file, time.Unix(1, 0), time.Unix(1, 0))); err != nil {
		t.Fatal(err)
	}
	// The payload of the last release is replaced as a whole.
	if err := os.RemoveAll(filepath.Join(dir, "opt/archipelago")); err != nil {
		t.Fatal(err)
	}
	install(t, dir)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o640 || !info.ModTime().Equal(time.Unix(1, 0)) || read(t, dir, local) != "app: mine\n" {
		t.Errorf("the operator's manifest is another: %v %v", info, err)
	}
	if left := check(t, dir); len(left) > 0 {
		t.Errorf("check says %q", left)
	}
}

func TestOldScriptsGiveWay(t *testing.T) {
	dir := tempDir(t)
	write(t, dir, "opt/archipelago/scripts/reconcile-containers.sh", "#!/bin/bash\npodman run old\n")
	install(t, dir)
	if got := read(t, dir, "opt/archipelago/scripts/reconcile-containers.sh"); !strings.Contains(got, `exec /usr/local/bin/archy reconcile "$@"`) {
		t.Errorf("the shim is %q", got)
	}
}

// TestOldUnitsGo with what enables them; other units that call a shim stay.
func TestOldUnitsGo(t *testing.T) {
	dir := tempDir(t)
	units := filepath.Join(dir, "etc/systemd/system")
	write(t, dir, "etc/systemd/system/archipelago-reconcile.service", "[Service]\n")
	write(t, dir, "etc/systemd/system/archipelago-reconcile.timer", "[Timer]\n")
	write(t, dir, "usr/lib/systemd/system/archipelago-reconcile.service", "[Service]\n")
	write(t, dir, "etc/systemd/system/archipelago-first-boot.service", "[Service]\n")
	for _, wants := range []string{"timers.target.wants", "multi-user.target.requires"} {
		if err := errors.Join(os.MkdirAll(filepath.Join(units, wants), 0o755),
			os.Symlink("/etc/systemd/system/archipelago-reconcile.timer", filepath.Join(units, wants, "archipelago-reconcile.timer"))); err != nil {
			t.Fatal(err)
		}
	}
	if got := check(t, dir); !slices.Contains(got, "/etc/systemd/system/timers.target.wants/archipelago-reconcile.timer: belongs to the scripts before archy") {
		t.Errorf("check says %q", got)
	}
	install(t, dir)
	for name := range snapshot(t, dir) {
		if strings.Contains(name, "archipelago-reconcile") {
			t.Errorf("%s is still there", name)
		}
	}
	read(t, dir, "etc/systemd/system/archipelago-first-boot.service")
	if left := check(t, dir); len(left) > 0 {
		t.Errorf("check says %q", left)
	}
}

// TestForeignContextIsKept: somebody's page is put beside, again and again under a new name.
func TestForeignContextIsKept(t *testing.T) {
	dir := tempDir(t)
	context := "opt/archipelago/docker/lnd-ui"
	write(t, dir, context+"/Dockerfile", "FROM scratch\n")
	write(t, dir, context+"/deep/page", "mine\n")
	if res := install(t, dir); !slices.Equal(res.Kept, []string{"/" + context + ".pre-archy"}) {
		t.Errorf("kept %v", res.Kept)
	}
	if got := read(t, dir, context+".pre-archy/deep/page"); got != "mine\n" {
		t.Errorf("what was kept is %q", got)
	}
	write(t, dir, context+"/html/more.html", "more\n")
	if res := install(t, dir); !slices.Equal(res.Kept, []string{"/" + context + ".pre-archy-2"}) {
		t.Errorf("kept %v the second time", res.Kept)
	}
	if got := read(t, dir, context+".pre-archy/deep/page"); got != "mine\n" {
		t.Errorf("what was kept first is %q now", got)
	}
	if left := check(t, dir); len(left) > 0 {
		t.Errorf("check says %q", left)
	}
}

// TestLinksLeadNowhereOutside: whatever part of a path is a link that leaves the root, nothing is written, inside or outside.
func TestLinksLeadNowhereOutside(t *testing.T) {
	for _, part := range []string{"usr", "usr/local/bin", "opt", "opt/archipelago", "opt/archipelago/apps/lnd", "opt/archipelago/docker", "etc/systemd/system", "etc/systemd/system/timers.target.wants", "etc/archipelago"} {
		for _, absolute := range []bool{true, false} {
			outside, dir := tempDir(t), tempDir(t)
			to := outside
			if !absolute {
				rel, err := filepath.Rel(filepath.Dir(filepath.Join(dir, part)), outside)
				if err != nil {
					t.Fatal(err)
				}
				to = rel
			}
			link := filepath.Join(dir, part)
			if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(to, link)); err != nil {
				t.Fatal(err)
			}
			before := snapshot(t, dir)
			_, err := open(t, dir).Install(source())
			var leads *OutsideError
			if !errors.As(err, &leads) || leads.Path != part && !strings.HasPrefix(leads.Path, part+"/") {
				t.Errorf("%s -> %s: error %v", part, to, err)
			}
			if got := snapshot(t, outside); len(got) > 0 {
				t.Errorf("%s -> %s: written outside: %v", part, to, slices.Sorted(maps.Keys(got)))
			}
			if after := snapshot(t, dir); !maps.Equal(before, after) {
				t.Errorf("%s -> %s: written inside", part, to)
			}
		}
	}
}

// TestLinkInPlaceOfFileIsReplaced, not written through.
func TestLinkInPlaceOfFileIsReplaced(t *testing.T) {
	dir, outside := tempDir(t), tempDir(t)
	write(t, outside, "precious", "mine\n")
	target := filepath.Join(dir, "usr/local/bin/archy")
	if err := errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), os.Symlink(filepath.Join(outside, "precious"), target)); err != nil {
		t.Fatal(err)
	}
	install(t, dir)
	if got := read(t, outside, "precious"); got != "mine\n" {
		t.Errorf("the file outside is %q", got)
	}
	if got := read(t, dir, "usr/local/bin/archy"); got != "the program" {
		t.Errorf("the program is %q", got)
	}
}

// TestInsideLinksWork: merged directories of a Debian are links within the root.
func TestInsideLinksWork(t *testing.T) {
	dir := tempDir(t)
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "srv/opt"), 0o755), os.Symlink("srv/opt", filepath.Join(dir, "opt"))); err != nil {
		t.Fatal(err)
	}
	install(t, dir)
	read(t, dir, "srv/opt/archipelago/image-versions.sh")
	if left := check(t, dir); len(left) > 0 {
		t.Errorf("check says %q", left)
	}
}

// TestDirectoryIsNeverRemoved: one in the place of a file is for a person to look at.
func TestDirectoryIsNeverRemoved(t *testing.T) {
	dir := tempDir(t)
	write(t, dir, "opt/archipelago/image-versions.sh/precious", "mine\n")
	before := snapshot(t, dir)
	_, err := open(t, dir).Install(source())
	if err == nil || err.Error() != "/opt/archipelago/image-versions.sh is a directory, not a file" {
		t.Errorf("error %v", err)
	}
	if after := snapshot(t, dir); !maps.Equal(before, after) {
		t.Error("something was written")
	}
}

// TestFileAboveIsNamed: a file where a directory must be.
func TestFileAboveIsNamed(t *testing.T) {
	dir := tempDir(t)
	write(t, dir, "opt", "")
	_, err := open(t, dir).Install(source())
	if err == nil || err.Error() != "/opt is a file, not a directory" {
		t.Errorf("error %v", err)
	}
}

var errDied = errors.New("died")

// TestInterruptedRunIsFinished: a run that ends between two changes (every seventh place is tried) is finished by the next, to the same bytes as one that
// was never interrupted, and nothing that was there is lost.
func TestInterruptedRunIsFinished(t *testing.T) {
	before := func(dir string) {
		write(t, dir, "opt/archipelago/docker/lnd-ui/Dockerfile", "FROM scratch\n")
		write(t, dir, "etc/systemd/system/archipelago-reconcile.timer", "[Timer]\n")
	}
	whole := tempDir(t)
	before(whole)
	install(t, whole)
	want := snapshot(t, whole)
	steps := 0
	for {
		dir := tempDir(t)
		before(dir)
		if !diesAt(t, dir, steps) {
			break
		}
		install(t, dir)
		if got := snapshot(t, dir); !maps.Equal(got, want) {
			t.Fatalf("after an end at step %d: %v", steps, differing(got, want))
		}
		steps += 7
	}
	if steps < 100 {
		t.Errorf("only %d steps were tried", steps)
	}
}

// diesAt runs an installation that ends at a step, and tells whether it got there.
func diesAt(t *testing.T, dir string, step int) (died bool) {
	t.Helper()
	r := open(t, dir)
	n := 0
	r.between = func() {
		if n == step {
			panic(errDied)
		}
		n++
	}
	defer func() {
		if p := recover(); p != nil && p != errDied {
			panic(p)
		} else {
			died = p != nil
		}
	}()
	if _, err := r.Install(source()); err != nil {
		t.Fatal(err)
	}
	return false
}

func differing(a, b map[string]string) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if a[name] != b[name] {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name+" is missing")
		}
	}
	return names
}

// TestLeftoversAreFound: what an interrupted run left is a difference even when everything else is right.
func TestLeftoversAreFound(t *testing.T) {
	dir := installed(t)
	write(t, dir, "usr/local/bin/.archy.archy-new", "half")
	write(t, dir, "opt/archipelago/docker/.lnd-ui.archy-new/Dockerfile", "half")
	want := []string{
		"/usr/local/bin/.archy.archy-new: left by an interrupted installation",
		"/opt/archipelago/docker/.lnd-ui.archy-new: left by an interrupted installation",
	}
	if got := check(t, dir); !slices.Equal(got, want) {
		t.Errorf("check says %q, want %q", got, want)
	}
	if res := install(t, dir); len(res.Kept) > 0 {
		t.Errorf("kept %v", res.Kept)
	}
	if left := check(t, dir); len(left) > 0 {
		t.Errorf("check says %q", left)
	}
}

// TestTwoAtOnce: the second is refused.
func TestTwoAtOnce(t *testing.T) {
	dir := tempDir(t)
	first := open(t, dir)
	var second error
	first.between = func() { _, second = open(t, dir).Install(source()) }
	if _, err := first.Install(source()); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(second, ErrBusy) {
		t.Errorf("the second says %v", second)
	}
	install(t, dir) // the lock went with the run
}

// TestPagesOfUnits: a unit names the page of the command that it runs.
func TestPagesOfUnits(t *testing.T) {
	units, err := distributed("systemd")(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range units {
		command, ok := field(units[strings.TrimSuffix(strings.TrimSuffix(name, ".timer"), ".path")+".service"], text, "ExecStart=/usr/local/bin/archy ")
		if !ok {
			continue
		}
		words := []string{"archy"}
		for _, word := range strings.Fields(command) {
			if strings.HasPrefix(word, "-") {
				break
			}
			words = append(words, word)
		}
		if !bytes.Contains(text, []byte("\nDocumentation=man:"+strings.Join(words, "-")+"(1)\n")) {
			t.Errorf("%s runs %v and names another page", name, words)
		}
	}
}

// field is the value of a line of the first text that has it.
func field(a, b []byte, key string) (string, bool) {
	for _, text := range [][]byte{b, a} {
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), key); ok {
				return value, true
			}
		}
	}
	return "", false
}

// TestDocumentationNamesEverything that lands: docs/installation.md is what people look it up in.
func TestDocumentationNamesEverything(t *testing.T) {
	text := read(t, "../../docs", "installation.md")
	for _, r := range contract {
		if r.dir != "" && !strings.Contains(text, "`/"+r.dir) {
			t.Errorf("docs/installation.md does not name /%s", r.dir)
		}
	}
}
