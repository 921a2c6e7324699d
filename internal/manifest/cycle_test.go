package manifest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"
)

// linked is the manifest of an app that needs others.
func linked(id string, needs []string) string {
	text := fmt.Sprintf(`app:
  id: %[1]s
  name: %[1]s
  version: "1.0"
  optional: false
  container:
    image: docker.io/example/%[1]s:v1.0
  metadata:
    tier: 3
`, id)
	if len(needs) > 0 {
		text += "  dependencies:\n"
	}
	for _, need := range needs {
		text += "    - app_id: " + need + "\n      condition: healthy\n"
	}
	return text
}

// TestCyclesAreNamed: whatever apps need each other, loading ends. Each app on a cycle is told a way back to itself that is
// really there and is not usable; every other app stands after all that it needs.
func TestCyclesAreNamed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		needs, files := map[string][]string{}, fstest.MapFS{}
		count := rapid.IntRange(1, 8).Draw(t, "apps")
		for i := range count {
			id := fmt.Sprintf("app%d", i)
			for j := range count {
				if rapid.IntRange(0, count).Draw(t, "needs") == 0 {
					needs[id] = append(needs[id], fmt.Sprintf("app%d", j))
				}
			}
			files[id+"/manifest.yml"] = &fstest.MapFile{Data: []byte(linked(id, needs[id]))}
		}
		set, findings := LoadFS(files, "apps")
		for i := range count {
			id := fmt.Sprintf("app%d", i)
			way := wayNamed(findings, id)
			if onCycle := reaches(needs, id, id); onCycle != (way != nil) {
				t.Fatalf("%s: on a cycle: %v, named: %v\n%v\n%v", id, onCycle, way, needs, findings)
			}
			for k := 0; k+1 < len(way); k++ {
				if !slices.Contains(needs[way[k]], way[k+1]) {
					t.Fatalf("%s: %v is no way: %v", id, way, needs)
				}
			}
			if way != nil && set.Apps[id] != nil {
				t.Fatalf("%s waits for itself and is usable", id)
			}
		}
		order := set.Order()
		for at, id := range order {
			for _, need := range needs[id] {
				if slices.Index(order, need) >= at {
					t.Fatalf("%s does not stand after %s: %v", id, need, order)
				}
			}
		}
	})
}

// wayNamed is the cycle in the finding about an app.
func wayNamed(findings []Finding, id string) []string {
	for _, f := range findings {
		if text, ok := strings.CutPrefix(f.Message, "depends on itself: "); ok && strings.HasPrefix(text, id+" -> ") {
			return strings.Split(text, " -> ")
		}
	}
	return nil
}

// reaches tells whether to is needed by from, directly or not.
func reaches(needs map[string][]string, from, to string) bool {
	seen, queue := map[string]bool{}, slices.Clone(needs[from])
	for len(queue) > 0 {
		id := queue[0]
		queue = queue[1:]
		if id == to {
			return true
		}
		if !seen[id] {
			seen[id] = true
			queue = append(queue, needs[id]...)
		}
	}
	return false
}
