package spec

import (
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

// Input is everything that decides how an app's container looks.
type Input struct {
	App    *manifest.App
	Layout node.Layout
	Facts  node.Facts
	Config node.Config
	// Bitcoin is the installed bitcoin app; its zero value means that there is none.
	Bitcoin Bitcoin
	// Container gives the container name of another app, "" for one that is not known. The caller maps a dependency on
	// bitcoin to the alternative that is installed.
	Container func(appID string) string
	// Called gives the name under which another app can be reached on its bridge, which is not always that of its unit: an adopted
	// container may have one of its own. Nil knows of none.
	Called func(appID string) string
	// Secret gives the text of a secret file.
	Secret func(name string) (secrets.Value, bool)
	// Generated tells whether archy makes the secret, which decides who has to act when it is missing. Nil asks the
	// manifest's own generated_secrets.
	Generated func(name string) bool
	// IsFile tells whether there is a file, and no directory, at a path of the node. Nil knows of none.
	IsFile func(path string) bool
	// ConfigDigest is the digest of the derived files that the container reads, "" without any.
	ConfigDigest string
	// ContextTag is the tag (see [ContextTag]) of a build whose own tag has none.
	ContextTag string
	Pinned     Pinned
}

// Bitcoin is what other apps and the bitcoin app itself need to know of it.
type Bitcoin struct {
	// Host is the container name of the installed provider.
	Host        string
	DBCacheMiB  int
	MemoryBytes int64
}

// Pinned is what the install record took over from a container or a data directory that was there before.
type Pinned struct {
	// Image is the reference that runs until an upgrade; it does not apply to images that are built on the node.
	Image, User string
	ExtraPorts  []Port
	Volumes     []Mount
	Env         map[string]string
}

// ProblemKind sorts problems by who has to act.
type ProblemKind string

// The kinds of problem.
const (
	// MissingGenerated is a secret that archy itself makes.
	MissingGenerated ProblemKind = "missing generated secret"
	// MissingOperator is a secret that only the operator can provide.
	MissingOperator ProblemKind = "missing operator secret"
	// BadSecret is a secret whose text cannot stand where the manifest puts it.
	BadSecret ProblemKind = "unusable secret"
	// BadPlaceholder is a placeholder that is unknown, or has no value on this node now.
	BadPlaceholder ProblemKind = "unresolvable placeholder"
	// BadManifest is something that the manifest's own validation would report too.
	BadManifest ProblemKind = "manifest error"
)

// Problem is one reason why a container cannot be made as wanted. Its text never holds a secret.
type Problem struct {
	Kind ProblemKind
	// Name is the secret, the placeholder or the field.
	Name string
	Text string
}

// Error makes a problem usable as an error.
func (p Problem) Error() string { return string(p.Kind) + " " + p.Name + ": " + p.Text }
