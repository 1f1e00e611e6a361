package boot_test

import "encoding/binary"

// makeUKI makes a unified kernel image of a few sections.
func makeUKI(s system) []byte {
	type section struct {
		name string
		data []byte
	}
	sections := []section{
		{".linux", s.linux()},
		{".initrd", s.initrd()},
		{".cmdline", []byte("rw composefs=" + string(s.id) + "\n\x00")},
	}
	const headers = 512
	b := make([]byte, headers)
	copy(b, "MZ")
	b[0x3c] = 64
	copy(b[64:], "PE\x00\x00")
	binary.LittleEndian.PutUint16(b[70:], uint16(len(sections)))
	for i, sec := range sections {
		row := b[88+40*i:]
		copy(row, sec.name)
		binary.LittleEndian.PutUint32(row[8:], uint32(len(sec.data)))
		padded := (len(sec.data) + 511) / 512 * 512
		binary.LittleEndian.PutUint32(row[16:], uint32(padded))
		binary.LittleEndian.PutUint32(row[20:], uint32(len(b)))
		b = append(b, sec.data...)
		b = append(b, make([]byte, padded-len(sec.data))...)
	}
	return b
}
