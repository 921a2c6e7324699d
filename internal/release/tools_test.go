package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shell runs a script in a directory of its own that holds a good tree in dist/, and returns out.tgz.
func shell(t *testing.T, script string) []byte {
	t.Helper()
	work := t.TempDir()
	for _, i := range goodItems() {
		path := filepath.Join(work, "dist", i.name)
		if i.kind == typeDir {
			must(t, os.MkdirAll(path, 0o755))
			continue
		}
		must(t, os.WriteFile(path, []byte(i.data), 0o644))
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", "umask 022\n"+script)
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(work, "out.tgz"))
	must(t, err)
	return data
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func needs(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("needs %s", tool)
	}
}

// today are the rules for archives whose files were made just now.
func today() Rules { return Rules{Limits: DefaultLimits(), Now: time.Now()} }

// owned makes the archive the same whoever runs the test.
const owned = "--owner=root:0 --group=root:0"

// TestIncident4TarballRoot0700 makes the two archives that turned every page of the fleet into a 500, as their script made them: staged
// in a directory of mktemp -d, which is 0700, and packed with it.
func TestIncident4TarballRoot0700(t *testing.T) {
	needs(t, "tar")
	for name, script := range map[string]string{
		"the first": `
			stage=$(mktemp -d)
			cp -r dist/. "$stage/"
			tar ` + owned + ` -czf out.tgz -C "$stage" .
			rm -rf "$stage"`,
		"the second": `
			stage=$(mktemp -d)
			cp -r dist/index.html dist/catalog.json dist/assets dist/aiui "$stage/"
			mkdir -p "$stage/archipelago-runtime/apps"
			cp -r dist/archipelago-runtime/apps/. "$stage/archipelago-runtime/apps/"
			tar ` + owned + ` --sort=name -C "$stage" -cf - . | gzip -9 > out.tgz
			rm -rf "$stage"`,
	} {
		t.Run(name, func(t *testing.T) {
			r := verify(t, today(), shell(t, script))
			if r.OK || r.Errors != 1 || !has(r, RootMode) {
				t.Fatalf("findings %v", r.Findings)
			}
			for _, f := range r.Findings {
				if f.Code == RootMode && f.String() != "E_ROOT_MODE  ./  mode 0700, want 0755" {
					t.Errorf("it says %q", f)
				}
			}
			fixed := strings.Replace(script, "tar --owner", `chmod 0755 "$stage"; tar --owner`, 1)
			if r := verify(t, today(), shell(t, fixed)); !r.OK {
				t.Errorf("the fixed one: %v", r.Findings)
			}
		})
	}
}

func has(r Report, code Code) bool {
	for _, f := range r.Findings {
		if f.Code == code {
			return true
		}
	}
	return false
}

// TestOtherTools: what GNU tar, bsdtar and Python write, good and bad, is judged as what is made by hand.
func TestOtherTools(t *testing.T) {
	gnu := "tar " + owned + " --sort=name "
	bsd := "bsdtar --uid 0 --gid 0 --uname root --gname root --format ustar "
	python := func(lines string) string {
		return `python3 - <<'E'
import tarfile, io, os
def info(name, **k):
    i = tarfile.TarInfo(name)
    i.mtime, i.mode = 1, k.pop("mode", 0o644)
    for key, value in k.items(): setattr(i, key, value)
    return i
def base(i):
    i.uid = i.gid = 0; i.uname = i.gname = ""
    return i
out = tarfile.open("out.tgz", "w:gz", format=tarfile.PAX_FORMAT)
out.add("dist", ".", filter=base)
` + lines + `
out.close()
E`
	}
	tests := []struct{ tool, name, script, codes string }{
		{"tar", "good", gnu + `-czf out.tgz -C dist .`, ""},
		{"tar", "PAX format", gnu + `--format=pax --pax-option=delete=atime,delete=ctime -czf out.tgz -C dist .`, ""},
		{"tar", "v7 format", gnu + `--format=v7 -czf out.tgz -C dist .`, ""},
		{"tar", "hard link", `touch dist/x; ln dist/x dist/y; ` + gnu + `-czf out.tgz -C dist .`, "E_HARDLINK"},
		{"tar", "symlink out", `ln -s ../../../etc/passwd dist/x; ` + gnu + `-czf out.tgz -C dist .`, "E_SYMLINK_ESCAPE E_SYMLINK_FORBIDDEN"},
		{"tar", "named pipe", `mkfifo dist/x; ` + gnu + `-czf out.tgz -C dist .`, "E_TYPE_FORBIDDEN"},
		{"tar", "sparse file", `truncate -s 100M dist/x; echo x >> dist/x; ` + gnu + `--sparse -czf out.tgz -C dist .`, "E_TYPE_FORBIDDEN"},
		{"tar", "sparse file in PAX", `truncate -s 100M dist/x; echo x >> dist/x; ` + gnu + `--format=pax --sparse -czf out.tgz -C dist .`, "E_TYPE_FORBIDDEN"},
		{"tar", "long name", `touch dist/$(printf 'x%.0s' {1..150}); ` + gnu + `-czf out.tgz -C dist .`, "E_TYPE_FORBIDDEN"},
		{"tar", "global header", gnu + `--format=pax --pax-option=globexthdr.name=g,comment=hello -czf out.tgz -C dist .`, "E_PAX_GLOBAL"},
		{"tar", "absolute", gnu + `-P --transform 's,^\./catalog,/catalog,' -czf out.tgz -C dist .`, "E_MEMBER_MISSING E_NAME_ABSOLUTE"},
		{"tar", "upwards", gnu + `-P --transform 's,^\./catalog,../catalog,' -czf out.tgz -C dist .`, "E_MEMBER_MISSING E_NAME_TRAVERSAL"},
		{"tar", "without the root", gnu + `-czf out.tgz -C dist aiui archipelago-runtime assets catalog.json index.html`, "E_ROOT_MISSING E_ROOT_NOT_FIRST"},
		{"tar", "with its directory", gnu + `-czf out.tgz dist`, "E_MEMBER_MISSING E_ROOT_MISSING E_ROOT_NOT_FIRST"},
		{"tar", "appended twice", gnu + `-cf out.tar -C dist .; ` + gnu + `-rf out.tar -C dist ./index.html; gzip -c out.tar > out.tgz`, "E_NAME_DUPLICATE"},
		{"tar", "two archives in one", gnu + `-cf out.tar -C dist .; cat out.tar out.tar | gzip > out.tgz`, "E_TRAILING_DATA"},
		{"tar", "two gzip files in one", gnu + `-czf a.tgz -C dist .; cat a.tgz a.tgz > out.tgz`, "E_GZIP_MULTIMEMBER"},
		{"tar", "setuid and world-writable", `chmod 4777 dist/index.html; ` + gnu + `-czf out.tgz -C dist .`, "E_MODE_SPECIAL E_MODE_WRITABLE"},
		{"tar", "packed by a user", `tar --owner=archi:1000 --group=archi:1000 --sort=name -czf out.tgz -C dist .`, "E_OWNER"},
		{"tar", "bzip2", gnu + `-cf out.tar -C dist .; printf 'BZh91AY&SY' > out.tgz; cat out.tar >> out.tgz`, "E_GZIP_FORMAT"},
		{"bsdtar", "good", bsd + `-czf out.tgz -C dist .`, ""},
		{"bsdtar", "hard link", `touch dist/x; ln dist/x dist/y; ` + bsd + `-czf out.tgz -C dist .`, "E_HARDLINK"},
		{"bsdtar", "named pipe", `mkfifo dist/x; ` + bsd + `-czf out.tgz -C dist .`, "E_TYPE_FORBIDDEN"},
		{"bsdtar", "renamed upwards", bsd + `-P -s ',^\./catalog,../catalog,' -czf out.tgz -C dist .`, "E_MEMBER_MISSING E_NAME_TRAVERSAL"},
		{"bsdtar", "symlink in a circle", `ln -s y dist/x; ln -s x dist/y; ` + bsd + `-czf out.tgz -C dist .`, "E_SYMLINK_DANGLING E_SYMLINK_FORBIDDEN"},
		{"python3", "good", python(``), ""},
		{"python3", "device", python(`out.addfile(info("./zero", type=tarfile.CHRTYPE, devmajor=1, devminor=5))`), "E_TYPE_FORBIDDEN"},
		{"python3", "attribute", python(`out.addfile(info("./x", pax_headers={"SCHILY.xattr.user.a": "b"}))`), "E_XATTR"},
		{"python3", "not UTF-8", python(`out.addfile(info("./x\udcff"))`), "E_NAME_INVALID"},
		{"python3", "link through a link", python(`out.addfile(info("./x", type=tarfile.SYMTYPE, linkname="/")); out.addfile(info("./x/etc/passwd"))`), "E_PARENT_MISSING E_SYMLINK_ESCAPE E_SYMLINK_FORBIDDEN"},
		{"python3", "normal forms", python(`out.addfile(info("./é")); out.addfile(info("./e\u0301"))`), "E_NAME_NFC"},
		{"python3", "GNU header", python(`out.close(); out = tarfile.open("out.tgz", "w:gz", format=tarfile.GNU_FORMAT); out.add("dist", ".", filter=base); out.addfile(info("./" + "x" * 200))`), "E_TYPE_FORBIDDEN"},
	}
	for _, test := range tests {
		t.Run(test.tool+" "+test.name, func(t *testing.T) {
			needs(t, test.tool)
			r := verify(t, today(), shell(t, test.script))
			// The order is the tool's, or of the directory.
			if got := strings.TrimSpace(strings.ReplaceAll(codes(r), "W_ORDER", "")); got != test.codes {
				t.Errorf("codes %s, want %s", got, test.codes)
				for _, f := range r.Findings[:min(len(r.Findings), 8)] {
					t.Log(f)
				}
			}
		})
	}
}
