package fat

import (
	"encoding/binary"
	"time"
)

// Entries of directories, sections "FAT Directory Structure" and "FAT Long
// Directory Entries" of the standard.
const (
	slotSize = 32

	attrLabel   = 0x08
	attrDir     = 0x10
	attrArchive = 0x20
	attrLong    = 0x0f

	lastLong = 0x40 // in the number of the entry with the end of a name
	perSlot  = 13   // UTF-16 units
)

// A stamp is a time in FAT's words.
type stamp struct {
	date, time uint16
	fine       byte // units of 10 ms, less than 2 s
}

func newStamp(t time.Time) stamp {
	t = t.UTC()
	if first := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC); t.Before(first) {
		t = first
	}
	if last := time.Date(2107, 12, 31, 23, 59, 59, 990e6, time.UTC); t.After(last) {
		t = last
	}
	return stamp{
		date: uint16((t.Year()-1980)<<9 | int(t.Month())<<5 | t.Day()),
		time: uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2),
		fine: byte(t.Second()%2*100 + t.Nanosecond()/10e6),
	}
}

// slots returns how many entries the name of n takes.
func (n *node) slots() int {
	if _, ok := parseShort(n.name); ok {
		return 1
	}
	return 1 + (len(units(n.name))+perSlot-1)/perSlot
}

// encode makes the contents of a directory.
func (m *Image) encode(dir *node) []byte {
	b := make([]byte, 0, dir.size)
	if dir.parent == nil {
		if m.label != "" {
			b = m.appendShort(b, packLabel(m.label), attrLabel, &node{})
		}
	} else {
		up := dir.parent
		if up.parent == nil {
			up = &node{} // the top is 0 here
		}
		b = m.appendShort(b, packShort(".", ""), attrDir, dir)
		b = m.appendShort(b, packShort("..", ""), attrDir, up)
	}
	for _, n := range dir.entries {
		if n.slots() > 1 {
			b = appendLong(b, units(n.name), n.short.sum())
		}
		attr := byte(attrArchive)
		if n.file == nil {
			attr = attrDir
		}
		b = m.appendShort(b, n.short, attr, n)
	}
	return b
}

// appendShort adds an entry that leads to n.
func (m *Image) appendShort(b []byte, name shortName, attr byte, n *node) []byte {
	var e [slotSize]byte
	le := binary.LittleEndian
	copy(e[:], name[:])
	e[11] = attr
	e[13] = m.stamp.fine
	le.PutUint16(e[14:], m.stamp.time) // created
	le.PutUint16(e[16:], m.stamp.date)
	le.PutUint16(e[18:], m.stamp.date) // last access
	le.PutUint16(e[20:], uint16(n.first>>16))
	le.PutUint16(e[22:], m.stamp.time) // written
	le.PutUint16(e[24:], m.stamp.date)
	le.PutUint16(e[26:], uint16(n.first))
	if n.file != nil {
		le.PutUint32(e[28:], uint32(n.file.Size))
	}
	return append(b, e[:]...)
}

// appendLong adds the long entries of a name, its end first.
func appendLong(b []byte, name []uint16, sum byte) []byte {
	count := (len(name) + perSlot - 1) / perSlot
	for i := count - 1; i >= 0; i-- {
		var e [slotSize]byte
		e[0] = byte(i + 1)
		if i == count-1 {
			e[0] |= lastLong
		}
		e[11] = attrLong
		e[13] = sum
		for j := range perSlot {
			unit := uint16(0xffff)
			switch at := i*perSlot + j; {
			case at < len(name):
				unit = name[at]
			case at == len(name):
				unit = 0
			}
			binary.LittleEndian.PutUint16(e[unitOffset(j):], unit)
		}
		b = append(b, e[:]...)
	}
	return b
}

// unitOffset returns where the units of a long entry are: around what old
// readers take for the attributes and the cluster.
func unitOffset(j int) int {
	switch {
	case j < 5:
		return 1 + 2*j
	case j < 11:
		return 14 + 2*(j-5)
	}
	return 28 + 2*(j-11)
}

// sum is what ties the long entries of a name to its short one.
func (s shortName) sum() byte {
	var sum byte
	for _, c := range s {
		sum = sum>>1 | sum<<7
		sum += c
	}
	return sum
}

// packLabel makes a label of at most 11 characters what the disk has of it.
func packLabel(label string) shortName {
	s := packShort("", "")
	copy(s[:], label)
	return s
}
