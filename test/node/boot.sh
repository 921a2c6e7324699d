# PID 1 of a new node until systemd takes its place: the node's mounts, then pivot_root into them.
# In the environment: BASE, the shared read-only root; DISK, the node's own directory; LAN, its address or nothing.
set -eu
R=$DISK/root
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$DISK/upper,workdir=$DISK/work" "$R"
mkdir -p "$R/var/lib/archipelago" "$R/var/lib/containers" "$R/.old"
# plain directories, not overlay: podman puts its own overlay on these
mount --bind "$DISK/data/archipelago" "$R/var/lib/archipelago"
mount --bind "$DISK/data/containers" "$R/var/lib/containers"
mount --bind "$DISK/data/home" "$R/home"
mount -t proc proc "$R/proc"
mount -t sysfs sysfs "$R/sys"
# a pure version 2 tree, with the node's own cgroup as its root: crun refuses a hybrid one
mount -t cgroup2 cgroup2 "$R/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$R/dev"
for d in null zero full random urandom tty; do
	touch "$R/dev/$d"
	mount --bind "/dev/$d" "$R/dev/$d"
done
# everybody may open these two on a machine with udev, and rootless podman must; the machine around may have no udev
mkdir "$R/dev/net"
mknod -m 666 "$R/dev/fuse" c 10 229
mknod -m 666 "$R/dev/net/tun" c 10 200
mkdir "$R/dev/pts" "$R/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$R/dev/pts"
ln -s pts/ptmx "$R/dev/ptmx"
mount -t tmpfs -o mode=1777 tmpfs "$R/dev/shm"
ln -s /proc/self/fd "$R/dev/fd"
ln -s /proc/self/fd/0 "$R/dev/stdin"
ln -s /proc/self/fd/1 "$R/dev/stdout"
ln -s /proc/self/fd/2 "$R/dev/stderr"
mount -t tmpfs -o mode=755 tmpfs "$R/run"
mount -t tmpfs -o mode=1777 tmpfs "$R/tmp"
if [ -n "${BOOT_ID:-}" ]; then
	# an id of its own for each boot, as on a machine; the kernel's is that of the machine around. Not for every node: with
	# a mount below /proc the kernel lets no user namespace mount a /proc of its own, so rootless containers cannot start.
	cat /proc/sys/kernel/random/uuid >"$R/run/boot-id"
	mount --bind "$R/run/boot-id" "$R/proc/sys/kernel/random/boot_id"
fi
cd "$R"
pivot_root . .old
umount -l /.old
mount --make-rshared /
hostname archy
ip link set lo up
if [ -n "${LAN:-}" ]; then
	# a cable whose other end nobody answers at: the address and the default route of a node at home
	ip link add lan0 type veth peer name cable
	ip addr add "$LAN/24" dev lan0
	ip link set cable up
	ip link set lan0 up
	ip route add default via 192.0.2.1
fi
exec env -i container=lxc TERM=linux PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
