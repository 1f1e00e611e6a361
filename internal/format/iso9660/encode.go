package iso9660

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

const (
	standardID = "CD001"
	// What a section of a file has at most.
	maxSection = 1<<32 - SectorSize

	flagDirectory = 0x02
	flagMore      = 0x80 // sections of the file follow

	topName, upName = "\x00", "\x01" // of the directory and of the one above it
)

// encode makes all tables.
func (v *Volume) encode() []byte {
	parts := [][]byte{v.primary()}
	if v.catalog {
		parts = append(parts, v.bootRecord(), terminator(), v.bootCatalog())
	} else {
		parts = append(parts, terminator())
	}
	return slices.Concat(append(parts, v.pathTable(binary.LittleEndian), v.pathTable(binary.BigEndian), v.directory())...)
}

// descriptor begins a volume descriptor, ECMA-119 9.1.
func descriptor(kind byte) []byte {
	b := make([]byte, SectorSize)
	b[0] = kind
	copy(b[1:], standardID)
	b[6] = 1
	return b
}

func terminator() []byte { return descriptor(255) }

// primary makes the primary volume descriptor, ECMA-119 9.4.
func (v *Volume) primary() []byte {
	b := descriptor(1)
	blank(b[8:72])
	copy(b[40:], v.o.Label)
	both32(b[80:], uint32(v.o.Size/SectorSize))
	both16(b[120:], 1) // volumes in the set
	both16(b[124:], 1) // number of this one
	both16(b[128:], SectorSize)
	both32(b[132:], uint32(len(pathRecord(binary.LittleEndian, 0))))
	binary.LittleEndian.PutUint32(b[140:], uint32(v.pathAt()))
	binary.BigEndian.PutUint32(b[148:], uint32(v.pathAt()+1))
	copy(b[156:], v.record(topName, v.dirAt(), v.dir*SectorSize, flagDirectory))
	blank(b[190:813]) // identifiers
	text := longTime(v.o.Time)
	copy(b[813:], text)
	copy(b[830:], text)
	copy(b[847:], "0000000000000000\x00") // does not expire
	copy(b[864:], text)
	b[881] = 1
	return b
}

// pathTable makes a path table, which has the top directory only.
func (v *Volume) pathTable(order binary.ByteOrder) []byte {
	b := make([]byte, SectorSize)
	copy(b, pathRecord(order, v.dirAt()))
	return b
}

// pathRecord makes the record of the top directory, ECMA-119 10.4.
func pathRecord(order binary.ByteOrder, at int64) []byte {
	b := make([]byte, 10)
	b[0] = 1 // length of the name
	order.PutUint32(b[2:], uint32(at))
	order.PutUint16(b[6:], 1) // above it: itself
	copy(b[8:], topName)
	return b
}

// directory makes the top directory.
func (v *Volume) directory() []byte {
	var b []byte
	add := func(record []byte) {
		if left := SectorSize - len(b)%SectorSize; len(record) > left {
			b = append(b, make([]byte, left)...)
		}
		b = append(b, record...)
	}
	for _, name := range []string{topName, upName} {
		add(v.record(name, v.dirAt(), v.dir*SectorSize, flagDirectory))
	}
	for _, f := range v.files {
		at, left := f.At/SectorSize, f.Size
		for ; left > maxSection; left -= maxSection {
			add(v.record(identifier(f.Name), at, maxSection, flagMore))
			at += maxSection / SectorSize
		}
		add(v.record(identifier(f.Name), at, left, 0))
	}
	return append(b, make([]byte, -len(b)&(SectorSize-1))...)
}

// record makes a directory record, ECMA-119 10.1.
func (v *Volume) record(name string, at, size int64, flags byte) []byte {
	b := make([]byte, (33+len(name)+1)/2*2)
	b[0] = byte(len(b))
	both32(b[2:], uint32(at))
	both32(b[10:], uint32(size))
	copy(b[18:], shortTime(v.o.Time))
	b[25] = flags
	both16(b[28:], 1) // number of the volume
	b[32] = byte(len(name))
	copy(b[33:], name)
	return b
}

// clamp takes a time to one that can be said, in UTC.
func clamp(t time.Time) time.Time {
	t = t.UTC()
	first, last := time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2155, 12, 31, 23, 59, 59, 0, time.UTC)
	switch {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	}
	return t
}

// shortTime is a time in a directory record, ECMA-119 10.1.6.
func shortTime(t time.Time) []byte {
	t = clamp(t)
	return []byte{byte(t.Year() - 1900), byte(t.Month()), byte(t.Day()), byte(t.Hour()), byte(t.Minute()), byte(t.Second()), 0}
}

// longTime is a time in a descriptor, ECMA-119 9.4.27.2.
func longTime(t time.Time) string {
	t = clamp(t)
	return fmt.Sprintf("%s%02d\x00", t.Format("20060102150405"), t.Nanosecond()/1e7)
}

func blank(b []byte) {
	for k := range b {
		b[k] = ' '
	}
}

// both16 and both32 write a number twice, little-endian and big-endian.
func both16(b []byte, n uint16) {
	binary.LittleEndian.PutUint16(b, n)
	binary.BigEndian.PutUint16(b[2:], n)
}

func both32(b []byte, n uint32) {
	binary.LittleEndian.PutUint32(b, n)
	binary.BigEndian.PutUint32(b[4:], n)
}
