package doctor

// Merge puts the results of both halves in the order of the checks: those of the service user's from apps, all others from
// host. Each half has a result for every check.
func Merge(checks []Check, host, apps []Result) []Result {
	out := make([]Result, len(checks))
	for i, c := range checks {
		out[i] = host[i]
		if c.Who == ServiceUser {
			out[i] = apps[i]
		}
	}
	return out
}

// Absent are the results of the half of the service user when nobody made it.
func Absent(checks []Check, why string) []Result {
	out := make([]Result, len(checks))
	for i, c := range checks {
		out[i] = skipped(c, why)
	}
	return out
}

// Broken are the results of that half when it was to be made and could not be: that is an error of podman's surroundings.
func Broken(checks []Check, err error) []Result {
	out := Absent(checks, "the service user's half of the doctor could not be made, see D_PODMAN")
	for i, c := range checks {
		if c.Code == "D_PODMAN" {
			f := failure("", "the service user could not look at podman and the apps: %v", err).by("sudo archy --as-service-user doctor")
			out[i] = Result{Code: c.Code, Looks: c.Looks, Status: Error, Findings: []Finding{f}}
		}
	}
	return out
}
