# Runs once, inside the new root, as root: what makes a bare Debian a node.
useradd --create-home --uid 1000 --shell /bin/bash --groups sudo archipelago
grep -q ^archipelago: /etc/subuid || {
	echo archipelago:100000:65536 >>/etc/subuid
	echo archipelago:100000:65536 >>/etc/subgid
}
echo 'archipelago ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/archipelago
mkdir -p /var/lib/systemd/linger /etc/archipelago /opt/archipelago/apps /var/lib/archipelago
touch /var/lib/systemd/linger/archipelago

echo archy >/etc/hostname
printf '127.0.0.1 localhost archy\n::1 localhost\n' >/etc/hosts
# the node has no uplink: a name that is not its own must fail at once, as with the cable pulled
: >/etc/resolv.conf

# the user's journal is readable by the user only when it is persistent
mkdir -p /etc/systemd/journald.conf.d /var/log/journal
printf '[Journal]\nStorage=persistent\n' >/etc/systemd/journald.conf.d/20-node.conf
echo 'd /run/archy 0755 archipelago archipelago -' >/etc/tmpfiles.d/archy.conf

# a cgroup tree without the pids controller refuses podman's default limit
mkdir -p /etc/containers/containers.conf.d /etc/containers/registries.conf.d
printf '[containers]\npids_limit = 0\n' >/etc/containers/containers.conf.d/50-node.conf
# both registries are the test's own; a reference keeps its name and has no other place to come from
cat >/etc/containers/registries.conf.d/50-archy-test.conf <<'EOF'
unqualified-search-registries = ["docker.io"]

[[registry]]
prefix = "docker.io"
location = "127.0.0.1:5000"
insecure = true

[[registry]]
prefix = "ghcr.io"
location = "127.0.0.1:5000/ghcr.io"
insecure = true
EOF

home=/home/archipelago
mkdir -p $home/.config/containers/systemd $home/.config/systemd/user/sockets.target.wants
cat >$home/.config/containers/storage.conf <<'EOF'
[storage]
driver = "overlay"
graphroot = "/var/lib/archipelago/containers/storage"
runroot = "/run/user/1000/containers"
EOF
ln -s /usr/lib/systemd/user/podman.socket $home/.config/systemd/user/sockets.target.wants/
chown -R archipelago:archipelago $home

systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
	getty.target console-getty.service systemd-modules-load.service
# rootless Quadlet units wait up to 90 s for this target, and nothing else pulls it in here
systemctl add-wants multi-user.target network-online.target
systemctl disable nginx tor ufw
apt-get clean
