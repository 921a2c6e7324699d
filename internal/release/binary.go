package release

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
)

// machines are the targets that a node can be.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// Target is the architecture that a backend must be built for: that of this archy.
func Target() string { return runtime.GOARCH }

// checkBinary wants an executable ELF program for the target. executable tells whether the file's mode counts: a
// download has none.
func checkBinary(path, target string, executable bool) error {
	f, _, err := openRegular(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case executable && info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("mode %04o, want an executable", info.Mode().Perm())
	}
	return checkELF(f, info.Size(), target)
}

// CheckProgram wants a whole executable ELF program of a 64-bit little-endian machine, of whichever; the file's mode does not count.
func CheckProgram(path string) error { return checkBinary(path, "", false) }

// checkELF reads the head of a file of that size, whose layout is the same for all 64-bit little-endian machines, and where it says
// that the rest lies: a copy that was cut short lacks its end. The target "" is any machine.
func checkELF(r io.ReaderAt, size int64, target string) error {
	var head elf.Header64
	if !readELF(r, size, 0, 0, &head) || string(head.Ident[:4]) != elf.ELFMAG {
		return errors.New("not an ELF program")
	}
	kind, machine := elf.Type(head.Type), elf.Machine(head.Machine)
	switch {
	case elf.Class(head.Ident[elf.EI_CLASS]) != elf.ELFCLASS64 || elf.Data(head.Ident[elf.EI_DATA]) != elf.ELFDATA2LSB:
		return errors.New("not a 64-bit little-endian program")
	case target != "" && machine != machines[target]:
		return fmt.Errorf("built for %s, want %s", machine, machines[target])
	case kind != elf.ET_EXEC && kind != elf.ET_DYN:
		return fmt.Errorf("%s, want a program", kind)
	}
	for i := range uint64(head.Phnum) {
		var part elf.Prog64
		if !readELF(r, size, head.Phoff, i*uint64(head.Phentsize), &part) || !within(part.Off, part.Filesz, size) {
			return errCutShort
		}
	}
	for i := range uint64(head.Shnum) {
		var part elf.Section64
		if !readELF(r, size, head.Shoff, i*uint64(head.Shentsize), &part) || part.Type != uint32(elf.SHT_NOBITS) && !within(part.Off, part.Size, size) {
			return errCutShort
		}
	}
	return nil
}

var errCutShort = errors.New("cut short, or no program")

// readELF reads one head of a table of heads, which may lie anywhere.
func readELF(r io.ReaderAt, size int64, table, at uint64, into any) bool {
	length := binary.Size(into)
	return within(table, at+uint64(length), size) && binary.Read(io.NewSectionReader(r, int64(table+at), int64(length)), binary.LittleEndian, into) == nil
}

// within tells whether a part lies inside a file of that size.
func within(at, length uint64, size int64) bool {
	return at <= uint64(size) && length <= uint64(size)-at
}
