package efivars

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// GlobalVendor is the vendor of the variables that the UEFI specification defines.
const GlobalVendor = "8be4df61-93ca-11d2-aa0d-00e098032b8c"

// Open opens the variables of the running system. Where there are none the error is
// [ErrNotEFI].
func Open() (*os.Root, error) {
	vars, err := os.OpenRoot(Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotEFI
	}
	if err != nil {
		return nil, err
	}
	if entries, err := fs.ReadDir(vars.FS(), "."); err != nil || len(entries) == 0 {
		return nil, errors.Join(ErrNotEFI, err, vars.Close())
	}
	return vars, nil
}

// BootOptions reads what the firmware can boot: the values of the variables Boot0000
// and so on, by their numbers. They are for package format/loadoption.
func BootOptions(vars fs.FS) (map[uint16][]byte, error) {
	entries, err := fs.ReadDir(vars, ".")
	if err != nil {
		return nil, fmt.Errorf("reading EFI variables: %w", err)
	}
	all := map[uint16][]byte{}
	for _, e := range entries {
		hex, ok := strings.CutSuffix(strings.TrimPrefix(e.Name(), "Boot"), "-"+GlobalVendor)
		n, err := strconv.ParseUint(hex, 16, 16)
		if !ok || err != nil || e.Name() != optionName(uint16(n))+"-"+GlobalVendor {
			continue
		}
		data, err := read(vars, optionName(uint16(n)), GlobalVendor)
		if err != nil {
			return nil, err
		}
		if len(data) >= attributesSize {
			all[uint16(n)] = data[attributesSize:]
		}
	}
	return all, nil
}

func optionName(n uint16) string { return fmt.Sprintf("Boot%04X", n) }

// BootFirst adds an option that the firmware tries first from now on, and at its next
// start in any case. Those of others that are stale are removed. Each variable is
// replaced in one step: after a power cut the firmware tries what it did before, or
// the new option.
func BootFirst(vars *os.Root, option []byte, stale []uint16) error {
	all, err := BootOptions(vars.FS())
	if err != nil {
		return err
	}
	n := uint16(0)
	for all[n] != nil {
		if n++; n == 0 {
			return errors.New("the firmware has no room for another boot option")
		}
	}
	order, err := bootOrder(vars.FS())
	if err != nil {
		return err
	}
	gone := func(k uint16) bool { return k == n || slices.Contains(stale, k) }
	order = append([]uint16{n}, slices.DeleteFunc(order, gone)...)
	if err := set(vars, optionName(n), option); err != nil {
		return err
	}
	if err := set(vars, "BootOrder", numbers(order)); err != nil {
		return err
	}
	if err := set(vars, "BootNext", numbers([]uint16{n})); err != nil {
		return err
	}
	for _, k := range stale {
		if err := Remove(vars, optionName(k), GlobalVendor); err != nil {
			return err
		}
	}
	return nil
}

// bootOrder reads the order in which the firmware tries its options.
func bootOrder(vars fs.FS) (order []uint16, err error) {
	data, err := read(vars, "BootOrder", GlobalVendor)
	if err != nil {
		return nil, err
	}
	if len(data) < attributesSize || len(data)%2 != 0 {
		return nil, fmt.Errorf("EFI variable BootOrder: %d bytes are not a list of numbers", len(data))
	}
	for data = data[attributesSize:]; len(data) > 0; data = data[2:] {
		order = append(order, binary.LittleEndian.Uint16(data))
	}
	return order, nil
}

func numbers(order []uint16) (data []byte) {
	for _, n := range order {
		data = binary.LittleEndian.AppendUint16(data, n)
	}
	return data
}

// set writes a variable of the specification, replacing another in one step.
func set(vars *os.Root, name string, value []byte) error {
	f, err := vars.OpenFile(name+"-"+GlobalVendor, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err == nil {
		// efivarfs takes a variable in one piece.
		_, err = f.Write(append(binary.LittleEndian.AppendUint32(nil, attributes), value...))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("writing EFI variable %s: %w", name, err)
	}
	return nil
}
