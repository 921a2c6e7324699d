package release

// Limits bound what an archive may cost whoever reads it. Sizes are bytes.
type Limits struct {
	Compressed int64
	Unpacked   int64
	Ratio      int64 // unpacked to compressed
	Entries    int64
	Entry      int64
	Path       int
	Element    int
	Depth      int
}

// DefaultLimits are those of a node.
func DefaultLimits() Limits {
	return Limits{Compressed: 1 << 30, Unpacked: 2 << 30, Ratio: 200, Entries: 50_000, Entry: 512 << 20, Path: 1024, Element: 255, Depth: 32}
}

// WithUnpacked allows another size unpacked, and as in the defaults half of it compressed and a quarter in one file.
func (l Limits) WithUnpacked(size int64) Limits {
	l.Unpacked, l.Compressed, l.Entry = size, size/2, size/4
	return l
}

// What is read into memory of a member, so that memory stays constant.
const (
	maxText      = 4 << 20   // index.html, catalog.json
	maxManifest  = 64 << 10  // one app's
	maxManifests = 512 << 10 // of all apps
	maxExtended  = 1 << 20   // a PAX or GNU header in front of an entry
	maxLinks     = 4 << 20   // names and targets of symlinks
	maxAssets    = 1000      // scripts and style sheets of index.html
)
