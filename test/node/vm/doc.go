// Package vm boots the node of package node as a machine of its own under QEMU's software emulation: its own kernel, cgroup v2 with
// memory, cpu and pids, and a disk that loses what was not flushed when the power is cut. It needs no KVM and is about ten times
// slower than a node in namespaces, so only what those cannot show is tested here.
package vm
