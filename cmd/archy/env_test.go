package main

import (
	"path/filepath"
	"testing"
)

// TestAChildFindsTheConfiguration: the halves that archy has made by itself as somebody else run in another directory.
func TestAChildFindsTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	e := &env{cli: &cli{config: "mine.yaml"}}
	child, err := e.child()
	if err != nil {
		t.Fatal(err)
	}
	for name, argv := range map[string][]string{
		"first boot": child.Argv,
		"doctor":     (&doctorOptions{}).argv("archy", &examiner{env: e}, partUser),
	} {
		if got, want := argv[len(argv)-1], filepath.Join(dir, "mine.yaml"); got != want || argv[len(argv)-2] != "--config" {
			t.Errorf("%s: %q, want --config %s", name, argv, want)
		}
	}
	e.config = ""
	if argv := e.withConfig([]string{"archy"}); len(argv) != 1 {
		t.Error(argv)
	}
}
