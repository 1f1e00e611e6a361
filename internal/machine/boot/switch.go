package boot

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/bls"
)

// WriteFirst makes an entry the only one of ours, at once. On return it is on
// disk.
func (l *SystemdBoot) WriteFirst(e bls.Entry) error {
	now, err := l.Entries()
	if err != nil {
		return err
	}
	return l.commit(arrange([]bls.Entry{e}), now)
}

// StageEntries makes the set of entries that the next switch brings: first,
// then the entry of the deployment that stays ("" for none), a good one if both
// are on trial, and foreign ones. What was staged before is dropped. On return
// it is on disk; the loader does not see it. A cut on the way leaves a part of
// it: until the caller has recorded on disk that it is staged, it is a leftover.
func (l *SystemdBoot) StageEntries(first bls.Entry, stays bootc.ID) error {
	if err := l.DropStaged(); err != nil {
		return err
	}
	now, err := l.Entries()
	if err != nil {
		return err
	}
	ours := []Entry{goodAlready(l.identify(first, nil), now)}
	if stays != "" {
		i := slices.IndexFunc(now, func(e Entry) bool { return e.ID == stays })
		if i < 0 {
			return fmt.Errorf("deployment %s has no boot entry", stays.Short())
		}
		if now[i].Ours() {
			ours = append(ours, now[i])
		}
	}
	set := files(arrange(plain(keepGood(ours, now))), now)
	set[stagedMark] = nil
	if _, err := l.writeSet(stagedDir, set); err != nil {
		return errors.Join(err, l.DropStaged())
	}
	return nil
}

// SwitchEntries makes the staged entries the loader's, in one step: that is the
// commit. Foreign entries, and counters except that of the first, are kept as
// they are now. On return it is on disk and nothing is staged; after an error
// nothing has changed, or the switch has happened and leftovers remain.
//
// A cut before the commit leaves the staged entries whole.
func (l *SystemdBoot) SwitchEntries() error {
	if err := l.Collect(); err != nil {
		return err
	}
	staged, err := l.StagedEntries()
	if err != nil {
		return err
	}
	now, err := l.Entries()
	if err != nil {
		return err
	}
	var ours []Entry
	for _, e := range InPlaces(staged) {
		switch {
		case !e.Ours():
		case len(ours) == 0: // what it had until now was another try
			ours = append(ours, goodAlready(e, now))
		default:
			ours = append(ours, withCounter(e, now))
		}
	}
	if len(ours) == 0 {
		return errors.New("no boot entries are staged")
	}
	if err := l.checkPaths(staged); err != nil {
		return err
	}
	if err := l.commit(arrange(plain(keepGood(ours, now))), now); err != nil {
		return err
	}
	return l.DropStaged()
}

// InPlaces sorts entries as the loader would if it had given up on none: the
// order in which they were put.
func InPlaces(entries []Entry) []Entry {
	all := slices.Clone(entries)
	slices.SortStableFunc(all, func(a, b Entry) int {
		a.Name.Counted, b.Name.Counted = false, false
		return bls.Compare(a.Entry, b.Entry)
	})
	return all
}

// withCounter gives a staged entry the counter that the loader's own entry of
// the same deployment has now.
func withCounter(e Entry, now []Entry) Entry {
	for _, n := range now {
		if n.ID == e.ID && n.ID != "" && n.Ours() {
			base := e.Name.Base
			e.Name = n.Name
			e.Name.Base = base
			break
		}
	}
	return e
}

// checkPaths refuses entries of ours that name files which are not there.
func (l *SystemdBoot) checkPaths(entries []Entry) error {
	for _, e := range entries {
		if !e.Ours() {
			continue
		}
		if len(e.Files()) == 0 {
			return fmt.Errorf("boot entry %s names no kernel", e.Name)
		}
		for _, p := range e.Files() {
			if size, err := l.size(p); err != nil || size == 0 && !mayBeEmpty(p) {
				return fmt.Errorf("boot entry %s names %q, which is not on the ESP", e.Name, "/"+p)
			}
		}
	}
	return nil
}

// MakeFirst makes the entry of a deployment the first to boot; the others of
// ours follow in their order. It is one step, on disk on return. Nothing is
// written if the deployment is first already.
func (l *SystemdBoot) MakeFirst(id bootc.ID) error {
	if err := l.Collect(); err != nil {
		return err
	}
	now, err := l.Entries()
	if err != nil {
		return err
	}
	var ours []Entry
	for _, e := range InPlaces(now) {
		if e.Ours() && e.ID != "" {
			ours = append(ours, e)
		}
	}
	i := slices.IndexFunc(ours, func(e Entry) bool { return e.ID == id })
	if i < 0 {
		return fmt.Errorf("deployment %s has no boot entry", id.Short())
	}
	if i == 0 && !ours[0].Name.Exhausted() {
		return nil
	}
	order := []bls.Entry{ours[i].Entry}
	for n, e := range ours {
		if n != i {
			order = append(order, e.Entry)
		}
	}
	return l.commit(arrange(order), now)
}

// DropStaged removes the staged entries, if there are any. What they name stays
// until [SystemdBoot.Collect].
func (l *SystemdBoot) DropStaged() error {
	return errors.Join(l.removeSets(nextDir), l.removeSets(stagedDir))
}

// Recover removes what a cut has left of an earlier switch, and the staged
// entries unless they are wanted: staged is the deployment that the caller has
// recorded as staged, "" for none. If its entry is the first already, the switch
// has happened. Recover may be cut and called again.
//
// Every other method that writes does as much of this as it relies on.
func (l *SystemdBoot) Recover(staged bootc.ID) error {
	if err := l.removeSets(nextDir); err != nil {
		return err
	}
	if staged != "" {
		now, err := l.Entries()
		if err != nil {
			return err
		}
		i := slices.IndexFunc(now, func(e Entry) bool { return e.ID != "" })
		if i < 0 || now[i].ID != staged {
			return nil
		}
	}
	return l.removeSets(stagedDir)
}

// files joins our entries with the foreign ones of now, by file name.
func files(ours []bls.Entry, now []Entry) map[string][]byte {
	set := map[string][]byte{}
	for _, e := range ours {
		set[e.Name.String()] = e.Bytes()
	}
	for _, e := range now {
		if !e.Ours() {
			set[e.Name.String()] = e.raw
		}
	}
	return set
}

func asTheyAre(now []Entry) map[string][]byte {
	set := map[string][]byte{}
	for _, e := range now {
		set[e.Name.String()] = e.raw
	}
	return set
}

// commit replaces our entries in loader/entries, commitSet all of them. The set
// is written to loader/entries.next, not to loader/entries.staged, so that a
// torn exchange never costs the staged entries.
func (l *SystemdBoot) commit(ours []bls.Entry, now []Entry) error {
	return l.commitSet(files(ours, now), now)
}

func (l *SystemdBoot) commitSet(set map[string][]byte, now []Entry) error {
	if err := l.removeSets(nextDir); err != nil {
		return err
	}
	if maps.EqualFunc(set, asTheyAre(now), bytes.Equal) {
		return nil
	}
	if err := l.mkdirAll(entriesDir); err != nil {
		return err
	}
	next, err := l.writeSet(nextDir, set)
	if err == nil {
		err = l.v.Exchange(loaderDir, path.Base(entriesDir), path.Base(next))
	}
	if err != nil {
		return errors.Join(err, l.removeSets(nextDir))
	}
	if err := l.v.Flush(); err != nil {
		return err // either set may be the loader's: nothing is removed
	}
	return l.removeSets(nextDir)
}

// writeSet makes a directory of entries and returns its name, which is base or,
// if that is stuck, base-2 and so on. It is on disk on return.
func (l *SystemdBoot) writeSet(base string, set map[string][]byte) (string, error) {
	dir := base
	for n := 2; ; n++ {
		present, err := l.present(dir)
		if err != nil {
			return "", err
		}
		if !present {
			break
		}
		dir = fmt.Sprintf("%s-%d", base, n)
	}
	if err := l.mkdir(dir); err != nil {
		return "", fmt.Errorf("writing boot entries: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if err := l.writeFile(path.Join(dir, name), set[name]); err != nil {
			return "", fmt.Errorf("writing boot entry %s: %w", name, err)
		}
	}
	return dir, l.v.Flush()
}

// sets lists the directories of entries with a name that writeSet gives.
func (l *SystemdBoot) sets(base string) ([]string, error) {
	all, err := l.v.ReadDir(loaderDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range all {
		tail, ok := strings.CutPrefix(e.Name(), path.Base(base))
		if ok && (tail == "" || tail[0] == '-') {
			names = append(names, path.Join(loaderDir, e.Name()))
		}
	}
	return names, err
}

// mkdir makes a directory and flushes, so that its names are written to a
// cluster that is known to be its own.
func (l *SystemdBoot) mkdir(name string) error {
	if err := l.v.Mkdir(name); err != nil {
		return err
	}
	return l.v.Flush()
}

// mkdirAll makes a directory and those above it, where they are missing.
func (l *SystemdBoot) mkdirAll(name string) error {
	if name == "." {
		return nil
	}
	if err := l.mkdirAll(path.Dir(name)); err != nil {
		return err
	}
	present, err := l.present(name)
	if err != nil || present {
		return err
	}
	return l.mkdir(name)
}

// present looks a name up in its directory, without looking at what it leads
// to. FAT does not tell upper from lower case.
func (l *SystemdBoot) present(name string) (bool, error) {
	entries, err := l.v.ReadDir(path.Dir(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	for _, e := range entries {
		if strings.EqualFold(e.Name(), path.Base(name)) {
			return true, nil
		}
	}
	return false, err
}

// writeFile writes a file that does not exist. It is not flushed.
func (l *SystemdBoot) writeFile(name string, data []byte) error {
	f, err := l.v.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// size returns the size of a regular file.
func (l *SystemdBoot) size(name string) (int64, error) {
	f, err := l.v.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !st.Mode().IsRegular() {
		return 0, fmt.Errorf("%q is not a regular file", name)
	}
	return st.Size(), nil
}
