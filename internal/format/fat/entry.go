package fat

import (
	"time"
)

// Entries of directories, sections "FAT Directory Structure" and "FAT Long
// Directory Entries" of the standard.
const (
	slotSize = 32
	perSlot  = 13 // UTF-16 units
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
