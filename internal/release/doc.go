// Package release builds, checks, signs and compares releases of the node's page and backend. A release is one archive
// of the page, the backend's binary, and manifest.json with their digests. Nothing here speaks to a terminal.
//
// The archive is never trusted for having been made here: what ships is what Verify, one pass with constant memory over
// the finished file, has found nothing wrong with. Two releases went out with a root entry of mode 0700 and answered
// every page with 500 (incident 4).
package release
