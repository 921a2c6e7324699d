package reconcile

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/state"
)

// guard, row 31: data that the image cannot read, or would spoil, are never opened with it. The files are looked at
// before a unit of the app is written or started.
func (ob *observation) guard(ctx context.Context, a *App) string {
	dir := a.DataDir(ob.Layout.DataDir)
	read := func(name string) ([]byte, error) { return ob.readFile(ctx, path.Join(dir, name)) }
	if text := formatGuard(a.ID, a.Spec.Image, read); text != "" {
		return text
	}
	if ran := a.ran(); !a.Downgrade && lowerVersion(a.Spec.Image, ran) && a.Spec.Build == nil {
		return fmt.Sprintf("image %s is a lower version than %s, which ran on this data", a.Spec.Image, ran)
	}
	return ob.takeOverGuard(ctx, a, dir)
}

// formatGuard asks the app's data which version made them; read takes the name of a file in them.
func formatGuard(id, image string, read func(name string) ([]byte, error)) string {
	switch id {
	case "archy-btcpay-db", "immich-postgres":
		return postgresGuard(image, read)
	case "archy-mempool-db":
		return mariadbGuard(image, read)
	case "nextcloud":
		return nextcloudGuard(image, read)
	}
	return ""
}

// Guard is formatGuard for what is started again when a change has failed: the newer version may have converted the data by then.
func (d NodeDisk) Guard(ctx context.Context, a *App, image string) string {
	if a.Manifest == nil {
		return ""
	}
	dir := a.DataDir(d.Layout.DataDir)
	return formatGuard(a.ID, image, func(name string) ([]byte, error) { return readFile(ctx, d.Mapped, d.Layout.Host(path.Join(dir, name))) })
}

// takeOverGuard: the two bitcoins may take over each other's directory, and a lower major version none that a higher one has
// written to.
func (ob *observation) takeOverGuard(ctx context.Context, a *App, dir string) string {
	last, _ := state.Latest(ob.records, append([]string{a.ID}, ob.Set.Alternatives(a.ID)...))
	want, have := numbers(tag(a.Spec.Image)), numbers(tag(last.Image))
	if last.App == a.ID || len(want) == 0 || len(have) == 0 || want[0] >= have[0] || !ob.holdsMapped(ctx, dir) {
		return ""
	}
	return fmt.Sprintf("image %s is a lower version than %s of %s, which ran on this data", a.Spec.Image, last.Image, last.App)
}

var leadingNumber = regexp.MustCompile(`^[0-9]+`)

// postgresGuard: a major version of PostgreSQL reads its own data only (PG_VERSION).
func postgresGuard(image string, read func(string) ([]byte, error)) string {
	text, err := read("PG_VERSION")
	want := leadingNumber.FindString(tag(image))
	have := strings.TrimSpace(string(text))
	if err != nil || want == "" || have == want {
		return unknownVersion("PG_VERSION", err)
	}
	return fmt.Sprintf("data of PostgreSQL %s, image of %s", have, want)
}

// mariadbGuard: MariaDB upgrades data of older versions and spoils those of newer ones.
func mariadbGuard(image string, read func(string) ([]byte, error)) string {
	for _, name := range []string{"mariadb_upgrade_info", "mysql_upgrade_info"} {
		text, err := read(name)
		if isReadError(err) {
			return unknownVersion(name, err)
		}
		if err != nil {
			continue
		}
		have, want := numbers(strings.TrimSpace(string(text))), numbers(tag(image))
		if newer(have, want) {
			return fmt.Sprintf("data of MariaDB %s, image of %s", strings.TrimSpace(string(text)), tag(image))
		}
		return ""
	}
	return ""
}

// unknownVersion: data without the file are new, but one that is there and cannot be read lets no image at them.
func unknownVersion(file string, err error) string {
	if !isReadError(err) {
		return ""
	}
	return fmt.Sprintf("%s cannot be read, and it says which version made the data: %v", file, err)
}

// newer compares as many parts as the image's tag names.
func newer(have, want []int) bool {
	for i := range min(len(have), len(want)) {
		if have[i] != want[i] {
			return have[i] > want[i]
		}
	}
	return false
}

var nextcloudVersion = regexp.MustCompile(`'version'\s*=>\s*'([0-9]+)`)

// nextcloudGuard: Nextcloud upgrades by one major version at a time and never back. The image is the one that is wanted: the
// owner may have chosen another than the manifest's.
func nextcloudGuard(image string, read func(string) ([]byte, error)) string {
	text, err := read("config/config.php")
	if err != nil {
		return unknownVersion("config/config.php", err)
	}
	m, want := nextcloudVersion.FindSubmatch(text), numbers(tag(image))
	if m == nil || len(want) == 0 {
		return ""
	}
	if have, _ := strconv.Atoi(string(m[1])); have > want[0] || have < want[0]-1 {
		return fmt.Sprintf("data of Nextcloud %d, image of %d", have, want[0])
	}
	return ""
}

// schemaMessage is what Portainer says when another version made its data. Only a start tells: they are a database of its own.
const (
	schemaMessage = "database schema version"
	schemaReason  = "another version made its data, its log says: " + schemaMessage
)

// wrongSchema, the guard of Portainer: its last start has ended because of the version of its data.
func (r *run) wrongSchema(c *change) bool {
	if c.ID != "portainer" {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if c.started.IsZero() {
		c.started = r.Now().Add(-state.BreakerWindow)
	}
	return slices.ContainsFunc(r.lastWords(ctx, c), func(line string) bool { return strings.Contains(strings.ToLower(line), schemaMessage) })
}
