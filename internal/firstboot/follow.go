package firstboot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// Beginnings of the lines that tell what root has done for an app.
const (
	ruleLine    = "firewall "
	serviceLine = "tor "
)

// Follow lets the firewall and Tor follow the apps that were installed, removed or given other ports since they last did, tells each change
// that it makes, and remembers. Rules of other apps stay as they are, also where somebody deleted one. A firewall or a Tor that is off stays
// off, and follows when it is on.
func (h *Host) Follow(ctx context.Context, tell func(text string)) error {
	o, err := h.readOutside()
	if err != nil {
		return err
	}
	ids, _ := o.pending()
	if len(ids) == 0 {
		return nil
	}
	_, firewallErr := settle(ctx, Task{Firewall, func(ctx context.Context, p *Plan) error { return h.followFirewall(ctx, p, ids) }}, tell)
	_, torErr := settle(ctx, Task{Tor, h.followTor}, tell)
	o.rules, o.services = o.rules && firewallErr == nil, o.services && torErr == nil
	_, now := o.pending()
	return errors.Join(firewallErr, torErr, h.State.WriteFollowed(now))
}

// Pending are the apps that the firewall or Tor has to follow, sorted. It takes what everybody may read.
func (h *Host) Pending() []string {
	o, err := h.readOutside()
	if err != nil {
		return nil
	}
	ids, _ := o.pending()
	return ids
}

// outside is what the apps have outside of their containers: what is remembered, and what they are to have.
type outside struct {
	before  map[string][]string
	records map[string]state.Record
	unread  []string
	apps    map[string]*manifest.App
	// rules and services tell whether the firewall, and Tor, are asked.
	rules, services bool
	// adopted tells that apps that something else made are asked about too.
	adopted bool
}

func (h *Host) readOutside() (o outside, err error) {
	before, err := h.State.ReadFollowed()
	var unreadable state.Problem
	if err != nil && !errors.As(err, &unreadable) {
		return o, err
	}
	records, _ := h.State.ReadRecords()
	return outside{before: before, records: records, unread: h.unread(), apps: h.Set.Apps, rules: h.rulesFollow(), services: h.servicesFollow()}, nil
}

func (o outside) asked(line string) bool {
	return strings.HasPrefix(line, ruleLine) && o.rules || strings.HasPrefix(line, serviceLine) && o.services
}

// pending are the apps for which something is to be done, sorted; now is what is to be remembered then. Who is not asked is remembered as
// before. An app that something else made has what it always had, and one whose record or manifest cannot be read keeps what it has.
func (o outside) pending() (ids []string, now map[string][]string) {
	now = map[string][]string{}
	both := slices.Concat(sortedNames(o.before), sortedNames(o.records))
	slices.Sort(both)
	for _, id := range slices.Compact(both) {
		before, r := o.before[id], o.records[id]
		lines := slices.DeleteFunc(slices.Clone(before), o.asked)
		switch {
		case slices.Contains(o.unread, id), r.Installed && r.Owner == state.Legacy && !o.adopted:
			lines = before
		case r.Installed:
			for _, line := range linesOf(o.apps[id], r) {
				if o.asked(line) {
					lines = append(lines, line)
				}
			}
		}
		slices.Sort(lines)
		if !slices.Equal(lines, before) {
			ids = append(ids, id)
		}
		if len(lines) > 0 {
			now[id] = lines
		}
	}
	return ids, now
}

// linesOf are what an app has outside of its container.
func linesOf(app *manifest.App, record state.Record) (lines []string) {
	for _, r := range AppRules(app, record) {
		lines = append(lines, ruleLine+strings.Join(r.args(), " "))
	}
	for _, o := range Onions {
		if slices.Contains(o.Apps, app.ID) {
			lines = append(lines, serviceLine+o.Name)
		}
	}
	return lines
}

func (h *Host) rulesFollow() bool { return h.Config.Firewall.Manage && h.firewallOn() }

// servicesFollow tells that archy's block is in Tor's configuration.
func (h *Host) servicesFollow() bool {
	if !h.Config.Tor.Manage || h.otherTor() {
		return false
	}
	text, _, _ := h.readFile(Torrc)
	return strings.Contains(string(text), blockBegin)
}

func (h *Host) followFirewall(ctx context.Context, p *Plan, ids []string) error {
	if !h.rulesFollow() {
		return nil
	}
	status, err := h.run(ctx, "ufw", "status")
	if err != nil {
		return fmt.Errorf("firewall: %w", err)
	}
	if !strings.Contains(status, ufwActive) {
		return errors.New("firewall: ufw is switched on but not loaded, and takes no rules")
	}
	have, err := h.readRules(ctx)
	if err != nil {
		return fmt.Errorf("firewall: %w", err)
	}
	h.rules(p, h.wantedRules(), have, func(comment string) bool { return slices.Contains(ids, strings.TrimPrefix(comment, commentPrefix)) })
	if err := h.rulesInKernel(ctx, p); err != nil {
		return fmt.Errorf("firewall: %w", err)
	}
	return nil
}

// followTor does not wait for the names that Tor makes: the doctor's timer copies what comes later. A Tor that its owner stopped stays stopped.
func (h *Host) followTor(ctx context.Context, p *Plan) error {
	if !h.servicesFollow() {
		return nil
	}
	if _, err := h.run(ctx, "systemctl", "is-active", "--quiet", torUnit); err != nil {
		return errors.New("tor does not run, and takes no services")
	}
	h.torReads(ctx, p)
	return errors.Join(h.torConfig(p), h.lateNames(p))
}

// remembered plans to write down that the firewall and Tor have followed, when all else is done: a first boot makes the rules of adopted apps too.
func (h *Host) remembered(p *Plan) error {
	o, err := h.readOutside()
	o.adopted = true
	if err != nil || len(p.Changes) > 0 {
		return err
	}
	if ids, now := o.pending(); len(ids) > 0 {
		p.add(does(func() error { return h.State.WriteFollowed(now) }), "write down that the firewall and Tor know of %s", strings.Join(ids, ", "))
	}
	return nil
}
