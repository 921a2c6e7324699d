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
	return checkELF(f, target)
}

// checkELF reads the head of the file, whose layout is the same for all 64-bit little-endian machines.
func checkELF(r io.Reader, target string) error {
	var head [64]byte
	if _, err := io.ReadFull(r, head[:]); err != nil || string(head[:4]) != elf.ELFMAG {
		return errors.New("not an ELF program")
	}
	kind := elf.Type(binary.LittleEndian.Uint16(head[16:]))
	machine := elf.Machine(binary.LittleEndian.Uint16(head[18:]))
	switch {
	case elf.Class(head[elf.EI_CLASS]) != elf.ELFCLASS64 || elf.Data(head[elf.EI_DATA]) != elf.ELFDATA2LSB:
		return errors.New("not a 64-bit little-endian program")
	case machine != machines[target]:
		return fmt.Errorf("built for %s, want %s", machine, machines[target])
	case kind != elf.ET_EXEC && kind != elf.ET_DYN:
		return fmt.Errorf("%s, want a program", kind)
	}
	return nil
}
