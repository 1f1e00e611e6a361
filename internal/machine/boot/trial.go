package boot

import (
	"cmp"
	"slices"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/bls"
)

// An entry on trial has a counter in its file name; systemd-boot takes one off
// before it starts the kernel, and tries an entry without any left after all
// others. docs/formats/boot-entries.md, "An entry on trial".

// Tries is how often the loader starts an entry on trial before it gives it up.
const Tries = 3

// OnTrial returns a new entry with all its tries.
func OnTrial(e bls.Entry) bls.Entry {
	e.Name.Counted, e.Name.Left, e.Name.Done = true, Tries, 0
	return e
}

// KnowsUKI reports whether a boot loader, by what it calls itself
// ("systemd-boot 257.9"), knows the key "uki". One that does takes no tries of
// entries with the key "efi".
//
// Source: systemd's NEWS, "CHANGES WITH 258"; src/boot/boot.c.
func KnowsUKI(loader string) bool {
	version, ok := strings.CutPrefix(loader, "systemd-boot ")
	return ok && bls.CompareVersions(version, "258~") >= 0
}

// Bless takes the counter off the entries of a deployment: it is good. It is one
// step, on disk on return. Nothing is written if there is no counter.
func (l *SystemdBoot) Bless(id bootc.ID) error {
	return l.rename(id, func(n bls.Name) bls.Name { return bls.Name{Base: n.Base} })
}

// Refill gives the entries of a deployment that is on trial the tries that it
// had in its first boot. It is one step, on disk on return.
func (l *SystemdBoot) Refill(id bootc.ID) error {
	return l.rename(id, func(n bls.Name) bls.Name {
		return bls.Name{Base: n.Base, Counted: true, Left: Tries - 1, Done: 1}
	})
}

// rename changes the file names of a deployment's entries on trial, by an
// exchange of all entries: what FAT does to a rename of one file in a power cut
// may lose it.
func (l *SystemdBoot) rename(id bootc.ID, to func(bls.Name) bls.Name) error {
	if err := l.Collect(); err != nil {
		return err
	}
	now, err := l.Entries()
	if err != nil {
		return err
	}
	set := asTheyAre(now)
	for _, e := range now {
		if e.Ours() && e.ID == id && e.Name.Counted {
			delete(set, e.Name.String())
			set[to(e.Name).String()] = e.raw
		}
	}
	return l.commitSet(set, now)
}

// keepGood makes sure that an entry in a set can be gone back to for ever. ours
// begins with the new first choice and the booted system's. Where both are on
// trial, the first of now that is good is the third.
func keepGood(ours, now []Entry) []Entry {
	if len(ours) < 2 {
		return ours
	}
	ours = ours[:2]
	if !ours[0].Name.Counted || !ours[1].Name.Counted {
		return ours
	}
	for _, n := range now {
		if n.Ours() && n.ID != "" && !n.Name.Counted {
			return append(slices.Clone(ours), n)
		}
	}
	return ours
}

// goodAlready takes the counter off the entry of a deployment that has been
// found good before: nothing is tried with it.
func goodAlready(e Entry, now []Entry) Entry {
	if slices.ContainsFunc(now, func(n Entry) bool { return n.ID == e.ID && n.ID != "" && n.Ours() && !n.Name.Counted }) {
		e.Name = bls.Name{Base: e.Name.Base}
	}
	return e
}

// dropDoubles leaves one of the names that a torn rename of the loader has left
// to an entry of ours: the good one, or the one with the fewest tries left.
func dropDoubles(all []Entry) []Entry {
	rank := func(e Entry) int {
		if !e.Name.Counted {
			return -1
		}
		return e.Name.Left
	}
	same := func(a, b Entry) bool {
		return a.Ours() && strings.EqualFold(a.Name.Base, b.Name.Base) && a.ID == b.ID
	}
	var kept []Entry
	for _, e := range all {
		i := slices.IndexFunc(kept, func(k Entry) bool { return same(k, e) })
		if i < 0 {
			kept = append(kept, e)
		} else if cmp.Compare(rank(e), rank(kept[i])) < 0 {
			kept[i] = e
		}
	}
	return kept
}

func plain(entries []Entry) []bls.Entry {
	var all []bls.Entry
	for _, e := range entries {
		all = append(all, e.Entry)
	}
	return all
}
