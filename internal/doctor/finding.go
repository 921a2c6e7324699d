package doctor

import (
	"context"
	"errors"
	"fmt"

	"git.tx1138.com/lfg2025/archy/internal/firstboot"
)

func info(object, format string, args ...any) Finding {
	return Finding{Severity: Info, Object: object, Text: fmt.Sprintf(format, args...)}
}

func warning(object, format string, args ...any) Finding {
	return Finding{Severity: Warning, Object: object, Text: fmt.Sprintf(format, args...)}
}

func failure(object, format string, args ...any) Finding {
	return Finding{Severity: Error, Object: object, Text: fmt.Sprintf(format, args...)}
}

// skip is the only finding of a check that could not look.
func skip(format string, args ...any) []Finding {
	return []Finding{{Severity: Skipped, Text: fmt.Sprintf(format, args...)}}
}

// by names the command that mends it.
func (f Finding) by(format string, args ...any) Finding {
	f.Mend = fmt.Sprintf(format, args...)
	return f
}

// human marks what archy will not decide.
func (f Finding) human() Finding {
	f.Human = true
	return f
}

// fixable has the doctor mend it at this level.
func (f Finding) fixable(level Repair, fix func(ctx context.Context) error) Finding {
	f.level, f.fix, f.Safe = level, fix, level == Safe
	return f
}

// again is the command that makes root's steps anew.
const again = "sudo archy first-boot --again"

// elsewhere says that only the running node can be asked.
const elsewhere = "another root is looked at, and its services cannot be asked"

// part asks the steps of a first boot how one of their parts is. Each change that a step would make is a finding of this
// severity, and so is why it cannot be asked.
func part(ctx context.Context, n *Node, p firstboot.Part, severity Severity, object string) []Finding {
	plan, err := n.Host.CheckPart(ctx, p)
	var list []Finding
	for _, w := range plan.Warnings {
		list = append(list, warning(object, "%s", w))
	}
	for _, c := range plan.Changes {
		list = append(list, Finding{Severity: severity, Object: object, Text: "to do: " + c.Text, Mend: again, fix: c.Apply})
	}
	if f, ok := partError(err, severity, object); ok {
		list = append(list, f)
	}
	return list
}

func partError(err error, severity Severity, object string) (Finding, bool) {
	var human *firstboot.HumanError
	switch {
	case err == nil, errors.Is(err, firstboot.ErrUnmanaged):
		return Finding{}, false
	case errors.Is(err, errElsewhere):
		return skip(elsewhere)[0], true
	case errors.As(err, &human):
		return failure(object, "%s", human.Text).by("%s", human.Hint).human(), true
	}
	return Finding{Severity: severity, Object: object, Text: err.Error(), Mend: again}, true
}

// asSafe lets --fix make the changes of a part, all of them in order with the first.
func asSafe(list []Finding) []Finding {
	for i, f := range list {
		if f.fix != nil {
			list[i] = f.fixable(Safe, f.fix)
		}
	}
	return list
}

// reportOnly takes the changes of a part away: nobody makes them but the command that is named.
func reportOnly(list []Finding) []Finding {
	for i := range list {
		list[i].fix = nil
	}
	return list
}

// mendBy names another command for what has none of its own.
func mendBy(list []Finding, command string) []Finding {
	for i, f := range list {
		if f.Mend == again && f.Severity != Skipped {
			list[i].Mend = command
		}
	}
	return list
}
