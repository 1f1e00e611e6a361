package boot

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/bootc-go/bootc/internal/linux/dir"
)

// removeSet removes a directory of entries in loader. One whose content equals
// that of another directory of entries may be a second name of it, left by a
// torn exchange: it is set aside under a name of its own and never touched
// again.
func (l *SystemdBoot) removeSet(name string) error {
	files, err := l.contents(path.Join("loader", name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	siblings, err := fs.ReadDir(l.esp.FS(), "loader")
	if err != nil {
		return err
	}
	aside := 0
	for _, s := range siblings {
		if !s.IsDir() || s.Name() == name || !strings.HasPrefix(s.Name(), "entries") {
			continue
		}
		if strings.HasPrefix(s.Name(), "entries.torn-") {
			aside++
		}
		other, err := l.contents(path.Join("loader", s.Name()))
		if err != nil {
			return err
		}
		if len(files) > 0 && same(files, other) {
			return l.setAside(name, len(siblings))
		}
	}
	return l.removeTree(path.Join("loader", name))
}

func (l *SystemdBoot) setAside(name string, start int) error {
	for n := start; ; n++ {
		aside := fmt.Sprintf("loader/entries.torn-%d", n)
		if _, err := l.esp.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
			if err := l.esp.Rename(path.Join("loader", name), aside); err != nil {
				return err
			}
			return dir.SyncFS(l.esp)
		}
	}
}

func (l *SystemdBoot) contents(name string) (map[string][]byte, error) {
	entries, err := fs.ReadDir(l.esp.FS(), name)
	if err != nil {
		return nil, err
	}
	all := map[string][]byte{}
	for _, e := range entries {
		data := []byte(nil)
		if e.Type().IsRegular() {
			if data, err = l.esp.ReadFile(path.Join(name, e.Name())); err != nil {
				return nil, err
			}
		}
		all[e.Name()] = data
	}
	return all, nil
}

func same(a, b map[string][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for name, data := range a {
		other, ok := b[name]
		if !ok || !bytes.Equal(data, other) {
			return false
		}
	}
	return true
}

// removeTree removes a directory and its files. FAT has no journal, so names
// go first: each file is held open until a flush has put the removal of its
// name on disk, and only then its clusters become free. So no name is ever
// left that leads to clusters which may be used again.
func (l *SystemdBoot) removeTree(name string) error {
	var held []*os.File
	defer func() {
		for _, f := range held {
			f.Close()
		}
	}()
	hold := func(p string) error {
		f, err := l.esp.Open(p)
		if err == nil {
			held = append(held, f)
		}
		return err
	}
	var names []string
	err := fs.WalkDir(l.esp.FS(), name, func(p string, _ fs.DirEntry, err error) error {
		names = append(names, p)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := len(names) - 1; i >= 0; i-- {
		if err := hold(names[i]); err != nil {
			return err
		}
		if err := l.esp.Remove(names[i]); err != nil {
			return err
		}
	}
	return dir.SyncFS(l.esp)
}
