package heal

import "slices"

// order of the states, the most urgent first: what stands below the others is repaired before them. A lock that cannot be had comes
// before what podman has lost track of, because a restart without a lock would leave the app down.
var order = []State{NoRuntimeDir, NoUserBus, ReadOnly, DiskFull, DBCorrupt, BootID, StalePause, LocksBroken, LocksExhausted, DBConfig, SubUID, Namespace,
	SocketDown, DBMissing, LostTrack, NameInStorage, StaleDNS, Hung, Unknown, Slow, OK}

func urgency(s State) int { return slices.Index(order, s) }

// rungs of the states; those without one are for a person.
var rungOf = map[State]int{Slow: 0, Hung: 0, NoRuntimeDir: 1, NoUserBus: 1, SocketDown: 2, StalePause: 3, LostTrack: 4, StaleDNS: 4, DBMissing: 4,
	DBCorrupt: 5, NameInStorage: 6, BootID: 7, LocksExhausted: 8, LocksBroken: 8}

func firstRung(s State) int {
	if n, ok := rungOf[s]; ok {
		return n
	}
	return -1
}

// costs says what each rung costs who runs apps.
var costs = [...]string{
	0: "nothing",
	1: "nothing, if the user manager runs",
	2: "questions under way fail; containers go on",
	3: "podman makes a new one; containers go on",
	4: "each managed app that podman has lost is restarted once, one at a time",
	5: "each managed app is restarted once, one at a time",
	6: "what the containers have outside their mounted directories is gone; their data are not touched",
	7: "nothing: no container lives",
	8: "nothing: no container lives",
}

// does says what each rung does.
var does = [...]string{
	0: "wait, and look again",
	1: "let the user manager linger, and start it",
	2: "restart podman.socket",
	3: "put podman's pause file aside, or without one its mark of this boot",
	4: "restart what podman has lost track of, one app at a time; then drop stale lines of the name server",
	5: "put podman's database aside; then rung 4",
	6: "take the name from podman's storage",
	7: "put podman's two runtime directories aside",
	8: "let podman number its locks anew",
}
