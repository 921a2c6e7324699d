#!/bin/sh
# build.sh ARCHY VERSION OUT.deb: makes the Debian package of an archy binary. The files are those that archy iso install
# lays down, so that archy iso check holds for both.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
archy=$1 version=$2 out=$3
: "${SOURCE_DATE_EPOCH:=$(git -C "$here" log -1 --format=%ct 2>/dev/null || date +%s)}"
export SOURCE_DATE_EPOCH

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
chmod 755 "$stage"
"$archy" iso install --root "$stage" --owner "$(id -u):$(id -g)"

# The links are the one exception: the package's scripts enable the units, so that what an operator disabled stays disabled over an upgrade.
rm -r "$stage"/etc/systemd/system/*.wants

doc=$stage/usr/share/doc/archy
install -d -m 755 "$doc" "$stage/usr/share/lintian/overrides" "$stage/DEBIAN"
install -m 644 "$here/copyright" "$doc/copyright"
install -m 644 "$here/lintian-overrides" "$stage/usr/share/lintian/overrides/archy"
{
	printf 'archy (%s) unstable; urgency=medium\n\n' "$version"
	printf '  * Built from its sources; their CHANGELOG.md says what is new.\n\n'
	printf ' -- The archy authors <archy@archipelago.invalid>  %s\n' "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$doc/changelog.gz"
chmod 644 "$doc/changelog.gz"

# contexts prints the build contexts, each with the digest of its files.
contexts() {
	for dir in "$stage"/opt/archipelago/docker/*/; do
		sum=$(cd "$dir" && find . -type f -exec sha256sum {} + | LC_ALL=C sort | sha256sum)
		echo "$(basename "$dir") ${sum%% *}"
	done
}

contexts >"$stage/contexts"
for script in preinst postinst prerm postrm; do
	sed -e "/^@CONTEXTS@\$/{r $stage/contexts
d}" "$here/$script" >"$stage/DEBIAN/$script"
	chmod 755 "$stage/DEBIAN/$script"
done
rm "$stage/contexts"
echo /etc/archipelago/archy.yaml >"$stage/DEBIAN/conffiles"
(cd "$stage" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) >"$stage/DEBIAN/md5sums"
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$(dpkg --print-architecture)/" \
	-e "s/@SIZE@/$(du -sk --exclude=DEBIAN "$stage" | cut -f1)/" "$here/control" >"$stage/DEBIAN/control"
chmod 644 "$stage"/DEBIAN/conffiles "$stage"/DEBIAN/md5sums "$stage"/DEBIAN/control

find "$stage" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$(dirname "$out")"
dpkg-deb --root-owner-group -Zxz --build "$stage" "$out" >/dev/null
