// Package efivars reads the variables of the EFI firmware that a boot loader
// leaves for the system that it starts, and writes those by which the system
// talks to the loader, or to itself in a later boot.
//
// Source: systemd's Boot Loader Interface,
// https://systemd.io/BOOT_LOADER_INTERFACE; Documentation/filesystems/efivarfs.rst
// of the Linux kernel.
package efivars

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unicode/utf16"
)

// Path is where a running system has the variables.
const Path = "/sys/firmware/efi/efivars"

// ErrNotEFI means that the machine was not started by EFI firmware, or that its
// variables cannot be seen.
var ErrNotEFI = errors.New("no EFI variables in " + Path)

// The vendors of variables.
const (
	LoaderVendor = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f" // of the Boot Loader Interface
	BootcVendor  = "2f2143b8-bdda-47d8-b166-f936e0207344" // of our own, docs/formats/boot-entries.md
)

// Loader returns what the boot loader calls itself ("systemd-boot 257") and
// the GUID of the partition that it was started from, in lower case. Either is
// empty when the loader did not set it. Where there are no variables the error
// is [ErrNotEFI].
func Loader() (info, devicePartUUID string, err error) { return LoaderIn(os.DirFS(Path)) }

// LoaderIn is [Loader] for variables that are mounted elsewhere.
func LoaderIn(vars fs.FS) (info, devicePartUUID string, err error) {
	entries, err := fs.ReadDir(vars, ".")
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return "", "", ErrNotEFI
	}
	if err != nil {
		return "", "", fmt.Errorf("reading EFI variables: %w", err)
	}
	if info, err = text(vars, "LoaderInfo"); err != nil {
		return "", "", err
	}
	if devicePartUUID, err = text(vars, "LoaderDevicePartUUID"); err != nil {
		return "", "", err
	}
	return info, strings.ToLower(devicePartUUID), nil
}

// Entries returns the name of the entry that the boot loader has booted, and
// the names of all entries in its order. They are empty when the loader did not
// set them.
func Entries(vars fs.FS) (selected string, all []string, err error) {
	if selected, err = text(vars, "LoaderEntrySelected"); err != nil {
		return "", nil, err
	}
	data, err := read(vars, "LoaderEntries", LoaderVendor)
	if err != nil {
		return "", nil, err
	}
	units, err := decode(data)
	if err != nil {
		return "", nil, fmt.Errorf("EFI variable LoaderEntries: %w", err)
	}
	for name := range strings.SplitSeq(string(utf16.Decode(units)), "\x00") {
		if name != "" {
			all = append(all, name)
		}
	}
	return selected, all, nil
}

// text reads a variable of the loader that holds a text; "" if there is none.
func text(vars fs.FS, name string) (string, error) { return Text(vars, name, LoaderVendor) }

// Text reads a variable that holds a text; "" if there is none.
func Text(vars fs.FS, name, vendor string) (string, error) {
	data, err := read(vars, name, vendor)
	if err != nil {
		return "", err
	}
	units, err := decode(data)
	if err != nil {
		return "", fmt.Errorf("EFI variable %s: %w", name, err)
	}
	s, _, _ := strings.Cut(string(utf16.Decode(units)), "\x00")
	return s, nil
}

// noText is a variable with attributes and nothing else.
var noText = make([]byte, attributesSize)

// read reads a variable; one that is not there has no text.
func read(vars fs.FS, name, vendor string) ([]byte, error) {
	data, err := fs.ReadFile(vars, name+"-"+vendor)
	if errors.Is(err, fs.ErrNotExist) {
		return noText, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading EFI variable %s: %w", name, err)
	}
	return data, nil
}

// attributesSize is the size of the attributes before the value of a variable.
const attributesSize = 4

// decode reads the text of a variable as efivarfs has it: four bytes of
// attributes, then UTF-16.
func decode(data []byte) ([]uint16, error) {
	if len(data) < attributesSize || len(data)%2 != 0 {
		return nil, fmt.Errorf("%d bytes are not a text", len(data))
	}
	var units []uint16
	for data = data[attributesSize:]; len(data) > 0; data = data[2:] {
		units = append(units, binary.LittleEndian.Uint16(data))
	}
	return units, nil
}
