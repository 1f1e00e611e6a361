package crash

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A Timeline is what happened to a disk that was empty at first: its writes and
// flushes in order, and what was being done.
type Timeline struct {
	Store   *Store
	Sectors int64 // of the disk
	Events  []Event
	Windows []Window
}

// An Event is a write, if it has sectors, or a flush, or a mark.
type Event struct {
	First int64    // sector
	IDs   []uint32 // the contents
	Flush bool
	Mark  string
}

// A Window is the time in which something was done: between two marks.
type Window struct {
	Verb       string
	Begin, End int // the events of the marks
}

// Marks are written by the guest to a sector that nothing uses, between the
// partition table and the first partition: "BOOTC-CRASH begin VERB" and
// "BOOTC-CRASH end VERB", then blanks. A mark is not flushed. "BOOTC-CRASH loader"
// says that another machine has booted from the disk just before.
const (
	markSector = 40
	markPrefix = "BOOTC-CRASH "
	markLoader = "loader"
)

// ReadTimeline reads a recording of a disk of the given size in bytes. boots are
// what others have recorded of the same disk, in the order of its marks.
func ReadTimeline(r *Recording, boots []*Recording, size int64) (*Timeline, error) {
	t := &Timeline{Store: NewStore(), Sectors: size / sectorSize}
	if err := t.read(r, &boots); err != nil {
		return nil, err
	}
	if len(boots) > 0 {
		return nil, fmt.Errorf("%d boots too many", len(boots))
	}
	return t, t.findWindows()
}

func (t *Timeline) read(r *Recording, boots *[]*Recording) error {
	for i, e := range r.Entries {
		if e.Discard {
			continue // the sectors keep what they have, which is one of the possibilities
		}
		if e.Length > 0 {
			data := make([]byte, e.Length)
			if _, err := io.ReadFull(r.data(e), data); err != nil {
				return fmt.Errorf("data of entry %d: %w", i, err)
			}
			if e.Offset%sectorSize != 0 || e.Length%sectorSize != 0 || (e.Offset+e.Length)/sectorSize > t.Sectors {
				return fmt.Errorf("entry %d: %d bytes at %d of a disk of %d", i, e.Length, e.Offset, t.Sectors*sectorSize)
			}
			mark := t.write(e.Offset/sectorSize, data)
			if mark == markLoader {
				if err := t.readBoot(boots); err != nil {
					return err
				}
			}
		}
		if e.Flush {
			t.Events = append(t.Events, Event{Flush: true})
		}
	}
	return nil
}

// readBoot puts the next of the boots in the place of its mark.
func (t *Timeline) readBoot(boots *[]*Recording) error {
	if len(*boots) == 0 {
		return errors.New("more marks of boots than boots")
	}
	boot := (*boots)[0]
	*boots = (*boots)[1:]
	t.Events[len(t.Events)-1].Mark = "begin " + markLoader
	if err := t.read(boot, boots); err != nil {
		return fmt.Errorf("a boot: %w", err)
	}
	t.Events = append(t.Events, Event{Mark: "end " + markLoader})
	return nil
}

// write adds a write, or a mark, which it returns.
func (t *Timeline) write(first int64, data []byte) (mark string) {
	e := Event{First: first}
	if text, ok := bytes.CutPrefix(data, []byte(markPrefix)); ok && first == markSector {
		e.Mark = strings.TrimSpace(string(text))
	} else {
		e.IDs = make([]uint32, len(data)/sectorSize)
		for i := range e.IDs {
			e.IDs[i] = t.Store.Add(data[i*sectorSize:][:sectorSize])
		}
	}
	t.Events = append(t.Events, e)
	return e.Mark
}

func (t *Timeline) findWindows() error {
	t.Windows = nil
	open := -1
	for i, e := range t.Events {
		what, verb, _ := strings.Cut(e.Mark, " ")
		switch what {
		case "begin":
			open = i
		case "end":
			if open < 0 || t.Events[open].Mark != "begin "+verb {
				return fmt.Errorf("mark %q without a beginning", e.Mark)
			}
			t.Windows = append(t.Windows, Window{verb, open, i})
			open = -1
		}
	}
	if len(t.Windows) == 0 {
		return fmt.Errorf("no marks among %d events", len(t.Events))
	}
	return nil
}

// An Epoch is the time between two flushes: what was written before it is on the
// disk, and the events From, …, To-1 may be in part.
type Epoch struct{ From, To int }

// epochs lists the epochs of a window: from the one in which it begins to the one
// in which it ends, as far as the window goes.
func (t *Timeline) epochs(w Window) []Epoch {
	var all []Epoch
	from := 0
	for i := 0; i <= len(t.Events) && from <= w.End; i++ {
		if i < len(t.Events) && !t.Events[i].Flush {
			continue
		}
		if i > w.Begin {
			all = append(all, Epoch{from, min(i, w.End+1)})
		}
		from = i + 1
	}
	return all
}

// apply writes whole events to a disk.
func (t *Timeline) apply(d *Disk, from, to int) {
	for _, e := range t.Events[from:to] {
		d.set(e.First, e.IDs)
	}
}
