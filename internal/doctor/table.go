package doctor

import "time"

// Words for who mends what a check finds.
const (
	mendsNobody    = "report"
	mendsSafe      = "`--fix`, `--heal=safe`"
	mendsFull      = "`--heal=full` as root"
	mendsReconcile = "next pass"
	mendsBoot      = "`first-boot --again`"
	mendsPrune     = "`archy prune`"
	mendsHeal      = "`--heal=safe`, `--heal=full`"
)

// slow is for the checks that wait for podman.
const slow = observeLimit + 5*time.Second

// Checks are all checks in the order in which they are told: what lies below comes first, because what is broken there
// breaks what stands on it.
func Checks() []Check {
	return []Check{
		{Code: "D_CONFIG", Looks: "the configuration loads", Worst: Error, Mends: mendsNobody, Run: config},
		{Code: "D_USER", Looks: "the service user is there, with its home", Worst: Error, Mends: mendsNobody, Run: user},
		{Code: "D_VOLUME", Looks: "the data directory is the node's data volume, mounted, and not read-only", Worst: Error, Mends: "never", Run: volume},
		{Code: "D_SPACE", Looks: "free space and inodes of the data volume, the reserve file", Worst: Error, Mends: mendsPrune, Run: space},
		{Code: "D_MEMORY", Looks: "memory: how much, and whether programs wait for it", Worst: Warning, Mends: mendsNobody, Run: memory},
		{Code: "D_CLOCK", Looks: "the clock is set and synchronised, and did not jump back", Worst: Error, Mends: mendsNobody, Run: clock},
		{Code: "D_DNS", Looks: "names resolve", Worst: Warning, Mends: mendsNobody, Run: dns},
		{Code: "D_JOURNAL", Looks: "the journal is persistent and below its cap", Worst: Warning, Mends: mendsBoot, Run: journal},
		{Code: "D_SYSCTL", Looks: "no connection is given the port of an app", Worst: Warning, Mends: mendsBoot, Run: reservedPorts},
		{Code: "D_DIRECTORY", Looks: "directories of the node, with mode and owner", Worst: Warning, Mends: mendsBoot, OnVolume: true, Run: directories},

		{Code: "D_SUBID", Looks: "subordinate ids: 65536 or more, and those that the data was made with", Worst: Error, Mends: mendsNobody, Run: subid},
		{Code: "D_LINGER", Looks: "the service user's manager runs without anybody logged in", Worst: Error, Mends: mendsSafe, Run: linger},
		{Code: "D_DROPIN", Looks: "that manager waits for the data volume", Worst: Warning, Mends: mendsSafe, Run: dropIn},
		{Code: "D_CGROUP", Looks: "control groups version 2, with cpu, memory and pids delegated", Worst: Error, Mends: mendsNobody, Run: cgroup},
		{Code: "D_RUNTIME_DIR", Looks: "the runtime directory with bus and podman's socket", Worst: Error, Mends: mendsNobody, Run: runtimeDir},
		{Code: "D_GRAPHROOT", Looks: "podman's storage is on the data volume", Worst: Error, Mends: mendsBoot, OnVolume: true, Run: graphRoot},
		{Code: "D_CONTAINERS_CONF", Looks: "podman's network backend and temporary directory", Worst: Warning, Mends: mendsBoot, Run: containersConf},
		{Code: "D_PODMAN", Looks: "podman answers, and its state is whole", Worst: Error, Mends: mendsHeal, Who: ServiceUser, Limit: 3 * time.Minute, Run: podmanState},
		{Code: "D_STATE", Looks: "what archy remembers can be read; what could not, and was written anew, is listed until somebody removes it", Worst: Error, Mends: mendsNobody, OnVolume: true, Run: stateFiles},
		{Code: "D_MANIFEST", Looks: "the manifests of the apps are right", Worst: Error, Mends: mendsNobody, Run: manifests},

		{Code: "D_SECRET_MODE", Looks: "secrets: mode and owner", Worst: Error, Mends: mendsSafe, OnVolume: true, Run: secretModes},
		{Code: "D_SECRET", Looks: "secrets of the installed apps: there, and usable", Worst: Error, Mends: mendsNobody, OnVolume: true, Run: secretContents},
		{Code: "D_SECRET_DRIFT", Looks: "secret files, podman's secrets and the containers agree", Worst: Warning, Mends: mendsReconcile, Who: ServiceUser, Limit: slow, OnVolume: true, Run: secretDrift},
		{Code: "D_UNIT_FOREIGN", Looks: "units of the apps' names are archy's", Worst: Warning, Mends: mendsNobody, OnVolume: true, Run: unitForeign},
		{Code: "D_UNIT_EDITED", Looks: "archy's units are as archy wrote them", Worst: Warning, Mends: mendsReconcile, Who: ServiceUser, Limit: slow, OnVolume: true, Run: unitEdited},
		{Code: "D_UNIT_REJECTED", Looks: "podman's generator takes every unit, and systemd has it", Worst: Error, Mends: mendsReconcile, Who: ServiceUser, Limit: slow, OnVolume: true, Run: unitRejected},
		{Code: "D_FILE", Looks: "derived files are as their secrets and facts say", Worst: Warning, Mends: mendsReconcile, Who: ServiceUser, Limit: slow, OnVolume: true, Run: derivedFiles},
		{Code: "D_IMAGE", Looks: "images of the apps that shall run are here", Worst: Warning, Mends: mendsReconcile, Who: ServiceUser, Limit: slow, OnVolume: true, Run: images},
		{Code: "D_APP", Looks: "the apps are as their owner wants them; of an image or a manifest of the owner's: nothing is kept where it goes with the container", Worst: Error, Mends: mendsReconcile, Who: ServiceUser, Limit: slow, OnVolume: true, Run: appStates},
		{Code: "D_PORT", Looks: "no port of an app is held by somebody else", Worst: Error, Mends: mendsNobody, Who: ServiceUser, Limit: slow, OnVolume: true, Run: ports},
		{Code: "D_CONFLICT", Looks: "no two alternatives are installed or run", Worst: Warning, Mends: mendsNobody, OnVolume: true, Run: conflicts},
		{Code: "D_BREAKER", Looks: "no breaker is open", Worst: Warning, Mends: mendsNobody, OnVolume: true, Run: breakers},
		{Code: "D_STALE_OP", Looks: "no operation was left half done", Worst: Warning, Mends: mendsReconcile, OnVolume: true, Run: staleOperations},
		{Code: "D_LEGACY_CGROUP", Looks: "no container lives in the control group of another service", Worst: Warning, Mends: "`adopt --migrate`", Who: ServiceUser, Limit: slow, OnVolume: true, Run: legacyCgroups},

		{Code: "D_NETWORK", Looks: "the bridges are there with their addresses, and clash with none of the host", Worst: Error, Mends: mendsReconcile, Who: ServiceUser, Limit: slow, OnVolume: true, Run: networks},
		{Code: "D_HOST_GATEWAY", Looks: "`host.containers.internal` is the host and not the router", Worst: Error, Mends: mendsReconcile, Who: ServiceUser, Limit: slow, OnVolume: true, Run: hostGateway},
		{Code: "D_NETNS_STALE", Looks: "the network that the bridges share leads out as the host's does", Worst: Warning, Mends: mendsNobody, Who: ServiceUser, Run: netnsStale},
		{Code: "D_BOOT_WAIT", Looks: "how long the apps waited for the network at boot", Worst: Info, Mends: mendsNobody, Who: ServiceUser, Run: bootWait},
		{Code: "D_FIREWALL", Looks: "ufw is on, has the rules of the installed apps, in the kernel too, and lets somebody reach what adopted containers publish", Worst: Warning, Mends: mendsBoot, Who: Root, Limit: time.Minute, OnVolume: true, Run: firewall},
		{Code: "D_TOR", Looks: "Tor runs with archy's block, and its host names are copied", Worst: Warning, Mends: "host names: " + mendsSafe, Who: Root, Limit: 30 * time.Second, OnVolume: true, Run: tor},
		{Code: "D_CERT", Looks: "certificates of the node and of lnd", Worst: Error, Mends: mendsNobody, Run: certificates},

		{Code: "D_TIMER", Looks: "archy's units are installed, on, and ended well", Worst: Warning, Mends: mendsNobody, Run: timers},
		{Code: "D_UPDATE", Looks: "no update is stuck, and the last one did not fail", Worst: Error, Mends: mendsNobody, Run: updates},
		{Code: "D_WEBUI_MODE", Looks: "the web server may read the pages", Worst: Error, Mends: mendsFull, Who: Root, Run: webUI},
		{Code: "D_VERSION", Looks: "versions of archy, of podman and of the release agree with what was installed", Worst: Error, Mends: mendsNobody, Run: versions},
		{Code: "D_QUARANTINE", Looks: "what a heal has set aside", Worst: Info, Mends: mendsPrune, OnVolume: true, Run: quarantined},
	}
}
