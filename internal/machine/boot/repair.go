package boot

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/bootc-go/bootc/internal/format/bls"
)

// Rewrite replaces our entries by others, the first choice first, in one step. Foreign
// ones stay byte for byte, as far as they can be read; one that cannot be read is
// gone then. Counters are those of the names given. On return it is on disk; a cut
// leaves the old entries or the new ones.
//
// What they name must be on disk. It is an error if no entry of a deployment would
// be left.
func (l *SystemdBoot) Rewrite(ours []bls.Entry) error {
	if len(ours) == 0 {
		return fmt.Errorf("internal error: there would be no boot entry")
	}
	s, err := l.Set()
	if err != nil {
		return err
	}
	set := files(arrangeAsTheyAre(ours), s.Entries)
	now := s.Entries
	for _, u := range s.Unreadable { // differs from every set
		now = append(now, Entry{Entry: bls.Entry{Name: u.Name}})
	}
	return l.commitSet(set, now)
}

// arrangeAsTheyAre is arrange that gives no tries back.
func arrangeAsTheyAre(entries []bls.Entry) []bls.Entry {
	set := arrange(entries)
	for i := range set {
		name := entries[i].Name
		name.Base = set[i].Name.Base
		set[i].Name = name
	}
	return set
}

// swapTail ends the name of a file that is on its way to another name.
const swapTail = ".new"

// Replace gives a file of the partition another content, in one step: an exchange
// of two names. A file that is missing is written; then a cut may leave a part of
// it. On disk on return.
//
// What a cut in an exchange has left is removed only if its content is not that of
// the file: otherwise it may be a second name of it.
func (l *SystemdBoot) Replace(ctx context.Context, name string, f File) error {
	if err := l.mkdirAll(path.Dir(name)); err != nil {
		return err
	}
	temp, err := l.swapName(name)
	if err != nil {
		return err
	}
	if err := l.checkRoom([]Named{{path.Base(temp), f}}); err != nil {
		return err
	}
	present, err := l.present(name)
	if err != nil {
		return err
	}
	if !present {
		if err := l.copy(ctx, name, f); err != nil {
			return err
		}
		return l.v.Flush()
	}
	if err := l.copy(ctx, temp, f); err != nil {
		return err
	}
	if err := l.v.Flush(); err != nil {
		return err
	}
	if err := l.v.Exchange(path.Dir(name), path.Base(name), path.Base(temp)); err != nil {
		return err
	}
	if err := l.v.Flush(); err != nil {
		return err
	}
	return l.removeTree(temp)
}

// swapName returns a name beside a file that is not taken, and removes what has been
// left under such names.
func (l *SystemdBoot) swapName(name string) (string, error) {
	for n := 1; ; n++ {
		temp := name + swapTail
		if n > 1 {
			temp = fmt.Sprintf("%s-%d", temp, n)
		}
		present, err := l.present(temp)
		if err != nil || !present {
			return temp, err
		}
		a, errA := l.size(temp)
		b, errB := l.size(name)
		if errA != nil || errB != nil || a == b && l.maybeSameFile(temp, name) {
			continue
		}
		if err := l.removeTree(temp); err != nil {
			return "", err
		}
	}
}

// MissingCredentials reports whether an entry names the archive of credentials,
// which is not there: such an entry does not boot.
func (l *SystemdBoot) MissingCredentials(e *Entry) bool {
	for _, p := range e.Files() {
		if mayBeEmpty(p) {
			_, err := l.size(p)
			return err != nil
		}
	}
	return false
}

// Credentials returns the path of the archive of credentials for an entry, "" if
// there is none: see [Artefacts].
func (l *SystemdBoot) Credentials() string { return l.credentials() }

// Beside tells what is left of exchanges of a file: see [SystemdBoot.Replace].
func (l *SystemdBoot) Beside(name string) []string {
	all, err := l.v.ReadDir(path.Dir(name))
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range all {
		if strings.HasPrefix(strings.ToLower(e.Name()), strings.ToLower(path.Base(name)+swapTail)) {
			names = append(names, path.Join(path.Dir(name), e.Name()))
		}
	}
	return names
}
