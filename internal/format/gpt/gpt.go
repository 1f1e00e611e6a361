// Package gpt reads and writes GUID partition tables.
//
// A table is written with its protective MBR, its backup at the end of the
// disk and all check sums; the same table gives the same bytes. It knows the
// partition types that a bootable disk needs, but not what partitions hold.
//
// Reading takes the backup when the primary table is damaged, and refuses a
// disk whose MBR is not a protective one: what stands behind that is a leftover.
//
// Source: UEFI specification 2.10, chapter 5; UAPI Group, Discoverable
// Partitions Specification.
package gpt

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf16"
)

// ErrNone means that there is no partition table.
var ErrNone = errors.New("no GUID partition table")

// Limits of the format as this package writes it.
const (
	entries   = 128
	entrySize = 128
	nameUnits = 36
	// of the MBR, in bytes
	bootCodeSize = 440
	// alignment of partitions made by [Table.Append], in bytes.
	alignment = 1 << 20
)

// Attributes of a partition.
const (
	Required   uint64 = 1 << 0
	LegacyBoot uint64 = 1 << 2
	// Of the Discoverable Partitions Specification:
	GrowFileSystem uint64 = 1 << 59
	ReadOnly       uint64 = 1 << 60
	NoAuto         uint64 = 1 << 63
)

// A Table is a partition table.
type Table struct {
	Disk       GUID
	SectorSize int    // bytes, 512 or 4096
	Sectors    uint64 // of the whole disk
	// Partitions in order of their numbers.
	Partitions []Partition
	// BootCode is what the BIOS starts from the protective MBR, at most 440 bytes; nil:
	// none. Reading leaves it out.
	BootCode []byte
}

// A Partition is one entry of a table.
type Partition struct {
	Number      int // from 1
	Type, GUID  GUID
	First, Last uint64 // sectors, both belong to the partition
	Attributes  uint64
	Name        string // at most 36 UTF-16 units
}

// New makes an empty table for a disk of size bytes.
func New(disk GUID, sectorSize int, size int64) (*Table, error) {
	if err := checkSectorSize(sectorSize); err != nil {
		return nil, err
	}
	t := &Table{Disk: disk, SectorSize: sectorSize, Sectors: uint64(max(size, 0)) / uint64(sectorSize)}
	if t.Sectors < 2*t.firstUsable() {
		return nil, fmt.Errorf("a disk of %d bytes has no room for a partition table", size)
	}
	return t, nil
}

func checkSectorSize(n int) error {
	if n < 512 || n > 65536 || n&(n-1) != 0 {
		return fmt.Errorf("sector size %d", n)
	}
	return nil
}

// Append adds a partition behind the last one, on a boundary of 1 MiB. A size
// of 0 takes the rest of the disk.
func (t *Table) Append(kind, guid GUID, name string, size int64) error {
	grain := uint64(alignment / t.SectorSize)
	first, number := grain, 1
	for _, p := range t.Partitions {
		first, number = max(first, p.Last+1), max(number, p.Number+1)
	}
	first = (first + grain - 1) / grain * grain
	end := (t.lastUsable() + 1) / grain * grain // of the room, not included
	need := (uint64(max(size, 0)) + uint64(t.SectorSize) - 1) / uint64(t.SectorSize)
	if size == 0 {
		need = grain
	}
	if first >= end || need > end-first {
		return fmt.Errorf("partition %d %q: %d bytes free, %d needed", number, name, (max(end, first)-first)*uint64(t.SectorSize), need*uint64(t.SectorSize))
	}
	last := end - 1
	if size != 0 {
		last = first + need - 1
	}
	t.Partitions = append(t.Partitions, Partition{Number: number, Type: kind, GUID: guid, First: first, Last: last, Name: name})
	return nil
}

// Find returns the first partition of a type that is not marked [NoAuto], or
// nil.
func (t *Table) Find(kind GUID) *Partition {
	for i, p := range t.Partitions {
		if p.Type == kind && p.Attributes&NoAuto == 0 {
			return &t.Partitions[i]
		}
	}
	return nil
}

// Lookup returns the partition with a GUID, or nil.
func (t *Table) Lookup(guid GUID) *Partition {
	for i, p := range t.Partitions {
		if p.GUID == guid {
			return &t.Partitions[i]
		}
	}
	return nil
}

// Offset returns where the partition begins, in bytes.
func (t *Table) Offset(p Partition) int64 { return int64(p.First) * int64(t.SectorSize) }

// Size returns the length of the partition in bytes.
func (t *Table) Size(p Partition) int64 { return int64(p.Last-p.First+1) * int64(t.SectorSize) }

// The primary entries begin in sector 2, the backup's end before the last one.
func (t *Table) entrySectors() uint64 {
	return (entries*entrySize + uint64(t.SectorSize) - 1) / uint64(t.SectorSize)
}
func (t *Table) firstUsable() uint64 { return 2 + t.entrySectors() }
func (t *Table) lastUsable() uint64  { return t.Sectors - 2 - t.entrySectors() }

// check says what is wrong with a table that is to be written.
func (t *Table) check() error {
	if err := checkSectorSize(t.SectorSize); err != nil {
		return err
	}
	if t.Sectors < 2*t.firstUsable() || t.Sectors > math.MaxInt64/uint64(t.SectorSize) {
		return fmt.Errorf("a disk of %d sectors has no room for a partition table", t.Sectors)
	}
	if len(t.BootCode) > bootCodeSize {
		return fmt.Errorf("boot code of %d bytes, at most %d", len(t.BootCode), bootCodeSize)
	}
	if len(t.Partitions) > entries {
		return fmt.Errorf("%d partitions, at most %d", len(t.Partitions), entries)
	}
	for i, p := range t.Partitions {
		switch {
		case p.Number < 1 || p.Number > entries:
			return fmt.Errorf("partition number %d", p.Number)
		case p.Type.IsZero() || p.GUID.IsZero():
			return fmt.Errorf("partition %d has no type or no GUID", p.Number)
		case p.First > p.Last || p.First < t.firstUsable() || p.Last > t.lastUsable():
			return fmt.Errorf("partition %d has sectors %d to %d, usable are %d to %d", p.Number, p.First, p.Last, t.firstUsable(), t.lastUsable())
		case len(utf16.Encode([]rune(p.Name))) > nameUnits:
			return fmt.Errorf("name %q of partition %d is longer than %d UTF-16 units", p.Name, p.Number, nameUnits)
		}
		for _, q := range t.Partitions[:i] {
			switch {
			case q.Number == p.Number:
				return fmt.Errorf("two partitions with number %d", p.Number)
			case q.GUID == p.GUID:
				return fmt.Errorf("partitions %d and %d have the same GUID", q.Number, p.Number)
			case p.First <= q.Last && q.First <= p.Last:
				return fmt.Errorf("partitions %d and %d overlap", q.Number, p.Number)
			}
		}
	}
	return nil
}

func (t *Table) sort() {
	slices.SortFunc(t.Partitions, func(a, b Partition) int { return a.Number - b.Number })
}
