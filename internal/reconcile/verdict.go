package reconcile

import "fmt"

// Action is what a pass did about an app, as reports print it.
type Action string

// The actions.
const (
	NoOp       Action = "NoOp"
	Adopted    Action = "Adopted"
	Installed  Action = "Installed"
	Started    Action = "Started"
	Restarted  Action = "Restarted"
	Recreated  Action = "Recreated"
	Stopped    Action = "Stopped"
	Removed    Action = "Removed"
	Unpaused   Action = "Unpaused"
	Migrated   Action = "Migrated"
	Updated    Action = "Updated" // a unit or a file was rewritten, nothing restarted
	RolledBack Action = "RolledBack"
	Waiting    Action = "Waiting"
	Left       Action = "Left"
	Blocked    Action = "Blocked"
	NeedsHuman Action = "NeedsHuman"
	Failed     Action = "Failed"
)

// Class sorts results for the summary and the exit code.
type Class string

// The classes. Only failed and needs_human make a pass exit non-zero.
const (
	ClassOK          Class = "ok"
	ClassWaiting     Class = "waiting"
	ClassBlocked     Class = "blocked"
	ClassNeedsConfig Class = "needs_config"
	ClassFailed      Class = "failed"
	ClassNeedsHuman  Class = "needs_human"
)

// Verdict is the decision on one app: what will be done, why, and what is shown when nothing is.
type Verdict struct {
	Row    string // the row of the table in docs/reconcile.md
	Action Action
	State  string
	Cause  string
	Class  Class
	Code   string
	Hint   string
	// Steps are what must be done, in order; empty when the app is left alone.
	Steps []step
	// Counted tells that the breaker counts this.
	Counted bool
	Drift   []Drift
}

// step is one thing to do to an app; the plan turns it into operations.
type step string

const (
	stepAdopt    step = "adopt"
	stepDropUnit step = "drop unit"
	stepPrepare  step = "prepare"
	stepFiles    step = "files"
	stepUnit     step = "unit"
	stepStart    step = "start"
	stepRestart  step = "restart"
	stepReplace  step = "replace"
	stepStop     step = "stop"
	stepRemove   step = "remove"
	stepUnpause  step = "unpause"
	stepLegacy   step = "legacy start"
	stepMigrate  step = "migrate"
	stepWait     step = "wait"
	stepGate     step = "gate"
	stepRollBack step = "roll back"
	stepHooks    step = "hooks"
	stepPurge    step = "purge"
	stepWallet   step = "wallet"
)

func left(row, state, cause string, class Class) *Verdict {
	return &Verdict{Row: row, Action: Left, State: state, Cause: cause, Class: class}
}

func waiting(row, state, cause string) *Verdict {
	return &Verdict{Row: row, Action: Waiting, State: state, Cause: cause, Class: ClassWaiting}
}

func act(row string, action Action, state, cause string, steps ...step) *Verdict {
	return &Verdict{Row: row, Action: action, State: state, Cause: cause, Class: ClassOK, Steps: steps}
}

func failed(row, state, code, cause, hint string) *Verdict {
	return &Verdict{Row: row, Action: Failed, State: state, Code: code, Cause: cause, Hint: hint, Class: ClassFailed}
}

func human(row, state, code, cause, hint string) *Verdict {
	return &Verdict{Row: row, Action: NeedsHuman, State: state, Code: code, Cause: cause, Hint: hint, Class: ClassNeedsHuman}
}

// counted marks a verdict as one that the breaker counts.
func (v *Verdict) counted() *Verdict {
	v.Counted = true
	return v
}

func (v *Verdict) countedIf(yes bool) *Verdict {
	v.Counted = v.Counted || yes
	return v
}

func (v *Verdict) drifted(list []Drift) *Verdict {
	v.Drift = list
	return v
}

func plural(n int, one string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %ss", n, one)
}
