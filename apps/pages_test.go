package apps

import (
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"
)

// pages are the apps that are built on the node.
var pages = []string{"bitcoin-ui", "electrs-ui", "lnd-ui"}

func TestExactlyThePagesHaveAContext(t *testing.T) {
	for _, id := range IDs() {
		_, err := Context(id)
		built := readManifest(t, id).at("container").at("build").value != nil
		if built != (err == nil) {
			t.Errorf("%s: the manifest builds an image: %t, its context: %v", id, built, err)
		}
	}
}

// TestBaseImagesArePinned: an image built twice from one context must be the same.
func TestBaseImagesArePinned(t *testing.T) {
	pinned := regexp.MustCompile(`^FROM [a-z.]+/[a-z/]+:\d+\.\d+\.\d+(-\w+)?$`)
	for _, id := range pages {
		first, _, _ := strings.Cut(read(t, id, "Dockerfile"), "\n")
		if !pinned.MatchString(first) {
			t.Errorf("%s: Dockerfile starts with %q, not with an exact release", id, first)
		}
	}
}

// TestPagesLookAlike: what the pages share is copied into each context and must not drift apart.
func TestPagesLookAlike(t *testing.T) {
	for _, file := range []string{"html/style.css", "html/page.js", "nginx/without-ipv6.sh", "Dockerfile"} {
		want := read(t, pages[0], file)
		for _, id := range pages[1:] {
			if read(t, id, file) != want {
				t.Errorf("%s of %s differs from that of %s: copy it", file, id, pages[0])
			}
		}
	}
}

// TestPagesNameNoMissingFile: a page that names an asset it does not carry stays blank.
func TestPagesNameNoMissingFile(t *testing.T) {
	for _, id := range pages {
		names := submatches(`(?:href|src)="([^"]+)"`, read(t, id, "html/index.html"))
		names = append(names, submatches(`from '\./([^']+)'`, read(t, id, "html/app.js"))...)
		if len(names) < 4 {
			t.Fatalf("%s: found only %v", id, names)
		}
		for _, name := range names {
			read(t, id, path.Join("html", name))
		}
	}
}

// TestScriptsFindTheirElements: a script that writes into an element that is not there stops in the middle.
func TestScriptsFindTheirElements(t *testing.T) {
	for _, id := range pages {
		page := read(t, id, "html/index.html")
		wanted := append(submatches(`\b(?:text|show|progress|getElementById)\('(\w+)'`, read(t, id, "html/app.js")),
			"state", "refreshed")
		wanted = append(wanted, submatches(`data-copy="(\w+)"`, page)...)
		for _, element := range wanted {
			if !strings.Contains(page, `id="`+element+`"`) {
				t.Errorf("%s: nothing in index.html has the id %q", id, element)
			}
		}
	}
}

// TestPagesLoadNothingFromElsewhere: a node without a way out shows its pages in full, and tells nobody that it does.
func TestPagesLoadNothingFromElsewhere(t *testing.T) {
	elsewhere := regexp.MustCompile(`(?i)(?:src|href)\s*=\s*["'](?:https?:)?//|@import|url\(|from\s+['"]https?:|fetch\(\s*['"]https?:`)
	for _, id := range pages {
		context, err := Context(id)
		if err != nil {
			t.Fatal(err)
		}
		err = fs.WalkDir(context, "html", func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			if found := elsewhere.FindString(read(t, id, name)); found != "" {
				t.Errorf("%s: %s loads %s", id, name, found)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if !strings.Contains(read(t, id, "html/index.html"), `content="default-src 'self';`) {
			t.Errorf("%s: no content security policy", id)
		}
	}
}

// TestPagesListenWhereTheManifestSays, on IPv4 and IPv6.
func TestPagesListenWhereTheManifestSays(t *testing.T) {
	for _, id := range pages {
		port := readManifest(t, id).list("ports")[0].text("host")
		config := read(t, id, "nginx/default.conf")
		for _, listen := range []string{"listen " + port + ";", "listen [::]:" + port + ";"} {
			if !strings.Contains(config, listen) {
				t.Errorf("%s: its server does not %s", id, listen)
			}
		}
	}
}

// TestBitcoinPageWithoutItsDerivedFile: the image alone knows no password and must not look healthy.
func TestBitcoinPageWithoutItsDerivedFile(t *testing.T) {
	config := read(t, "bitcoin-ui", "nginx/default.conf")
	if !strings.Contains(config, "return 404;") || strings.Contains(config, "location") {
		t.Errorf("the image's own configuration serves something:\n%s", config)
	}
}

func read(t *testing.T, id, file string) string {
	t.Helper()
	text, err := fs.ReadFile(FS, path.Join(id, "docker", file))
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	return string(text)
}

func submatches(pattern, text string) []string {
	var found []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}
