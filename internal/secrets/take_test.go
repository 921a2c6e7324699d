package secrets_test

import (
	"os"
	"path/filepath"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

// test that the value of a container takes the file's place and the old value is kept
func TestTake(t *testing.T) {
	s := &secrets.Store{Dir: filepath.Join(t.TempDir(), "secrets"), UID: os.Getuid(), GID: os.Getgid()}
	if err := s.Init(); err != nil {
		t.Fatal(err)
	}
	old, _, err := s.Generate("db-password", secrets.Hex16)
	if err != nil {
		t.Fatal(err)
	}
	backup, err := s.Take("db-password", secrets.New("of-the-container"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Read("db-password")
	if err != nil || got.Reveal() != "of-the-container" {
		t.Errorf("the secret is not the container's: %v", err)
	}
	kept, err := os.ReadFile(filepath.Join(s.Dir, filepath.Base(backup)))
	if err != nil || string(kept) != old.Reveal() {
		t.Errorf("the old value is not in %s: %v", backup, err)
	}
	if again, err := s.Take("db-password", secrets.New("of-the-container")); err != nil || again != "" {
		t.Errorf("taking the same value again made %q, %v", again, err)
	}
}
