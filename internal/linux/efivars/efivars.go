// Package efivars reads the variables of the EFI firmware that a boot loader
// leaves for the system that it starts.
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

// loaderGUID is the vendor of the variables of the Boot Loader Interface.
const loaderGUID = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

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

// text reads a variable that holds a text; "" if there is none.
func text(vars fs.FS, name string) (string, error) {
	data, err := fs.ReadFile(vars, name+"-"+loaderGUID)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading EFI variable %s: %w", name, err)
	}
	s, err := decode(data)
	if err != nil {
		return "", fmt.Errorf("EFI variable %s: %w", name, err)
	}
	return s, nil
}

// decode reads the text of a variable as efivarfs has it: four bytes of
// attributes, then UTF-16, with NUL at its end.
func decode(data []byte) (string, error) {
	if len(data) < 4 || len(data)%2 != 0 {
		return "", fmt.Errorf("%d bytes are not a text", len(data))
	}
	var units []uint16
	for data = data[4:]; len(data) > 0; data = data[2:] {
		u := binary.LittleEndian.Uint16(data)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units)), nil
}
