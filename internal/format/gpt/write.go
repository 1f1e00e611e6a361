package gpt

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"unicode/utf16"
)

// Write writes the table: the backup first, then the primary, the protective
// MBR last, without boot code. The caller flushes. What partitions hold is not
// touched.
func (t *Table) Write(w io.WriterAt) error {
	if err := t.check(); err != nil {
		return fmt.Errorf("partition table: %w", err)
	}
	t.sort()
	array := make([]byte, t.entrySectors()*uint64(t.SectorSize))
	for _, p := range t.Partitions {
		encodeEntry(array[(p.Number-1)*entrySize:], p)
	}
	last := t.Sectors - 1
	for _, part := range []struct {
		sector uint64
		data   []byte
	}{
		{t.lastUsable() + 1, array},
		{last, t.header(last, 1, t.lastUsable()+1, array)},
		{2, array},
		{1, t.header(1, last, 2, array)},
		{0, t.mbr()},
	} {
		if _, err := w.WriteAt(part.data, int64(part.sector)*int64(t.SectorSize)); err != nil {
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
	e := b[446:]
	e[2] = 0x02 // sector 1 as head 0, sector 2, cylinder 0
	e[4] = 0xee
	e[5], e[6], e[7] = 0xff, 0xff, 0xff
	binary.LittleEndian.PutUint32(e[8:], 1)
	binary.LittleEndian.PutUint32(e[12:], uint32(min(t.Sectors-1, math.MaxUint32)))
	b[510], b[511] = 0x55, 0xaa
	return b
}
