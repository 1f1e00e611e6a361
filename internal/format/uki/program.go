package uki

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Places and values of the optional header.
const (
	magic32, magic64 = 0x10b, 0x20b
	subsystemAt      = 68
	efiApplication   = 10
)

// machines are the values of the COFF header, by Go's names of architectures.
var machines = map[string]uint16{
	"386": 0x14c, "amd64": 0x8664, "arm": 0x1c2, "arm64": 0xaa64, "loong64": 0x6264, "riscv64": 0x5064,
}

// CheckProgram says why UEFI firmware would not start a file of some bytes, such as a
// kernel with its EFI stub or a unified kernel image. arch is the architecture of the
// firmware, as Go names it. It looks at the headers and the size, as the firmware does
// first: a program that gets past it may still not run.
//
// Sources: PE Format, "Optional Header (Image Only)"; UEFI Specification, 2.1.1 "UEFI
// Images".
func CheckProgram(r io.ReaderAt, size int64, arch string) error {
	h, err := readHeaders(r)
	if err != nil {
		return err
	}
	if want, ok := machines[arch]; ok && h.machine != want {
		return fmt.Errorf("it is for machine %#x, and %s is %#x", h.machine, arch, want)
	}
	if len(h.optional) < subsystemAt+2 {
		return fmt.Errorf("its optional header has %d bytes", len(h.optional))
	}
	if magic := binary.LittleEndian.Uint16(h.optional); magic != magic32 && magic != magic64 {
		return fmt.Errorf("its optional header begins with %#x", magic)
	}
	if sub := binary.LittleEndian.Uint16(h.optional[subsystemAt:]); sub != efiApplication {
		return fmt.Errorf("its subsystem is %d, and that of an EFI application is %d", sub, efiApplication)
	}
	if len(h.sections) == 0 {
		return errors.New("it has no sections")
	}
	for _, s := range h.sections {
		if end := s.offset + s.raw; s.raw > 0 && end > size {
			return fmt.Errorf("it has %d bytes, and its section %s ends at %d", size, s.name, end)
		}
	}
	return nil
}
