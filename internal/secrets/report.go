package secrets

import (
	"fmt"
	"strings"
)

// ListHeader names the columns of ListRows.
var ListHeader = []string{"NAME", "KIND", "STATE", "MODE", "OWNER", "MODIFIED", "READERS"}

// ListRows are the cells of a table of secrets, without any value.
func ListRows(list []Info) [][]string {
	rows := make([][]string, 0, len(list))
	for _, i := range list {
		kind, state, mode, own, modified := "-", "missing", "-", "-", "-"
		if i.Kind != "" {
			kind = string(i.Kind)
		}
		if i.Mode != "" {
			state, mode, own = "empty", i.Mode, fmt.Sprintf("%d:%d", i.UID, i.GID)
			modified = i.Modified.Format("2006-01-02T15:04:05Z")
		}
		if i.Present {
			state = "ok"
		}
		if i.Backup {
			state = "backup"
		}
		rows = append(rows, []string{i.Name, kind, state, mode, own, modified, orDash(strings.Join(i.Readers, " "))})
	}
	return rows
}

// CheckHeader names the columns of CheckRows.
var CheckHeader = []string{"CODE", "SECRET", "FINDING", "REPAIR"}

// CheckRows are the cells of a table of findings.
func CheckRows(found []Finding) [][]string {
	rows := make([][]string, 0, len(found))
	for _, f := range found {
		name := f.Name
		if name == "" {
			name = f.Path
		}
		rows = append(rows, []string{string(f.Code), name, f.Detail, f.Repair})
	}
	return rows
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
