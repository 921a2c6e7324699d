package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/update"
)

func updateStatusCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "the update that waits for its verdict, and the last one",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := openEnv(cmd)
			if err != nil {
				return err
			}
			u, err := e.updater(0)
			if err != nil {
				return err
			}
			pending, err1 := u.Pending()
			last, err2 := u.Last()
			if err := errors.Join(err1, err2); err != nil {
				return e.updateError(err, exitFailed)
			}
			return e.printUpdates(pending, last)
		},
	}
}

func (e *env) printUpdates(pending, last *update.Marker) error {
	if e.json {
		return json.NewEncoder(e.out).Encode(struct {
			Schema  int            `json:"schema"`
			Pending *update.Marker `json:"pending"`
			Last    *update.Marker `json:"last"`
		}{1, pending, last})
	}
	var rows [][]string
	if pending != nil {
		rows = append(rows, updateRow("pending", pending, pending.MarkedAt))
	}
	if last != nil {
		rows = append(rows, updateRow("last", last, last.FinishedAt))
	}
	if len(rows) == 0 {
		e.say("no update was ever marked on this node")
		return nil
	}
	return e.table([]string{"UPDATE", "OLD", "NEW", "STATE", "SINCE", "DETAIL"}, rows)
}

func updateRow(which string, m *update.Marker, since time.Time) []string {
	return []string{which, dash(m.OldVersion), dash(m.NewVersion), string(m.State), since.UTC().Format(time.RFC3339), updateDetail(m)}
}

// updateDetail is why an update was undone, and what went wrong with that; without a reason yet the last probe.
func updateDetail(m *update.Marker) string {
	switch {
	case m.Failure != "":
		return m.Reason + "; " + m.Failure
	case m.Reason != "":
		return m.Reason
	case len(m.Probes) == 0:
		return "-"
	}
	p := m.Probes[len(m.Probes)-1]
	return fmt.Sprintf("%d %s, the last: %s", len(m.Probes), plural(len(m.Probes), "probe"), p.Result+sp(p.Detail))
}

func sp(detail string) string {
	if detail == "" {
		return ""
	}
	return " " + detail
}
