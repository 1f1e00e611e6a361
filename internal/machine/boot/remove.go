package boot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// removeSets removes the directories of entries with a name that writeSet gives
// to base.
func (l *SystemdBoot) removeSets(base string) error {
	dirs, err := l.sets(base)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := l.removeSet(dir); err != nil {
			return err
		}
	}
	return nil
}

// removeSet removes a directory of entries in loader. One that may be a second
// name of another directory of entries, left by a torn exchange or rename, is
// set aside and never touched again: to remove it would be to remove the other.
//
// A name that leads nowhere can be neither removed nor renamed. It is left to
// fsck.
func (l *SystemdBoot) removeSet(dir string) error {
	if _, err := l.v.ReadDir(dir); err != nil {
		return nil
	}
	safe, err := l.safeToRemove(dir)
	if err != nil {
		return err
	}
	if !safe {
		return l.setAside(dir)
	}
	return l.removeTree(dir)
}

// safeToRemove reports whether a directory of entries is surely no other
// directory of entries.
func (l *SystemdBoot) safeToRemove(dir string) (bool, error) {
	if !l.holdsOnly(dir, func(e fs.DirEntry) bool {
		return e.Type().IsRegular() && (e.Name() == stagedMark || strings.HasSuffix(strings.ToLower(e.Name()), ".conf"))
	}) {
		return false, nil // not readable, or not made by us
	}
	siblings, err := l.v.ReadDir(loaderDir)
	if err != nil {
		return false, err
	}
	for _, s := range siblings {
		name := path.Join(loaderDir, s.Name())
		if s.IsDir() && strings.HasPrefix(s.Name(), "entries") && name != dir && l.maybeSame(dir, name) {
			return false, nil
		}
	}
	return true, nil
}

// holdsOnly reports whether a directory can be read and every name in it is as
// ok wants it. The cluster of a directory that a cut has left may hold anything.
func (l *SystemdBoot) holdsOnly(dir string, ok func(fs.DirEntry) bool) bool {
	files, err := l.v.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, f := range files {
		if !ok(f) {
			return false
		}
	}
	return true
}

// maybeSame reports whether two directories may be one under two names: they
// list the same names and sizes and, as far as they can be read, the same
// contents. A directory that can be read is none that cannot.
func (l *SystemdBoot) maybeSame(a, b string) bool {
	x, err := l.sizes(a)
	if err != nil {
		return false
	}
	y, err := l.sizes(b)
	if err != nil || len(x) != len(y) {
		return false
	}
	for name, size := range x {
		if other, ok := y[name]; !ok || other != size {
			return false
		}
	}
	for name := range x {
		if !l.maybeSameFile(path.Join(a, name), path.Join(b, name)) {
			return false
		}
	}
	return true
}

// sizes lists a directory: the size of each file, -1 for a directory.
func (l *SystemdBoot) sizes(dir string) (map[string]int64, error) {
	files, err := l.v.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	all := map[string]int64{}
	for _, f := range files {
		all[f.Name()] = -1
		if f.IsDir() {
			continue
		}
		st, err := f.Info()
		if err != nil {
			return nil, err
		}
		all[f.Name()] = st.Size()
	}
	return all, nil
}

// maybeSameFile reports whether two files of one size have the same content, as
// far as they can be read. One that can be read to its end is none that cannot:
// one chain of clusters is broken under both of its names.
func (l *SystemdBoot) maybeSameFile(a, b string) bool {
	x, errX := l.v.Open(a)
	if errX == nil {
		defer x.Close()
	}
	y, errY := l.v.Open(b)
	if errY == nil {
		defer y.Close()
	}
	p, q := make([]byte, 1<<13), make([]byte, 1<<13)
	for errX == nil && errY == nil {
		var n, m int
		n, errX = io.ReadFull(x, p)
		m, errY = io.ReadFull(y, q)
		if !bytes.Equal(p[:n], q[:m]) {
			return false
		}
	}
	return broken(errX) == broken(errY)
}

// broken tells an error from the end of a file.
func broken(err error) bool {
	return err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
}

// setAside gives a directory a name under which nothing looks at it.
func (l *SystemdBoot) setAside(dir string) error {
	for n := 1; ; n++ {
		aside := path.Join(loaderDir, tornPrefix+strconv.Itoa(n))
		present, err := l.present(aside)
		if err != nil {
			return err
		}
		if present {
			continue
		}
		if err := l.v.Rename(dir, aside); err != nil {
			return fmt.Errorf("setting %s aside: %w", dir, err)
		}
		return l.v.Flush()
	}
}

// removeTree removes a file, or a directory with the files in it. Each is held
// open until the removal of its name is on disk; only then its clusters become
// free, and only when that is on disk they may be used again. So no name is
// ever left that leads to clusters of something else.
func (l *SystemdBoot) removeTree(name string) (err error) {
	var held []fs.File
	release := func() {
		for _, f := range held {
			f.Close()
		}
		held = nil
	}
	defer release()
	remove := func(name string) error {
		f, err := l.v.Open(name)
		if err != nil {
			return err
		}
		held = append(held, f)
		return l.v.Remove(name)
	}
	if files, err := l.v.ReadDir(name); err == nil {
		for _, f := range files {
			if err := remove(path.Join(name, f.Name())); err != nil {
				return err
			}
		}
	}
	if err := remove(name); err != nil {
		return err
	}
	if err := l.v.Flush(); err != nil {
		return err
	}
	release()
	return l.v.Flush()
}
