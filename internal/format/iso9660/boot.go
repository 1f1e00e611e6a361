package iso9660

import (
	"encoding/binary"
	"math"
	"slices"
)

const (
	bootUnit  = 512 // in which boot images are counted, whatever the sectors are
	entrySize = 32  // of the catalog
)

// bootRecord makes the boot record, which says where the catalog is; El Torito,
// figure 7.
func (v *Volume) bootRecord() []byte {
	b := descriptor(0)
	copy(b[7:], "EL TORITO SPECIFICATION")
	binary.LittleEndian.PutUint32(b[71:], uint32(v.catalogAt()))
	return b
}

// bootCatalog makes the catalog; El Torito, figures 2 to 5.
func (v *Volume) bootCatalog() []byte {
	first := make([]byte, entrySize)
	first[0] = 1
	first[1] = byte(v.o.Boot[0].Platform)
	first[30], first[31] = 0x55, 0xaa
	var sum uint16 // of all words: 0
	for k := 0; k < entrySize; k += 2 {
		sum += binary.LittleEndian.Uint16(first[k:])
	}
	binary.LittleEndian.PutUint16(first[28:], -sum)
	b := slices.Concat(first, v.bootEntry(v.o.Boot[0]))
	for k, boot := range v.o.Boot[1:] {
		header := make([]byte, entrySize)
		header[0] = 0x90
		if k == len(v.o.Boot)-2 {
			header[0] = 0x91 // the last section
		}
		header[1] = byte(boot.Platform)
		binary.LittleEndian.PutUint16(header[2:], 1) // entries
		b = slices.Concat(b, header, v.bootEntry(boot))
	}
	return append(b, make([]byte, SectorSize-len(b))...)
}

// bootEntry makes the entry of an image, without emulation.
func (v *Volume) bootEntry(boot Boot) []byte {
	f := v.find(boot.File)
	units := int64(boot.Load / bootUnit)
	if boot.Platform == EFI {
		if units = (f.Size + bootUnit - 1) / bootUnit; units > math.MaxUint16 {
			units = 0 // to the end of the medium
		}
	}
	e := make([]byte, entrySize)
	e[0] = 0x88 // bootable
	binary.LittleEndian.PutUint16(e[6:], uint16(units))
	binary.LittleEndian.PutUint32(e[8:], uint32(f.At/SectorSize))
	return e
}
