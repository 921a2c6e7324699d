package node

// What a pass, the doctor and podman's healing want of the data disk, in bytes (incidents.md, disk full).
const (
	// SpaceAdvised: below it images that nothing needs are removed.
	SpaceAdvised = 10 << 30
	// SpaceNeeded: below it no image is fetched or built, and nothing is upgraded, replaced or migrated.
	SpaceNeeded = 2 << 30
	// SpaceFull: below it nothing that podman or an app writes can be relied on, and archy changes nothing.
	SpaceFull = 200 << 20
	// InodesFull: with fewer free inodes than this it counts as full, whatever space is left.
	InodesFull = 1000
)
