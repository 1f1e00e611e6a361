package efivars

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unicode/utf16"

	"golang.org/x/sys/unix"
)

// attributes of what is written: kept over a reset, for the boot loader and for
// the running system (UEFI specification, "GetVariable").
const attributes = 0x1 | 0x2 | 0x4

// immutable is FS_IMMUTABLE_FL of linux/fs.h.
const immutable = 0x10

// SetText writes a variable that holds a text, replacing another. It is in the
// firmware on return; a power cut meanwhile may leave no variable.
func SetText(vars *os.Root, name, vendor, text string) error {
	if err := Remove(vars, name, vendor); err != nil {
		return err
	}
	data := binary.LittleEndian.AppendUint32(nil, attributes)
	for _, u := range utf16.Encode([]rune(text + "\x00")) {
		data = binary.LittleEndian.AppendUint16(data, u)
	}
	f, err := vars.OpenFile(name+"-"+vendor, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err == nil {
		_, err = f.Write(data) // efivarfs takes a variable in one piece
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("writing EFI variable %s: %w", name, err)
	}
	return nil
}

// Remove removes a variable, if it is there.
func Remove(vars *os.Root, name, vendor string) error {
	file := name + "-" + vendor
	f, err := vars.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		unprotect(f)
		err = errors.Join(f.Close(), vars.Remove(file))
	}
	if err != nil {
		return fmt.Errorf("removing EFI variable %s: %w", name, err)
	}
	return nil
}

// unprotect takes away the flag by which the kernel keeps variables from being
// removed by accident (efivarfs.rst). Where that fails, the removal says so.
func unprotect(f *os.File) {
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil && flags&immutable != 0 {
		_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags&^immutable)
	}
}
