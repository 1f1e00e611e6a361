package gpt

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"unicode/utf16"
)

// Write writes the table: the backup first, then the primary, the protective
// MBR last. The caller flushes. What partitions hold is not
// touched.
func (t *Table) Write(w io.WriterAt) error {
	start, end, err := t.parts()
	if err != nil {
		return err
	}
	slices.Reverse(start)
	return write(w, append(end, start...))
}

// WriteStart writes what stands before the partitions, in ascending order.
func (t *Table) WriteStart(w io.WriterAt) error {
	start, _, err := t.parts()
	if err != nil {
		return err
	}
	return write(w, start)
}

// WriteEnd writes what stands after the partitions, the backup, in ascending
// order.
func (t *Table) WriteEnd(w io.WriterAt) error {
	_, end, err := t.parts()
	if err != nil {
		return err
	}
	return write(w, end)
}

// A part is one of the pieces of a table on a disk.
type part struct {
	at   int64
	data []byte
}

// parts makes what stands before the partitions and after them, ascending.
func (t *Table) parts() (start, end []part, err error) {
	if err := t.check(); err != nil {
		return nil, nil, fmt.Errorf("partition table: %w", err)
	}
	t.sort()
	array := make([]byte, t.entrySectors()*uint64(t.SectorSize))
	for _, p := range t.Partitions {
		encodeEntry(array[(p.Number-1)*entrySize:], p)
	}
	at := func(sector uint64, data []byte) part { return part{int64(sector) * int64(t.SectorSize), data} }
	last, backup := t.Sectors-1, t.lastUsable()+1
	return []part{at(0, t.mbr()), at(1, t.header(1, last, 2, array)), at(2, array)},
		[]part{at(backup, array), at(last, t.header(last, 1, backup, array))}, nil
}

func write(w io.WriterAt, parts []part) error {
	for _, p := range parts {
		if _, err := w.WriteAt(p.data, p.at); err != nil {
			return fmt.Errorf("writing the partition table: %w", err)
		}
	}
	return nil
}

func (t *Table) header(mine, other, first uint64, array []byte) []byte {
	h := make([]byte, t.SectorSize)
	le := binary.LittleEndian
	copy(h, signature)
	le.PutUint32(h[offRevision:], 0x00010000)
	le.PutUint32(h[offSize:], headerSize)
	le.PutUint64(h[offMyLBA:], mine)
	le.PutUint64(h[offAlternate:], other)
	le.PutUint64(h[offFirst:], t.firstUsable())
	le.PutUint64(h[offLast:], t.lastUsable())
	copy(h[offDisk:], t.Disk[:])
	le.PutUint64(h[offEntries:], first)
	le.PutUint32(h[offCount:], entries)
	le.PutUint32(h[offEntrySize:], entrySize)
	le.PutUint32(h[offArrayCRC:], crc32.ChecksumIEEE(array[:entries*entrySize]))
	le.PutUint32(h[offCRC:], crc32.ChecksumIEEE(h[:headerSize]))
	return h
}

func encodeEntry(e []byte, p Partition) {
	le := binary.LittleEndian
	copy(e, p.Type[:])
	copy(e[16:], p.GUID[:])
	le.PutUint64(e[32:], p.First)
	le.PutUint64(e[40:], p.Last)
	le.PutUint64(e[48:], p.Attributes)
	for i, u := range utf16.Encode([]rune(p.Name)) {
		le.PutUint16(e[56+2*i:], u)
	}
}

// mbr makes the protective MBR: one partition over the whole disk, UEFI
// specification 5.2.3.
func (t *Table) mbr() []byte {
	b := make([]byte, t.SectorSize)
	copy(b, t.BootCode)
	e := b[446:]
	e[2] = 0x02 // sector 1 as head 0, sector 2, cylinder 0
	e[4] = 0xee
	e[5], e[6], e[7] = 0xff, 0xff, 0xff
	binary.LittleEndian.PutUint32(e[8:], 1)
	binary.LittleEndian.PutUint32(e[12:], uint32(min(t.Sectors-1, math.MaxUint32)))
	b[510], b[511] = 0x55, 0xaa
	return b
}
