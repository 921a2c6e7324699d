package update

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
)

// MessageID marks the journal entry of every verdict: journalctl MESSAGE_ID=...
const MessageID = "6d2d5112e3964a3197ed7d9e586a6c84"

// journalLimit bounds the wait for a journal that takes nothing.
const journalLimit = 5 * time.Second

// Journal is the system's.
type Journal struct{}

// Report implements Reporter.
func (Journal) Report(m *Marker) error {
	sent := make(chan error, 1)
	go func() {
		sent <- journal.Send(m.Sentence(), priority(m.State), map[string]string{
			"MESSAGE_ID": MessageID, "ARCHY_UPDATE_STATE": string(m.State), "ARCHY_UPDATE_OLD_VERSION": m.OldVersion,
			"ARCHY_UPDATE_NEW_VERSION": m.NewVersion, "ARCHY_UPDATE_REASON": m.Reason, "ARCHY_UPDATE_FAILURE": m.Failure,
			"SYSLOG_IDENTIFIER": "archy",
		})
	}()
	select {
	case err := <-sent:
		return err
	case <-time.After(journalLimit):
		return errors.New("it takes no entry")
	}
}

func priority(s State) journal.Priority {
	switch s {
	case RollbackFailed:
		return journal.PriCrit
	case RolledBack:
		return journal.PriErr
	case Stale:
		return journal.PriWarning
	}
	return journal.PriNotice
}

// Sentence says in one line what became of an update, and names what failed.
func (m *Marker) Sentence() string {
	next, before := version(m.NewVersion, "the new version"), version(m.OldVersion, "the old version")
	switch m.State {
	case Committed:
		return fmt.Sprintf("update to %s confirmed: it answers", next)
	case Stale:
		return fmt.Sprintf("update to %s left as it is: its marker of %s is too old to act on", next, m.MarkedAt.UTC().Format(time.RFC3339))
	case RolledBack:
		return fmt.Sprintf("update to %s undone (%s): %s is back and answers", next, m.Reason, before)
	case RollbackFailed:
		return fmt.Sprintf("update to %s could not be undone (%s): %s", next, m.Reason, m.Failure)
	case RollingBack:
		return fmt.Sprintf("update to %s is being undone (%s)", next, m.Reason)
	}
	return fmt.Sprintf("update from %s to %s is %s", before, next, strings.ReplaceAll(string(m.State), "-", " "))
}

func version(v, otherwise string) string {
	if v == "" {
		return otherwise
	}
	return v
}
