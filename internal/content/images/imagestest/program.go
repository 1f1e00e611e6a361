package imagestest

import "encoding/binary"

// programHeader is how many bytes of a program come before its sections.
const programHeader = 512

// Program makes what firmware of an architecture, as Go names it, would start, as far
// as the headers show. Sections are names and contents.
func Program(arch string, sections ...[2]string) string {
	b := make([]byte, programHeader)
	copy(b, "MZ")
	b[0x3c] = 0x40
	coff := b[0x40:]
	copy(coff, "PE\x00\x00\x64\x86")
	if arch == "arm64" {
		copy(coff[4:], "\x64\xaa")
	}
	coff[6], coff[20] = byte(len(sections)), 112 // the size of the optional header
	optional := coff[24:]
	binary.LittleEndian.PutUint16(optional, 0x20b)
	optional[68] = 10 // an EFI application
	for i, s := range sections {
		row := b[0x40+24+112+40*i:]
		copy(row[:8], s[0])
		binary.LittleEndian.PutUint32(row[8:], uint32(len(s[1])))
		binary.LittleEndian.PutUint32(row[16:], uint32(len(s[1])))
		binary.LittleEndian.PutUint32(row[20:], uint32(len(b)))
		b = append(b, s[1]...)
	}
	return string(b)
}

// Kernel is a program of n bytes, 512 at least; seed tells one from another.
func Kernel(seed string, n int, arch string) string {
	return Program(arch, [2]string{".text", Big(seed, n-programHeader)})
}
