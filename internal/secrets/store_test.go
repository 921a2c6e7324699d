package secrets

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sys/unix"
)

// TestMain lets the test binary be another archy: ARCHY_TEST_DO names what it does in the directory given.
func TestMain(m *testing.M) {
	if do := os.Getenv("ARCHY_TEST_DO"); do != "" {
		os.Exit(otherProcess(do, os.Getenv("ARCHY_TEST_DIR")))
	}
	os.Exit(m.Run())
}

func otherProcess(do, dir string) int {
	s := storeAt(dir)
	var err error
	switch do {
	case "generate":
		var v Value
		v, created, e := s.Generate("shared", Hex16)
		fmt.Println(created, v.Reveal())
		err = e
	case "rotate for ever":
		s.Now = nil
		for i := 0; err == nil; i++ {
			at := time.Unix(int64(i), rand.Int64N(1e9)).Add(time.Duration(os.Getpid()) * time.Hour)
			s.Now = func() time.Time { return at }
			_, _, err = s.Rotate("fedimint-gateway-hash", Bcrypt, true)
		}
	case "disk full":
		signal.Ignore(syscall.SIGXFSZ)
		if err = unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 20, Max: 20}); err == nil {
			_, _, err = s.Rotate("fmcd-password", Hex16, true)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func startOther(t *testing.T, do, dir string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "ARCHY_TEST_DO="+do, "ARCHY_TEST_DIR="+dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, &out
}

func storeAt(dir string) *Store {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return &Store{Dir: dir, UID: os.Getuid(), GID: os.Getgid(), Now: func() time.Time { return at }}
}

func newStore(t *testing.T) *Store {
	t.Helper()
	s := storeAt(filepath.Join(t.TempDir(), "secrets"))
	if err := s.Init(); err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *Store, name, text string) {
	t.Helper()
	if err := os.WriteFile(s.Path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, s *Store, name string) string {
	t.Helper()
	b, err := os.ReadFile(s.Path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func files(t *testing.T, s *Store) []string {
	t.Helper()
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestGenerateKinds(t *testing.T) {
	for kind, pattern := range map[Kind]string{Hex16: `^[0-9a-f]{32}$`, Hex32: `^[0-9a-f]{64}$`, Base64: `^[A-Za-z0-9+/]{43}=$`,
		Bcrypt: `^\$2[aby]\$10\$.{53}$`} {
		t.Run(string(kind), func(t *testing.T) {
			for _, umask := range []int{0o022, 0o002, 0o777} {
				old := syscall.Umask(umask)
				s := newStore(t)
				v, created, err := s.Generate("some.name-1", kind)
				syscall.Umask(old)
				if err != nil || !created || !regexp.MustCompile(pattern).MatchString(v.Reveal()) {
					t.Fatalf("created %v, %v, text does not match %s", created, err, pattern)
				}
				if content(t, s, "some.name-1") != v.Reveal() {
					t.Error("the file holds more than the value")
				}
				if found := s.Check([]Wanted{{Name: "some.name-1", Kind: kind}}); len(found) > 0 {
					t.Errorf("a new secret has findings: %v", found)
				}
				again, created, err := s.Generate("some.name-1", kind)
				if err != nil || created || !again.Equal(v) {
					t.Errorf("the second run: created %v, %v, equal %v", created, err, again.Equal(v))
				}
			}
		})
	}
}

func TestGenerateUsesItsRandomSource(t *testing.T) {
	s := newStore(t)
	s.Rand = bytes.NewReader(bytes.Repeat([]byte{0xcd}, 16))
	v, _, err := s.Generate("a", Hex16)
	if err != nil || v.Reveal() != strings.Repeat("cd", 16) {
		t.Errorf("%s, %v", v.Reveal(), err)
	}
	if _, _, err := s.Generate("b", Hex16); err == nil || slices.Contains(files(t, s), "b") {
		t.Errorf("a secret without random bytes: %v, files %q", err, files(t, s))
	}
}

func TestGenerateBcryptFitsItsPlainText(t *testing.T) {
	s := newStore(t)
	hash, _, err := s.Generate("filebrowser-admin-hash", Bcrypt)
	if err != nil {
		t.Fatal(err)
	}
	plain := content(t, s, "filebrowser-admin-hash.pw")
	if len(plain) != 32 || bcrypt.CompareHashAndPassword([]byte(hash.Reveal()), []byte(plain)) != nil {
		t.Error("the password that the operator is shown does not open the app")
	}
}

// A run killed after the plain text was written is completed with that plain text.
func TestGenerateCompletesKilledRun(t *testing.T) {
	s := newStore(t)
	put(t, s, "h.pw", "chosen-by-a-killed-run")
	put(t, s, tempPrefix+"123", "half")
	hash, created, err := s.Generate("h", Bcrypt)
	if err != nil || !created || !hashMatches(hash, New("chosen-by-a-killed-run")) {
		t.Errorf("created %v, %v", created, err)
	}
	if got := files(t, s); !slices.Equal(got, []string{"h", "h.pw"}) {
		t.Errorf("files %q", got)
	}
}

func TestGenerateKeepsHashWithoutPlainText(t *testing.T) {
	s := newStore(t)
	put(t, s, "h", "$2a$10$the-operators-own-hash")
	v, created, err := s.Generate("h", Bcrypt)
	if err != nil || created || v.Reveal() != "$2a$10$the-operators-own-hash" || len(files(t, s)) != 1 {
		t.Errorf("created %v, %v, files %q", created, err, files(t, s))
	}
}

func TestGenerateReplacesOnlyEmptyFiles(t *testing.T) {
	for _, text := range []string{"", "\n", "\r\n\r\n"} {
		s := newStore(t)
		put(t, s, "a", text)
		if v, created, err := s.Generate("a", Hex16); err != nil || !created || len(content(t, s, "a")) != 32 || v.Missing() {
			t.Errorf("%q counts as missing: created %v, %v", text, created, err)
		}
	}
	s := newStore(t)
	put(t, s, "a", " operator's\n")
	if v, created, err := s.Generate("a", Hex16); err != nil || created || v.Reveal() != " operator's" || content(t, s, "a") != " operator's\n" {
		t.Errorf("created %v, %v", created, err)
	}
}

func TestGenerateLeavesBadStatesAlone(t *testing.T) {
	tests := map[string]struct {
		make func(path string) error
		want Code
	}{
		"directory":  {func(p string) error { return os.Mkdir(p, 0o700) }, NotRegular},
		"symlink":    {func(p string) error { return os.Symlink("/etc/hostname", p) }, Symlink},
		"broken":     {func(p string) error { return os.Symlink("nowhere", p) }, Symlink},
		"pipe":       {func(p string) error { return syscall.Mkfifo(p, 0o600) }, NotRegular},
		"socket":     {func(p string) error { return unix.Mknod(p, unix.S_IFSOCK|0o600, 0) }, NotRegular},
		"too large":  {func(p string) error { return os.WriteFile(p, make([]byte, MaxSize+1), 0o600) }, TooLarge},
		"just fits":  {func(p string) error { return os.WriteFile(p, bytes.Repeat([]byte("x"), MaxSize), 0o600) }, ""},
		"whitespace": {func(p string) error { return os.WriteFile(p, []byte(" "), 0o600) }, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			if err := tt.make(s.Path("a")); err != nil {
				t.Skipf("cannot be made here: %v", err)
			}
			before, _ := os.Lstat(s.Path("a"))
			_, created, err := s.Generate("a", Hex16)
			after, _ := os.Lstat(s.Path("a"))
			if created || !os.SameFile(before, after) {
				t.Fatal("it was replaced")
			}
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, Finding{Code: tt.want}) || IsMissing(err) || !strings.Contains(err.Error(), s.Path("a")) {
				t.Errorf("error %v, want code %s and the path", err, tt.want)
			}
			if found := s.Check(nil); len(found) != 1 || found[0].Code != tt.want || found[0].Repair == "" {
				t.Errorf("check says %+v", found)
			}
		})
	}
}

func TestGenerateRefusesNamesAndKinds(t *testing.T) {
	s := newStore(t)
	for _, name := range []string{"", ".", "..", "../x", "a/b", "/etc/x", ".hidden", "-x", "a b", "a\nb", "a\x00", "x.pw", "x.bak-1",
		strings.Repeat("x", 201)} {
		if _, _, err := s.Generate(name, Hex16); err == nil {
			t.Errorf("name %q is accepted", name)
		}
	}
	for _, kind := range []Kind{Text, Words, "", "md5"} {
		if _, _, err := s.Generate("a", kind); err == nil || !strings.Contains(err.Error(), "a") {
			t.Errorf("kind %q: %v", kind, err)
		}
	}
	if got := files(t, s); len(got) > 0 {
		t.Errorf("files %q", got)
	}
	if _, err := s.Read("../secrets/a"); !errors.Is(err, Finding{Code: BadName}) {
		t.Errorf("read outside of the directory: %v", err)
	}
}

// An empty mount point has no secrets directory; making one there would hide the real one.
func TestMissingDirectoryIsNotMade(t *testing.T) {
	s := storeAt(filepath.Join(t.TempDir(), "unmounted", "secrets"))
	if _, _, err := s.Generate("a", Hex16); !errors.Is(err, Finding{Code: DirMissing}) || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("generate: %v", err)
	}
	if err := s.Init(); err == nil {
		t.Error("a parent was made")
	}
	if _, err := s.Read("a"); !errors.Is(err, Finding{Code: DirMissing}) {
		t.Errorf("read: %v", err)
	}
	if _, err := s.List(nil); !errors.Is(err, Finding{Code: DirMissing}) {
		t.Errorf("list: %v", err)
	}
	if found := s.Check([]Wanted{{Name: "a", Kind: Hex16}}); len(found) != 1 || found[0].Code != DirMissing {
		t.Errorf("check: %+v", found)
	}
}

func TestDirectoryThatIsNone(t *testing.T) {
	for name, make := range map[string]func(string) error{
		"file": func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"link": func(p string) error { return os.Symlink(t.TempDir(), p) },
	} {
		s := storeAt(filepath.Join(t.TempDir(), "secrets"))
		if err := make(s.Dir); err != nil {
			t.Fatal(err)
		}
		if err := s.Init(); !errors.Is(err, Finding{Code: DirNotDir}) {
			t.Errorf("%s: init %v", name, err)
		}
		if _, _, err := s.Generate("a", Hex16); err == nil {
			t.Errorf("%s: a secret was made", name)
		}
		if found := s.Check(nil); len(found) != 1 || found[0].Code != DirNotDir {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

func TestReadTrims(t *testing.T) {
	s := newStore(t)
	for text, want := range map[string]string{"x": "x", "x\n": "x", "x\r\n": "x", "\nx\n\n": "x", " x ": " x ", "a\nb\n": "a\nb"} {
		put(t, s, "a", text)
		if v, err := s.Read("a"); err != nil || v.Reveal() != want {
			t.Errorf("%q: %q, %v", text, v.Reveal(), err)
		}
	}
	put(t, s, "a", "\n")
	if _, err := s.Read("a"); !IsMissing(err) || !errors.Is(err, Finding{Code: Empty}) {
		t.Errorf("empty: %v", err)
	}
	if _, err := s.Read("b"); !IsMissing(err) || !strings.Contains(err.Error(), s.Path("b")) || !strings.Contains(err.Error(), "archy secrets gen") {
		t.Errorf("absent: %v", err)
	}
}

func TestGenerateConcurrentGoroutines(t *testing.T) {
	for _, kind := range []Kind{Hex16, Bcrypt} {
		for _, before := range []string{"absent", "empty"} {
			t.Run(string(kind)+" "+before, func(t *testing.T) {
				s := newStore(t)
				if before == "empty" {
					put(t, s, "shared", "")
				}
				var wg sync.WaitGroup
				var mu sync.Mutex
				winners, values := 0, map[string]bool{}
				for range 12 {
					wg.Go(func() {
						own := *s // each has its own idea of the directory, as other processes do
						v, created, err := own.Generate("shared", kind)
						mu.Lock()
						defer mu.Unlock()
						if err != nil {
							t.Error(err)
						}
						if created {
							winners++
						}
						values[v.Reveal()] = true
					})
				}
				wg.Wait()
				if winners != 1 || len(values) != 1 {
					t.Errorf("%d winners, %d values", winners, len(values))
				}
			})
		}
	}
}

func TestGenerateConcurrentProcesses(t *testing.T) {
	s := newStore(t)
	cmds, outs := make([]*exec.Cmd, 6), make([]*bytes.Buffer, 6)
	for i := range cmds {
		cmds[i], outs[i] = startOther(t, "generate", s.Dir)
	}
	winners := 0
	for i, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v: %s", err, outs[i])
		}
		created, value, _ := strings.Cut(strings.TrimSpace(outs[i].String()), " ")
		if created == "true" {
			winners++
		}
		if value != content(t, s, "shared") {
			t.Errorf("process %d saw another value", i)
		}
	}
	if winners != 1 {
		t.Errorf("%d processes say that they made it", winners)
	}
}

// A writer that does not take archy's lock, such as an old script, wins when it is first.
func TestCreateNeverReplaces(t *testing.T) {
	s := newStore(t)
	put(t, s, "a", "theirs")
	if err := s.create("a", New("ours")); !errors.Is(err, fs.ErrExist) || content(t, s, "a") != "theirs" {
		t.Errorf("error %v", err)
	}
	v, created, err := s.generateLocked("b", func() (Value, error) {
		put(t, s, "b", "theirs") // between our look and our write
		return New("ours"), nil
	})
	// The file was empty or absent when we looked; removeEmpty must look again.
	if err != nil || created || v.Reveal() != "theirs" || content(t, s, "b") != "theirs" {
		t.Errorf("created %v, %v", created, err)
	}
	if got := files(t, s); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("left behind: %q", got)
	}
}

func TestGenerateWaitsForTheLock(t *testing.T) {
	s := newStore(t)
	dir, err := os.Open(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, _, err := s.Generate("a", Hex16)
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("wrote beside another writer: %v", err)
	case <-time.After(60 * time.Millisecond):
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestEnsure(t *testing.T) {
	s := newStore(t)
	if err := os.Mkdir(s.Path("broken"), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, s, "have", "x")
	wanted := []Wanted{{Name: "broken", Kind: Hex16}, {Name: "have", Kind: Hex16}, {Name: "theirs", Kind: Text}, {Name: "new", Kind: Hex32}}
	made, err := s.Ensure(wanted)
	if !slices.Equal(made, []string{"new"}) || err == nil || !strings.Contains(err.Error(), "broken: is a directory") {
		t.Errorf("made %q, %v", made, err)
	}
}

func TestFirstBootSecrets(t *testing.T) {
	s := newStore(t)
	made, err := s.Ensure(FirstBootSecrets())
	if err != nil || len(made) != 6 {
		t.Fatalf("made %q, %v", made, err)
	}
	if found := append(s.Check(FirstBootSecrets()), s.CheckPlain(FirstBootSecrets())...); len(found) > 0 {
		t.Errorf("a new node has findings: %v", found)
	}
	if made, err := s.Ensure(FirstBootSecrets()); err != nil || len(made) > 0 {
		t.Errorf("the second run made %q, %v", made, err)
	}
}

func failHalfway(f *os.File, b []byte) error {
	if _, err := f.Write(b[:len(b)/2]); err != nil {
		return err
	}
	return &fs.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
}

func TestDiskFullKeepsWhatIsThere(t *testing.T) {
	s := newStore(t)
	put(t, s, "fmcd-password", "old-fake")
	put(t, s, "fedimint-gateway-hash", "$2a$10$old")
	put(t, s, "fedimint-gateway-hash.pw", "old-plain")
	s.write = failHalfway
	before := files(t, s)
	for name, kind := range map[string]Kind{"fmcd-password": Hex16, "fedimint-gateway-hash": Bcrypt} {
		if _, _, err := s.Rotate(name, kind, true); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), name) {
			t.Errorf("rotate %s: %v", name, err)
		}
	}
	if _, _, err := s.Generate("new", Hex16); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("generate: %v", err)
	}
	if after := files(t, s); !slices.Equal(before, after) {
		t.Errorf("files %q, before %q", after, before)
	}
	for name, want := range map[string]string{"fmcd-password": "old-fake", "fedimint-gateway-hash": "$2a$10$old", "fedimint-gateway-hash.pw": "old-plain"} {
		if got := content(t, s, name); got != want {
			t.Errorf("%s holds %q", name, got)
		}
	}
}

// The same with the kernel refusing the write in its middle.
func TestFileSizeLimitKeepsWhatIsThere(t *testing.T) {
	s := newStore(t)
	put(t, s, "fmcd-password", "old-fake")
	cmd, out := startOther(t, "disk full", s.Dir)
	if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), "file too large") {
		t.Fatalf("the write was to fail: %v, %s", err, out)
	}
	if got := content(t, s, "fmcd-password"); got != "old-fake" {
		t.Errorf("the old value is gone: %q", got)
	}
	for _, name := range files(t, s) {
		if strings.HasPrefix(name, tempPrefix) {
			t.Errorf("left behind: %s", name)
		}
	}
}

func TestRotate(t *testing.T) {
	s := newStore(t)
	put(t, s, "fmcd-password", "old-fake\n")
	if err := os.Chmod(s.Path("fmcd-password"), 0o644); err != nil {
		t.Fatal(err)
	}
	v, backups, err := s.Rotate("fmcd-password", Hex16, true)
	if err != nil || !slices.Equal(backups, []string{"fmcd-password.bak-20260102T030405Z"}) {
		t.Fatalf("%q, %v", backups, err)
	}
	if content(t, s, backups[0]) != "old-fake" || content(t, s, "fmcd-password") != v.Reveal() || len(v.Reveal()) != 32 {
		t.Error("the old value is not kept, or the new one is not in place")
	}
	if found := s.Check(nil); len(found) > 0 {
		t.Errorf("after a rotation: %v", found)
	}
	if _, _, err := s.Rotate("fmcd-password", Hex16, true); err == nil || !strings.Contains(err.Error(), "this second") || content(t, s, "fmcd-password") != v.Reveal() {
		t.Errorf("twice in one second would lose the first old value: %v", err)
	}
	if _, _, err := s.Rotate("searxng-secret", Hex32, true); !IsMissing(err) {
		t.Errorf("nothing there to rotate: %v", err)
	}
}

func TestRotateHash(t *testing.T) {
	s := newStore(t)
	const name = "fedimint-gateway-hash"
	old, _, err := s.Generate(name, Bcrypt)
	if err != nil {
		t.Fatal(err)
	}
	oldPlain := content(t, s, name+PlainSuffix)
	hash, backups, err := s.Rotate(name, Bcrypt, true)
	if err != nil {
		t.Fatal(err)
	}
	if !hashMatches(hash, New(content(t, s, name+PlainSuffix))) || hash.Equal(old) || content(t, s, name) != hash.Reveal() {
		t.Error("the new password does not open the app")
	}
	if len(backups) != 2 || content(t, s, backups[0]) != old.Reveal() || content(t, s, backups[1]) != oldPlain {
		t.Errorf("backups %q", backups)
	}
	if got := files(t, s); len(got) != 4 {
		t.Errorf("files %q", got)
	}
}

// However far a rotation gets before the disk is full, the password shown opens the app.
func TestRotateHashFailsAtEachWrite(t *testing.T) {
	const name = "fedimint-gateway-hash"
	wanted := []Wanted{{Name: name, Kind: Bcrypt}}
	for n := 1; ; n++ {
		s := newStore(t)
		if _, _, err := s.Generate(name, Bcrypt); err != nil {
			t.Fatal(err)
		}
		writes := 0
		s.write = func(f *os.File, b []byte) error {
			if writes++; writes == n {
				return failHalfway(f, b)
			}
			_, err := f.Write(b)
			return err
		}
		_, _, err := s.Rotate(name, Bcrypt, true)
		s.write = nil
		if _, err := s.Ensure(wanted); err != nil {
			t.Fatal(err)
		}
		if found := append(s.Check(wanted), s.CheckPlain(wanted)...); len(found) > 0 {
			t.Errorf("failed at write %d: %v", n, found)
		}
		if err == nil {
			if n != 5 { // two backups, the hash, the plain text
				t.Errorf("a rotation of %d writes", n-1)
			}
			return
		}
	}
}

// The two states in which a rotation of a hash can be killed.
func TestRotateHashKilled(t *testing.T) {
	oldHash, _ := hashPlain(New("old"))
	newHash, _ := hashPlain(New("new"))
	for plain, want := range map[string]Value{"old": oldHash, "new": newHash} {
		t.Run("plain text is "+plain, func(t *testing.T) {
			s := newStore(t)
			put(t, s, "h", oldHash.Reveal())
			put(t, s, "h.pw", plain)
			put(t, s, stagedPrefix+"h", newHash.Reveal())
			wanted := []Wanted{{Name: "h", Kind: Bcrypt}}
			if found := s.Check(wanted); len(found) != 1 || found[0].Code != Unfinished {
				t.Errorf("check: %+v", found)
			}
			v, created, err := s.Generate("h", Bcrypt)
			if err != nil || created || !v.Equal(want) {
				t.Errorf("created %v, %v", created, err)
			}
			if found := append(s.Check(wanted), s.CheckPlain(wanted)...); len(found) > 0 || len(files(t, s)) != 2 {
				t.Errorf("not completed: %v, files %q", found, files(t, s))
			}
		})
	}
}

func TestRotateSurvivesKill(t *testing.T) {
	s := newStore(t)
	const name = "fedimint-gateway-hash"
	wanted := []Wanted{{Name: name, Kind: Bcrypt}}
	if _, _, err := s.Generate(name, Bcrypt); err != nil {
		t.Fatal(err)
	}
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	killed := func(when func()) {
		cmd, out := startOther(t, "rotate for ever", s.Dir)
		when()
		_ = cmd.Process.Kill()
		if err := cmd.Wait(); err == nil || out.Len() > 0 {
			t.Fatalf("it was to be killed: %v, %s", err, out)
		}
		if _, err := s.Ensure(wanted); err != nil {
			t.Fatal(err)
		}
		if found := append(s.Check(wanted), s.CheckPlain(wanted)...); len(found) > 0 {
			t.Fatalf("after a kill: %v", found)
		}
	}
	for range rounds {
		killed(func() { time.Sleep(time.Duration(20+rand.IntN(200)) * time.Millisecond) })
	}
	// However slow the machine is, the last one is killed after it has rotated.
	killed(func() {
		for len(files(t, s)) < 4 {
			time.Sleep(10 * time.Millisecond)
		}
	})
}

func TestRotationRule(t *testing.T) {
	may := []string{"bitcoin-rpc-password", "fmcd-password", "fedimint-gateway-hash", "vaultwarden-admin-token", "searxng-secret", "onlyoffice-jwt-secret"}
	mayNot := map[string]string{
		"mempool-db-password": "lock the app out", "mysql-root-db-password": "lock the app out", "btcpay-db-password": "ALTER ROLE",
		"immich-db-password": "ALTER ROLE", "lnd-wallet-password": "lncli changepassword", "lnd-seed": "new wallet",
		"filebrowser-admin-hash": "change nothing", "grafana-admin-password": "grafana cli", "nextcloud-admin-password": "occ user:resetpassword",
		"photoprism-admin-password": "photoprism passwd", "portainer-admin-password": "Portainer", "fmcd-invite-code": "operator's own",
		"tailscale-authkey": "operator's own", "lnd-wallet-password-legacy": "operator's own", "unheard-of": "does not know",
	}
	for _, name := range may {
		if ok, reason := RotationRule(name); !ok || reason != "" {
			t.Errorf("%s: %v %q", name, ok, reason)
		}
	}
	s := newStore(t)
	for name, want := range mayNot {
		ok, reason := RotationRule(name)
		if ok || !strings.Contains(reason, want) || !strings.Contains(reason, name) {
			t.Errorf("%s: %v %q, want %q", name, ok, reason, want)
		}
		put(t, s, name, "old-fake")
		if _, _, err := s.Rotate(name, Hex16, true); err == nil || !strings.Contains(err.Error(), want) || content(t, s, name) != "old-fake" {
			t.Errorf("%s was rotated: %v", name, err)
		}
	}
	for _, name := range []string{"mempool-db-password", "grafana-admin-password", "lnd-wallet-password"} {
		if _, _, err := s.Rotate(name, Hex16, false); err != nil {
			t.Errorf("%s without data is free to change: %v", name, err)
		}
	}
	if ok, _ := RotationRuleFor("lnd-seed", false); ok {
		t.Error("a seed is never rotated")
	}
}

func TestGenerationRule(t *testing.T) {
	for name, want := range map[string]string{
		"bitcoin-rpc-password": "", "filebrowser-admin-hash": "", "grafana-admin-password": "", "vaultwarden-admin-token": "", "fmcd-password": "",
		"mempool-db-password": "from a backup", "lnd-wallet-password": "from a backup", "unheard-of": "from a backup",
		"tailscale-authkey": "operator's own", "lnd-seed": "cannot be made again",
	} {
		ok, reason := GenerationRule(name, true)
		if ok != (want == "") || !strings.Contains(reason, want) {
			t.Errorf("%s with data: %v %q, want %q", name, ok, reason, want)
		}
		if ok, reason := GenerationRule(name, false); !ok {
			t.Errorf("%s without data: %q", name, reason)
		}
	}
}

func TestCheckAndRepair(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(t *testing.T, s *Store)
		want    []Code
		fixed   bool // Repair mends it
	}{
		{"all well", func(*testing.T, *Store) {}, nil, false},
		{"file mode", func(t *testing.T, s *Store) { chmod(t, s.Path("a"), 0o644) }, []Code{Mode}, true},
		{"no mode at all", func(t *testing.T, s *Store) { chmod(t, s.Path("a"), 0o200) }, modeAndPerhapsUnreadable(), true},
		{"setuid", func(t *testing.T, s *Store) { chmod(t, s.Path("a"), 0o600|fs.ModeSetuid) }, []Code{Mode}, true},
		{"directory mode", func(t *testing.T, s *Store) { chmod(t, s.Dir, 0o755) }, []Code{DirMode}, true},
		{"missing", func(t *testing.T, s *Store) { remove(t, s.Path("a")) }, []Code{Missing}, false},
		{"missing by leave", func(t *testing.T, s *Store) { remove(t, s.Path("opt")) }, nil, false},
		{"empty", func(t *testing.T, s *Store) { put(t, s, "a", "") }, []Code{Empty}, false},
		{"empty of the operator", func(t *testing.T, s *Store) { put(t, s, "opt", "\n") }, []Code{Empty}, false},
		{"line break", func(t *testing.T, s *Store) { put(t, s, "a", "x\r\n") }, []Code{Newline}, false},
		{"two lines", func(t *testing.T, s *Store) { put(t, s, "a", "\nx\ny\n") }, []Code{Lines}, false},
		{"two lines of an old system", func(t *testing.T, s *Store) { put(t, s, "a", "x\ry") }, []Code{Lines}, false},
		{"NUL", func(t *testing.T, s *Store) { put(t, s, "a", "x\x00") }, []Code{Lines}, false},
		{"two lines of the operator for a variable", func(t *testing.T, s *Store) { put(t, s, "var", "x\ny") }, []Code{Lines}, false},
		{"two lines of the operator for a file", func(t *testing.T, s *Store) { put(t, s, "opt", "x\ny") }, nil, false},
		{"two lines of plain text", func(t *testing.T, s *Store) { put(t, s, "h.pw", "x\ny") }, []Code{Lines, PlainOther}, false},
		{"not a hash", func(t *testing.T, s *Store) { put(t, s, "h", "plain") }, []Code{NotAHash}, false},
		{"no plain text", func(t *testing.T, s *Store) { remove(t, s.Path("h.pw")) }, []Code{PlainAbsent}, false},
		{"other plain text", func(t *testing.T, s *Store) { put(t, s, "h.pw", "other") }, []Code{PlainOther}, false},
		{"nobody asked for it", func(t *testing.T, s *Store) {
			put(t, s, "stray", "x")
			chmod(t, s.Path("stray"), 0o666)
		}, []Code{Mode}, true},
	}
	wanted := []Wanted{{Name: "a", Kind: Hex16}, {Name: "h", Kind: Bcrypt}, {Name: "opt", Kind: Text, Optional: true},
		{Name: "var", Kind: Text, Optional: true, OneLine: true}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			put(t, s, "opt", marker)
			if _, err := s.Ensure(wanted); err != nil {
				t.Fatal(err)
			}
			tt.prepare(t, s)
			check := func() []Finding { return append(s.Check(wanted), s.CheckPlain(wanted)...) }
			found := check()
			var codes []Code
			for _, f := range found {
				codes = append(codes, f.Code)
				if f.Detail == "" || f.Repair == "" || !strings.HasPrefix(f.Path, s.Dir) {
					t.Errorf("incomplete: %+v", f)
				}
				err := s.Repair(f)
				if tt.fixed && f.Fixable() != (err == nil) || !tt.fixed && err == nil {
					t.Errorf("repair of %s: %v", f.Code, err)
				}
			}
			if !slices.Equal(codes, tt.want) {
				t.Errorf("found %q, want %q", codes, tt.want)
			}
			if again := check(); tt.fixed && len(again) > 0 || !tt.fixed && len(again) != len(found) {
				t.Errorf("after the repair: %v", again)
			}
		})
	}
}

// modeAndPerhapsUnreadable: root reads everything.
func modeAndPerhapsUnreadable() []Code {
	if os.Getuid() == 0 {
		return []Code{Mode}
	}
	return []Code{Mode, Unreadable}
}

func chmod(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func TestCheckOwner(t *testing.T) {
	s := newStore(t)
	put(t, s, "a", marker)
	s.UID, s.GID = os.Getuid()+7, os.Getgid()+7
	if _, err := s.Read("a"); !errors.Is(err, Finding{Code: Owner}) || IsMissing(err) || !strings.Contains(err.Error(), "sudo chown") {
		t.Errorf("another user could have written it: %v", err)
	}
	if _, created, err := s.Generate("a", Hex16); created || !errors.Is(err, Finding{Code: Owner}) {
		t.Errorf("generate: %v", err)
	}
	found := s.Check(nil)
	if len(found) != 2 || found[0].Code != DirOwner || found[1].Code != Owner {
		t.Fatalf("check: %+v", found)
	}
	if os.Getuid() != 0 {
		if err := s.Repair(found[1]); err == nil {
			t.Error("giving a file away without being root")
		}
		return
	}
	for _, f := range found {
		if err := s.Repair(f); err != nil {
			t.Error(err)
		}
	}
	if found := s.Check(nil); len(found) > 0 {
		t.Errorf("after the repair: %v", found)
	}
	if content(t, s, "a") != marker {
		t.Error("the repair changed the content")
	}
	if _, _, err := s.Generate("b", Hex16); err != nil {
		t.Fatal(err)
	}
	if found := s.Check(nil); len(found) > 0 {
		t.Errorf("root made a secret that the service user cannot read: %v", found)
	}
}

func TestReadMindsTheUserNotTheGroup(t *testing.T) {
	s := newStore(t)
	put(t, s, "a", "x")
	s.GID++
	if v, err := s.Read("a"); err != nil || v.Reveal() != "x" {
		t.Errorf("a harmless group makes an app fail: %v", err)
	}
	if found := s.Check(nil); len(found) != 2 || found[1].Code != Owner {
		t.Errorf("check: %+v", found)
	}
}

// asNobody runs do without root's right to read everything.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		if os.Getuid() == 0 {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
			if err := unix.Setfsuid(65534); err != nil {
				t.Errorf("setfsuid: %v", err)
				return
			}
		}
		do()
	})
	wg.Wait()
}

func TestUnreadable(t *testing.T) {
	s := newStore(t)
	put(t, s, "a", marker)
	chmod(t, s.Path("a"), 0)
	chmod(t, s.Dir, 0o711)
	for dir := filepath.Dir(s.Dir); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		chmod(t, dir, 0o755)
	}
	asNobody(t, func() {
		_, err := s.Read("a")
		if !errors.Is(err, Finding{Code: Unreadable}) || IsMissing(err) || !strings.Contains(err.Error(), "sudo chown") {
			t.Errorf("read: %v", err)
		}
		if _, created, err := s.Generate("a", Hex16); created || !errors.Is(err, Finding{Code: Unreadable}) {
			t.Errorf("an unreadable secret is not a missing one: %v", err)
		}
	})
}

func TestRepairDoesNotFollowLinks(t *testing.T) {
	s := newStore(t)
	target := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(target, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, s.Path("a")); err != nil {
		t.Fatal(err)
	}
	if err := s.Repair(Finding{Code: Mode, Name: "a"}); err == nil {
		t.Error("a link was repaired")
	}
	if err := s.Repair(Finding{Code: Mode, Name: "../secrets"}); err == nil {
		t.Error("a name outside of the directory was repaired")
	}
	if info, _ := os.Stat(target); info.Mode().Perm() != 0o644 {
		t.Errorf("the link's target has mode %v", info.Mode())
	}
}

func TestList(t *testing.T) {
	s := newStore(t)
	wanted := []Wanted{
		{Name: "h", Kind: Bcrypt, Apps: []string{"filebrowser"}}, {Name: "rpc", Kind: Hex16, Apps: []string{"lnd"}},
		{Name: "rpc", Kind: Text, Apps: []string{"electrumx", "lnd"}}, {Name: "key", Kind: Text, Optional: true},
	}
	put(t, s, "h", marker)
	put(t, s, "h.pw", marker)
	put(t, s, "rpc", "")
	put(t, s, "rpc.bak-20250101T000000Z", marker)
	put(t, s, tempPrefix+"1", marker)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, name := range []string{"h", "h.pw", "rpc", "rpc.bak-20250101T000000Z"} {
		if err := os.Chtimes(s.Path(name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.List(wanted)
	if err != nil {
		t.Fatal(err)
	}
	own := fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())
	want := [][]string{
		{"h", "bcrypt", "ok", "0600", own, "2026-01-02T03:04:05Z", "filebrowser"},
		{"h.pw", "hex16", "ok", "0600", own, "2026-01-02T03:04:05Z", "filebrowser"},
		{"key", "text", "missing", "-", "-", "-", "-"},
		{"rpc", "hex16", "empty", "0600", own, "2026-01-02T03:04:05Z", "electrumx lnd"},
		{"rpc.bak-20250101T000000Z", "-", "backup", "0600", own, "2026-01-02T03:04:05Z", "-"},
	}
	if got := ListRows(list); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	if out := fmt.Sprintf("%+v %q", list, CheckRows(s.Check(wanted))); strings.Contains(out, marker) {
		t.Errorf("a value is shown: %s", out)
	}
}
