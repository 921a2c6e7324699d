package firstboot

import (
	"context"
	"errors"
	"fmt"
)

// Part is one thing that the steps look after, for whoever asks how it is without making a first boot: the doctor.
type Part string

// The parts that can be asked for one by one.
const (
	PartSubordinate   Part = "subordinate ids"
	PartLinger        Part = "lingering"
	PartUserManager   Part = "user manager"
	PartStorage       Part = "storage"
	PartContainers    Part = "containers.conf"
	PartRuntimeDir    Part = "runtime directory"
	PartDirectories   Part = "directories"
	PartJournal       Part = "journal"
	PartEphemeral     Part = "ports of connections"
	PartTor           Part = "tor"
	PartTorNames      Part = "tor names"
	PartFirewall      Part = "firewall"
	firewallUnmanaged      = "firewall.manage is false"
)

// ErrUnmanaged says that the configuration leaves a part to its owner.
var ErrUnmanaged = errors.New("left to its owner by the configuration")

// CheckPart says what a step would do about one part, and changes nothing. The error is what would end the step.
func (h *Host) CheckPart(ctx context.Context, part Part) (Plan, error) {
	var p Plan
	checks := map[Part]func() error{
		PartSubordinate: func() error { return errors.Join(h.subordinate(&p, "/etc/subuid"), h.subordinate(&p, "/etc/subgid")) },
		PartLinger:      func() error { h.linger(&p); return nil },
		PartUserManager: func() error {
			return errors.Join(h.absentDir(&p, SystemDirectories(h.System)[0]), h.userManager(ctx, &p))
		},
		PartStorage:     func() error { return h.storagePart(&p) },
		PartContainers:  func() error { _, err := h.fileChange(&p, ContainersConf(h.Layout, h.service())); return err },
		PartRuntimeDir:  h.runtimeDir,
		PartDirectories: func() error { return h.directories(ctx, &p) },
		PartJournal:     func() error { return h.journal(ctx, &p) },
		PartEphemeral:   func() error { return h.ephemeral(&p) },
		PartTor:         func() error { return h.torPart(ctx, &p) },
		PartTorNames:    func() error { return h.lateNames(&p) },
		PartFirewall:    func() error { return h.firewallPart(ctx, &p) },
	}
	check, ok := checks[part]
	if !ok {
		return p, fmt.Errorf("no part of a first boot is called %q", part)
	}
	err := check()
	return p, err
}

func (h *Host) storagePart(p *Plan) error {
	if err := h.otherStorage(); err != nil {
		return err
	}
	_, err := h.fileChange(p, StorageConf(h.Layout, h.service()))
	return errors.Join(err, h.storageLink(p))
}

// torPart is the configuration of Tor, and that it runs.
func (h *Host) torPart(ctx context.Context, p *Plan) error {
	switch {
	case !h.Config.Tor.Manage, h.otherTor():
		return ErrUnmanaged
	case !h.anywhere("tor", toolDirs...):
		return errors.New("tor is not installed: apt install tor")
	}
	return errors.Join(h.torConfig(p), h.torRuns(ctx, p))
}

func (h *Host) firewallPart(ctx context.Context, p *Plan) error {
	if !h.Config.Firewall.Manage {
		return fmt.Errorf("%s: %w", firewallUnmanaged, ErrUnmanaged)
	}
	return h.firewall(ctx, p)
}
