# Runs once, inside a copy of the node's base, as root: what makes it a machine of its own. In the environment: AUTHORIZED, HOSTKEY.
export DEBIAN_FRONTEND=noninteractive
# the disk's driver and file system are all that the first stage needs; what is small is made, read and unpacked sooner
mkdir -p /etc/initramfs-tools/conf.d
printf 'MODULES=list\nCOMPRESSLEVEL=1\n' >/etc/initramfs-tools/conf.d/small
printf 'virtio_pci\nvirtio_blk\next4\n' >/etc/initramfs-tools/modules
apt-get update -q
apt-get install -y -q --no-install-recommends -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io linux-image-cloud-amd64 initramfs-tools zstd openssh-server
apt-get clean
# this machine has the pids controller, so podman's own limit holds
rm /etc/containers/containers.conf.d/50-node.conf
printf '[Match]\nName=en*\n[Network]\nDHCP=yes\n' >/etc/systemd/network/10-cable.network
systemctl enable systemd-networkd ssh
systemctl unmask systemd-modules-load.service
mkdir -p -m 700 /root/.ssh
printf '%s\n' "$AUTHORIZED" >/root/.ssh/authorized_keys
rm -f /etc/ssh/ssh_host_*
printf '%s\n' "$HOSTKEY" >/etc/ssh/ssh_host_ed25519_key
chmod 600 /etc/ssh/ssh_host_ed25519_key
# limits reach the service user's containers
mkdir -p /etc/systemd/system/user@.service.d
printf '[Service]\nDelegate=cpu memory pids\n' >/etc/systemd/system/user@.service.d/delegate.conf
mkdir -p /var/lib/archipelago && chown archipelago: /var/lib/archipelago
: >/etc/resolv.conf
