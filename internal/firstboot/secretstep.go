package firstboot

import (
	"context"
	"fmt"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

// secrets makes the secrets that every node has. What exists is never written; modes and owners are mended. One that cannot be made, or not be
// used, fails only the installed apps that need it, when they are made; a node that has data and lost all of them is somebody's to decide about.
func (h *Host) secrets(_ context.Context, p *Plan) error {
	wanted := secrets.FirstBootSecrets()
	var stakes []string
	absent := 0
	for _, f := range h.Secrets.Check(wanted) {
		w, known := wantedNamed(wanted, f.Name)
		switch {
		case f.Code == secrets.DirMissing:
			// The step before makes it; then this one is asked again.
			p.add(func(context.Context) error { return f }, "make %d secrets", len(wanted))
		case f.Fixable():
			p.add(does(func() error { return h.Secrets.Repair(f) }), "mend %s: it %s", f.Path, f.Detail)
		case known && (f.Code == secrets.Missing || f.Code == secrets.Empty):
			absent++
			if ok, why := secrets.GenerationRule(f.Name, h.DataPresent(w.Apps)); !ok {
				stakes = append(stakes, why)
				continue
			}
			p.add(does(func() error { _, _, err := h.Secrets.Generate(w.Name, w.Kind); return err }), "make the secret %s", f.Name)
		case known && f.Code == secrets.Unfinished:
			p.add(does(func() error { _, _, err := h.Secrets.Generate(w.Name, w.Kind); return err }), "complete the rotation of %s", f.Name)
		default:
			p.warn("%s", f.Error())
		}
	}
	if len(stakes) > 0 && absent == len(wanted) {
		return &HumanError{fmt.Sprintf("this node has data and not the secrets that open them: %s", strings.Join(stakes, "; ")),
			"put " + h.Secrets.Dir + " back from a backup; new secrets would lock the apps out of their data, so none was made"}
	}
	for _, why := range stakes {
		p.warn("%s", why)
	}
	return nil
}

func wantedNamed(wanted []secrets.Wanted, name string) (secrets.Wanted, bool) {
	for _, w := range wanted {
		if w.Name == name {
			return w, true
		}
	}
	return secrets.Wanted{}, false
}
