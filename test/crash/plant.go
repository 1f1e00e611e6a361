package crash

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/bootc-go/bootc/internal/format/gpt"
)

// A Bug is a mistake that bootc does not make, told as what a disk would have seen
// of it. It shows that the judge is one.
type Bug string

// The bugs.
const (
	// NoFlush: finalize never flushes.
	NoFlush Bug = "no flush"
	// KernelLate: the kernel of a staged update is written after its entry and
	// after staged.json.
	KernelLate Bug = "the entry before its kernel"
	// ForgottenEarly: staged.json is cleared before the entries are switched.
	ForgottenEarly Bug = "staged.json cleared too early"
	// EtcLate: the merged /etc is flushed after the switch.
	EtcLate Bug = "the merged /etc not flushed before the switch"
	// NaiveCleaning: an exchange of directories is torn so that both names lead to
	// one, and the files of what looks like the old one are removed.
	NaiveCleaning Bug = "a torn exchange cleaned up naively"
)

// Bugs lists all.
func Bugs() []Bug { return []Bug{NoFlush, KernelLate, ForgottenEarly, EtcLate, NaiveCleaning} }

// Verb is the one in which the bug shows.
func (b Bug) Verb() string {
	if b == KernelLate {
		return "upgrade"
	}
	return "finalize"
}

// Plant returns the timeline as it would be with the bug in all windows of its
// verb. What is expected of it is expected of t.
func (t *Timeline) Plant(b Bug, images []Image) (*Timeline, error) {
	planted := &Timeline{Store: t.Store, Sectors: t.Sectors}
	p := planter{t: t, images: images, d: NewDisk(t.Store, t.Sectors)}
	done := 0
	for _, w := range t.Windows {
		if w.Verb != b.Verb() {
			continue
		}
		planted.Events = append(planted.Events, t.Events[done:w.Begin+1]...)
		events, err := p.plant(b, w)
		if err != nil {
			return nil, fmt.Errorf("planting %q: %w", b, err)
		}
		planted.Events = append(planted.Events, events...)
		done = w.End
	}
	planted.Events = append(planted.Events, t.Events[done:]...)
	return planted, planted.findWindows()
}

// WithoutFlush returns the timeline without one place at which a window flushes, all
// flushes without a write between them, and the epoch that spans the place; false
// if there are not so many.
func (t *Timeline) WithoutFlush(window, place int) (*Timeline, Epoch, bool) {
	w := t.Windows[window]
	planted := &Timeline{Store: t.Store, Sectors: t.Sectors}
	at, dropped := -1, -1
	for i, e := range t.Events {
		if e.Flush && i > w.Begin && i < w.End {
			if !t.Events[i-1].Flush || i-1 < w.Begin {
				at++
			}
			if at == place {
				dropped = len(planted.Events)
				continue
			}
		}
		planted.Events = append(planted.Events, e)
	}
	if dropped < 0 || planted.findWindows() != nil {
		return nil, Epoch{}, false
	}
	for _, e := range planted.epochs(planted.Windows[window]) {
		if e.From <= dropped && dropped <= e.To {
			return planted, e, true
		}
	}
	return nil, Epoch{}, false
}

type planter struct {
	t      *Timeline
	images []Image
	d      *Disk // with the events before done
	done   int
}

// plant returns the events between the marks of a window.
func (p *planter) plant(b Bug, w Window) ([]Event, error) {
	inside := p.t.Events[w.Begin+1 : w.End]
	if b == NoFlush {
		return slices.DeleteFunc(slices.Clone(inside), func(e Event) bool { return e.Flush }), nil
	}
	p.t.apply(p.d, p.done, w.End)
	p.done = w.End
	table, err := gpt.Read(p.d, sectorSize, p.d.Size())
	if err != nil {
		return nil, err
	}
	m := machine{d: p.d}
	v, err := m.partition(table, gpt.ESP)
	if err != nil {
		return nil, err
	}
	onESP := func(e Event) bool { return e.First >= v.first && e.First < v.first+v.count }
	switch b {
	case ForgottenEarly:
		return later(inside, onESP), nil
	case EtcLate:
		return later(inside, func(e Event) bool { return !onESP(e) }), nil
	}
	f, err := openFAT(v, newCache())
	if err != nil {
		return nil, err
	}
	if b == KernelLate {
		return p.kernelLate(f, inside)
	}
	return p.naiveCleaning(f, w)
}

// later puts some writes behind the others; both keep the flushes.
func later(events []Event, late func(Event) bool) []Event {
	var first, last []Event
	for _, e := range events {
		if e.Flush || !late(e) {
			first = append(first, e)
		}
		if e.Flush || late(e) {
			last = append(last, e)
		}
	}
	return append(first, last...)
}

// kernelLate puts the content of the kernel that is staged behind all else.
func (p *planter) kernelLate(f *fatfs, inside []Event) ([]Event, error) {
	m := machine{d: p.d, esp: f}
	entries, err := m.entries("loader/entries.staged")
	if err != nil || len(entries) == 0 {
		return nil, errors.Join(errors.New("no staged entries"), err)
	}
	kernel, err := f.find(entries[0].Get("linux"))
	if err != nil {
		return nil, err
	}
	chain, err := f.clustersOf(kernel)
	if err != nil {
		return nil, err
	}
	of := map[int64]bool{}
	for _, c := range chain {
		of[f.v.first+f.data+int64(c-2)*f.perClust] = true
	}
	return later(inside, func(e Event) bool { return of[e.First] }), nil
}

// naiveCleaning finds the exchange of loader/entries, tears it and cleans up.
func (p *planter) naiveCleaning(f *fatfs, w Window) ([]Event, error) {
	next, err := p.exchange(f, w)
	if err != nil {
		return nil, err
	}
	events := slices.Clone(p.t.Events[w.Begin+1 : p.done])
	add := func(change func()) {
		before := slices.Clone(p.d.at)
		change()
		for s := range before {
			if before[s] != p.d.at[s] {
				events = append(events, Event{First: int64(s), IDs: []uint32{p.t.Store.Add(p.d.store.Sector(p.d.at[s]))}})
			}
		}
		events = append(events, Event{Flush: true})
	}
	entries, err := f.find("loader/entries")
	if err != nil {
		return nil, err
	}
	slot := func(e fatEntry, change func(slot []byte)) {
		data, _ := f.v.bytes(e.sector*sectorSize, sectorSize)
		change(data[e.place : e.place+32])
		f.v.write(e.sector*sectorSize, data)
	}
	add(func() {
		slot(next, func(s []byte) {
			binary.LittleEndian.PutUint16(s[20:], uint16(entries.first>>16))
			binary.LittleEndian.PutUint16(s[26:], uint16(entries.first))
		})
	})
	files, err := f.dir(entries.first)
	if err != nil {
		return nil, err
	}
	add(func() {
		for _, file := range files {
			slot(file, func(s []byte) { s[0] = 0xe5 })
		}
		slot(next, func(s []byte) { s[0] = 0xe5 })
	})
	return events, nil
}

// exchange brings the disk to the event after which loader/entries leads elsewhere
// than before, and returns the other name.
func (p *planter) exchange(f *fatfs, w Window) (fatEntry, error) {
	p.d, p.done = NewDisk(p.t.Store, p.t.Sectors), 0
	f.v = &Volume{p.d, f.v.first, f.v.count}
	p.t.apply(p.d, 0, w.Begin)
	p.done = w.Begin
	was, err := f.find("loader/entries")
	if err != nil {
		return was, err
	}
	for p.done < w.End {
		p.t.apply(p.d, p.done, p.done+1)
		p.done++
		now, err := f.find("loader/entries")
		if err == nil && now.first != was.first {
			return f.find("loader/entries.next")
		}
	}
	return was, errors.New("the entries are not exchanged")
}
