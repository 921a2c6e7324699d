package firstboot

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"git.tx1138.com/lfg2025/archy/internal/durable"
	"git.tx1138.com/lfg2025/archy/internal/failpoint"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// directories makes the directories one by one, nothing recursive: what is in them may belong to containers.
func (h *Host) directories(_ context.Context, p *Plan) error {
	var errs []error
	for _, d := range DirectoryTable(h.Layout, h.service(), h.System) {
		errs = append(errs, h.dirChange(p, d))
	}
	for _, d := range SystemDirectories(h.System) {
		errs = append(errs, h.absentDir(p, d))
	}
	_, err := h.fileChange(p, TmpfilesConf(h.System))
	errs = append(errs, err, h.installLog(p), h.reserve(p))
	return errors.Join(errs...)
}

// installLog plans the log that only grows: its mode and owner are corrected, its content is never touched.
func (h *Host) installLog(p *Plan) error {
	st, found, err := h.stat(InstallLog)
	switch {
	case err != nil:
		return err
	case !found:
		_, err := h.fileChange(p, File{Path: InstallLog, Mode: 0o644, Owner: h.service()})
		return err
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return &errKind{InstallLog, kindOf(st), "a file"}
	case !right(st, 0o644, h.service()):
		p.add(does(func() error { return h.correct(InstallLog, 0o644) }), "correct mode and owner of %s", InstallLog)
	}
	return nil
}

// correct gives an existing file to the service user.
func (h *Host) correct(name string, mode os.FileMode) error {
	f, err := h.open(name, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	return own(f, mode, h.service())
}

// reserve plans the space that is given up when the disk is full, so that state can still be written.
func (h *Host) reserve(p *Plan) error {
	name := state.Reserve(h.Layout)
	switch st, found, err := h.stat(name); {
	case err != nil:
		return err
	case found && st.Mode&unix.S_IFMT != unix.S_IFREG:
		return &errKind{name, kindOf(st), "a file"}
	case found && st.Size == h.Reserve && st.Blocks*512 >= h.Reserve:
		return nil
	}
	p.add(does(func() error { return h.makeReserve(name) }), "set %d MiB aside in %s", h.Reserve>>20, name)
	return nil
}

func (h *Host) makeReserve(name string) error {
	dir, base, err := h.parent(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	fd, err := unix.Openat(int(dir.Fd()), base, unix.O_WRONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if err := own(f, 0o600, h.service()); err != nil {
		return err
	}
	if err := failpoint.Write("allocate "+name, func() error { return durable.Allocate(f, h.Reserve) }); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return f.Sync()
}

// nostr makes the directory of a relay that is not shipped; what is there stays untouched.
func (h *Host) nostr(_ context.Context, p *Plan) error {
	return h.absentDir(p, Dir{h.Layout.Data("nostr-relay"), 0o750, h.service()})
}

// MakeLockDir makes the directory of the locks, which comes before everything else.
func (h *Host) MakeLockDir() error {
	return h.makeDir(Dir{h.Layout.LockDir, 0o755, h.service()})
}
