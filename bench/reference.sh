#!/bin/bash
# The reference that "archy reconcile" with nothing to do is measured against: what a reconcile script does that keeps
# its apps in a table and asks podman about one thing at a time. It starts podman 6 times for each app (5 inspect, 1 ps)
# and once for the network: 199 times for 33 apps. With nothing to do it changes nothing.
#
#   reference.sh TABLE      a line an app: name|image|memory in bytes|ports|environment names, space-separated
set -u

log() { printf '%s %s\n' "$(date '+%F %T')" "$*"; }

restart_app() {
	log "$1: $2, restarting"
	systemctl --user restart "$1.service"
}

check_app() {
	local name=$1 image=$2 memory=$3 ports=$4 env=$5 state have port var

	state=$(podman inspect --format '{{.State.Status}}' "$name" 2>/dev/null || echo missing)
	if [ "$state" != running ]; then
		restart_app "$name" "is $state"
		return
	fi

	have=$(podman inspect --format '{{.ImageName}}' "$name")
	if [ "$have" != "$image" ]; then
		restart_app "$name" "runs $have, wants $image"
		return
	fi

	have=$(podman inspect --format '{{.HostConfig.Memory}}' "$name")
	if [ "$have" != "$memory" ]; then
		restart_app "$name" "has memory $have, wants $memory"
		return
	fi

	have=$(podman inspect --format '{{range $p, $b := .HostConfig.PortBindings}}{{range $b}}{{.HostPort}} {{end}}{{end}}' "$name")
	for port in $ports; do
		case " $have " in
		*" $port "*) ;;
		*)
			restart_app "$name" "does not publish $port"
			return
			;;
		esac
	done

	have=$(podman inspect --format '{{range .Config.Env}}{{println .}}{{end}}' "$name")
	for var in $env; do
		if ! grep -q "^$var=" <<<"$have"; then
			restart_app "$name" "lacks $var"
			return
		fi
	done

	have=$(podman ps --filter "name=^$name\$" --format '{{.Status}}')
	case $have in
	*unhealthy*) restart_app "$name" "is unhealthy" ;;
	esac
}

podman network exists archy-net || podman network create archy-net >/dev/null

count=0
while IFS='|' read -r name image memory ports env; do
	check_app "$name" "$image" "$memory" "$ports" "$env" </dev/null
	count=$((count + 1))
done <"$1"
log "$count apps checked"
