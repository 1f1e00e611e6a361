// Package loadoption reads and writes what EFI firmware keeps in its variables
// Boot0000 and so on: what it can boot, by name, as a file on a partition.
//
// Source: UEFI specification 2.10, sections 3.1.3 (load options) and 10.3 (device
// paths).
package loadoption

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"

	"github.com/bootc-go/bootc/internal/format/gpt"
)

// An Option is a file on a partition that the firmware can boot.
type Option struct {
	Description string // for the menu of the firmware
	Partition   Partition
	File        string // on the partition, with slashes: "EFI/BOOT/BOOTX64.EFI"
}

// A Partition is one of a disk with a GUID partition table. Start and Size are in
// sectors of the disk.
type Partition struct {
	Number      uint32
	Start, Size uint64
	GUID        gpt.GUID
}

const (
	active = 1 // LOAD_OPTION_ACTIVE

	media     = 4 // a device path of a medium:
	hardDrive = 1
	filePath  = 4
	end       = 0x7f

	hardDriveSize = 42
	isGPT, isGUID = 2, 2
)

// Bytes returns the value of the variable. The option is an active one.
func (o Option) Bytes() []byte {
	b := binary.LittleEndian
	path := node(media, hardDrive, hardDriveSize)
	path = b.AppendUint32(path, o.Partition.Number)
	path = b.AppendUint64(path, o.Partition.Start)
	path = b.AppendUint64(path, o.Partition.Size)
	path = append(append(path, o.Partition.GUID[:]...), isGPT, isGUID)
	name := text(`\` + strings.ReplaceAll(o.File, "/", `\`))
	path = append(append(path, node(media, filePath, 4+len(name))...), name...)
	path = append(path, node(end, 0xff, 4)...)
	data := b.AppendUint32(nil, active)
	data = b.AppendUint16(data, uint16(len(path)))
	return append(append(data, text(o.Description)...), path...)
}

func node(kind, sub byte, size int) []byte {
	return binary.LittleEndian.AppendUint16([]byte{kind, sub}, uint16(size))
}

// text is UTF-16 with a NUL at its end.
func text(s string) (data []byte) {
	for _, u := range utf16.Encode([]rune(s + "\x00")) {
		data = binary.LittleEndian.AppendUint16(data, u)
	}
	return data
}

// Parse reads the value of a variable. What the option has beside a partition and a
// file is passed over; of one that is something else (a network card) they are zero.
func Parse(data []byte) (Option, error) {
	var o Option
	if len(data) < 6 {
		return o, fmt.Errorf("%d bytes are not a load option", len(data))
	}
	size := int(binary.LittleEndian.Uint16(data[4:]))
	description, path, ok := cutText(data[6:])
	if !ok || len(path) < size {
		return o, errors.New("the load option is cut short")
	}
	o.Description = description
	return o, o.parsePath(path[:size])
}

func (o *Option) parsePath(path []byte) error {
	for len(path) > 0 {
		if len(path) < 4 {
			return errors.New("the device path is cut short")
		}
		size := int(binary.LittleEndian.Uint16(path[2:]))
		if size < 4 || size > len(path) {
			return fmt.Errorf("the device path has a node of %d bytes where %d are left", size, len(path))
		}
		n, body := path[:size], path[4:size]
		switch {
		case n[0] == end:
			return nil
		case n[0] == media && n[1] == hardDrive && size == hardDriveSize && body[37] == isGUID:
			b := binary.LittleEndian
			o.Partition = Partition{Number: b.Uint32(body), Start: b.Uint64(body[4:]), Size: b.Uint64(body[12:]), GUID: gpt.GUID(body[20:36])}
		case n[0] == media && n[1] == filePath:
			name, _, _ := cutText(body)
			o.File = strings.TrimPrefix(strings.ReplaceAll(name, `\`, "/"), "/")
		}
		path = path[size:]
	}
	return nil
}

// cutText takes a text with a NUL at its end from the start of data.
func cutText(data []byte) (s string, rest []byte, ok bool) {
	var units []uint16
	for len(data) >= 2 {
		u := binary.LittleEndian.Uint16(data)
		data = data[2:]
		if u == 0 {
			return string(utf16.Decode(units)), data, true
		}
		units = append(units, u)
	}
	return "", nil, false
}
