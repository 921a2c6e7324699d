package release

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// links are the symlinks of an archive: where they are and where they point.
type links struct {
	target map[string]string
	order  []string
	bytes  int
	steps  int
}

const (
	maxHops  = 40      // links on one way, as in the kernel
	maxSteps = 500_000 // elements on all ways together: links can be tangled so that following them takes minutes
)

// takeLink remembers a symlink: whether it leads anywhere is known at the end.
func (v *pass) takeLink(name string, h *header) error {
	if !utf8.ValidString(h.link) || strings.ContainsFunc(h.link, unicode.IsControl) || h.link == "" {
		v.found.Add(NameInvalid, name, "a link to "+h.link, "")
		return nil
	}
	if v.links.bytes += len(name) + len(h.link); v.links.bytes > maxLinks || len(h.link) > v.rules.Limits.Path {
		return v.stop(LimitPath, name, "names of links too long", "at most "+Bytes(maxLinks)+" together")
	}
	if v.links.target == nil {
		v.links.target = map[string]string{}
	}
	v.links.target[name] = h.link
	v.links.order = append(v.links.order, name)
	if v.rules.sink == nil {
		return nil
	}
	return v.rules.sink.symlink(name, h)
}

// resolveLinks follows each link through the archive's own tree.
func (v *pass) resolveLinks() {
	for _, name := range v.links.order {
		switch end, err := v.follow(name); {
		case err != nil:
			v.found.Add(SymlinkEscape, name, "leads to "+v.links.target[name]+": "+err.Error(), "inside the archive")
		case end == "":
			v.found.Add(SymlinkDangling, name, "leads to "+v.links.target[name]+", which is not there", "")
		}
	}
}

// follow walks a path element by element as the kernel does. end is "" when it leads nowhere; err says how it leaves.
func (v *pass) follow(name string) (end string, err error) {
	at, todo, hops := root, strings.Split(name, "/"), 0
	for len(todo) > 0 {
		if v.links.steps++; v.links.steps > maxSteps {
			return "", nil
		}
		element := todo[0]
		todo = todo[1:]
		switch element {
		case "", ".":
			continue
		case "..":
			if at == root {
				return "", fmt.Errorf("leaves the archive")
			}
			at = parentOf(at)
			continue
		}
		next := join(at, element)
		target, link := v.links.target[next]
		switch {
		case !link && v.names.kind(next) == 0:
			return "", nil
		case !link:
			at = next
			continue
		case strings.HasPrefix(target, "/"):
			return "", fmt.Errorf("an absolute path")
		}
		if hops++; hops > maxHops {
			return "", nil
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return at, nil
}

func join(dir, element string) string {
	if dir == root {
		return element
	}
	return dir + "/" + element
}
