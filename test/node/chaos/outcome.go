package chaos

// Outcome is what is kept of a round.
type Outcome struct {
	Scenario int    `json:"scenario"`
	Fault    string `json:"fault"`
	Group    string `json:"group"`
	Run      int    `json:"run"`
	Seed     uint64 `json:"seed"`
	// Apps are the seconds that each app that was hit needed to be back; -1: it was not.
	Apps map[string]float64 `json:"apps"`
	// Seconds is how long the whole round took.
	Seconds float64 `json:"seconds"`
	Exits   []Exit  `json:"exits,omitempty"`
	// Failures are the rules that were broken, Late the limits that were missed.
	Failures []string `json:"failures,omitempty"`
	Late     []string `json:"late,omitempty"`
	// Log is what archy said, kept when something failed.
	Log string `json:"log,omitempty"`
}
