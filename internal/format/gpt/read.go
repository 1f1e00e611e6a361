package gpt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"unicode/utf16"
)

// Offsets in the header, UEFI specification table 5-5.
const (
	signature    = "EFI PART"
	headerSize   = 92
	offRevision  = 8
	offSize      = 12
	offCRC       = 16
	offMyLBA     = 24
	offAlternate = 32
	offFirst     = 40
	offLast      = 48
	offDisk      = 56
	offEntries   = 72
	offCount     = 80
	offEntrySize = 84
	offArrayCRC  = 88
	maxArray     = 1 << 20 // bytes of entries that are read at most
)

// Read reads the table of a disk of size bytes. It returns [ErrNone] when
// there is none.
func Read(r io.ReaderAt, sectorSize int, size int64) (*Table, error) {
	if err := checkSectorSize(sectorSize); err != nil {
		return nil, err
	}
	d := &disk{r: r, sectorSize: sectorSize, sectors: uint64(max(size, 0)) / uint64(sectorSize)}
	if d.sectors < 4 {
		return nil, ErrNone
	}
	mbr, err := d.sector(0)
	if err != nil {
		return nil, fmt.Errorf("reading the MBR: %w", err)
	}
	if !protective(mbr) {
		return nil, ErrNone
	}
	t, err := d.read(1)
	if err == nil {
		return t, nil
	}
	t, backupErr := d.read(d.sectors - 1)
	if backupErr == nil {
		return t, nil
	}
	if errors.Is(err, ErrNone) && errors.Is(backupErr, ErrNone) {
		return nil, ErrNone
	}
	return nil, fmt.Errorf("the primary partition table is damaged (%w), so is its backup (%w)", err, backupErr)
}

// protective reports whether a boot sector is the MBR of a disk with a GPT.
func protective(mbr []byte) bool {
	if mbr[510] != 0x55 || mbr[511] != 0xaa {
		return false
	}
	for i := range 4 {
		if mbr[446+16*i+4] == 0xee {
			return true
		}
	}
	return false
}

type disk struct {
	r          io.ReaderAt
	sectorSize int
	sectors    uint64
}

func (d *disk) sector(n uint64) ([]byte, error) {
	return d.bytes(n, d.sectorSize)
}

func (d *disk) bytes(sector uint64, n int) ([]byte, error) {
	buf := make([]byte, n)
	if got, err := d.r.ReadAt(buf, int64(sector)*int64(d.sectorSize)); got < n {
		return nil, err
	}
	return buf, nil
}

// read reads the table whose header is in the sector.
func (d *disk) read(at uint64) (*Table, error) {
	h, err := d.sector(at)
	if err != nil {
		return nil, err
	}
	if string(h[:8]) != signature {
		return nil, ErrNone
	}
	le := binary.LittleEndian
	length := le.Uint32(h[offSize:])
	if length < headerSize || length > uint32(d.sectorSize) {
		return nil, fmt.Errorf("header of %d bytes", length)
	}
	if !crcMatches(h[:length]) {
		return nil, errors.New("header check sum does not match")
	}
	if mine := le.Uint64(h[offMyLBA:]); mine != at {
		return nil, fmt.Errorf("header in sector %d is of sector %d", at, mine)
	}
	count, each := le.Uint32(h[offCount:]), le.Uint32(h[offEntrySize:])
	if each < entrySize || each > 4096 || each%8 != 0 || count > maxArray/each {
		return nil, fmt.Errorf("%d entries of %d bytes", count, each)
	}
	first := le.Uint64(h[offEntries:])
	arraySize := int(count * each)
	need := (uint64(arraySize) + uint64(d.sectorSize) - 1) / uint64(d.sectorSize)
	if first < 2 || first >= d.sectors || need > d.sectors-first {
		return nil, fmt.Errorf("entries begin in sector %d of %d", first, d.sectors)
	}
	array, err := d.bytes(first, arraySize)
	if err != nil {
		return nil, fmt.Errorf("reading the entries: %w", err)
	}
	if crc32.ChecksumIEEE(array) != le.Uint32(h[offArrayCRC:]) {
		return nil, errors.New("check sum of the entries does not match")
	}
	t := &Table{SectorSize: d.sectorSize, Sectors: d.sectors, Disk: GUID(h[offDisk : offDisk+16])}
	for i := range int(count) {
		p := decodeEntry(array[i*int(each):])
		if p.Type.IsZero() {
			continue
		}
		p.Number = i + 1
		if p.First > p.Last || p.Last >= d.sectors || p.First == 0 {
			return nil, fmt.Errorf("partition %d has sectors %d to %d of %d", p.Number, p.First, p.Last, d.sectors)
		}
		t.Partitions = append(t.Partitions, p)
	}
	return t, nil
}

func crcMatches(h []byte) bool {
	c := bytes.Clone(h)
	clear(c[offCRC : offCRC+4])
	return crc32.ChecksumIEEE(c) == binary.LittleEndian.Uint32(h[offCRC:])
}

// decodeEntry reads an entry, UEFI specification table 5-6.
func decodeEntry(e []byte) Partition {
	le := binary.LittleEndian
	units := make([]uint16, 0, nameUnits)
	for i := range nameUnits {
		u := le.Uint16(e[56+2*i:])
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return Partition{
		Type:       GUID(e[:16]),
		GUID:       GUID(e[16:32]),
		First:      le.Uint64(e[32:]),
		Last:       min(le.Uint64(e[40:]), math.MaxInt64),
		Attributes: le.Uint64(e[48:]),
		Name:       string(utf16.Decode(units)),
	}
}
