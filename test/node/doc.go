// Package node boots disposable Debian 13 nodes for tests: systemd is PID 1, rootless podman belongs to the service
// user archipelago (uid 1000), whose user manager lingers, and an image registry in the test's own process answers
// on the node's loopback. A node is up in about a second, and a power cut takes a tenth of that.
//
// It needs root and Linux, but neither a virtual machine nor a container engine. README.md has the rest.
package node
