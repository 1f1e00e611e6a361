package dir

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ReadDir lists a directory below a root in byte order of the names, and looks at
// nothing but the directory: a name is listed also if what it leads to cannot be read,
// as a damaged inode or, on FAT, a directory whose clusters are free. A listing
// by [os.Root.FS] or a file of an [os.Root] ends at such a name. Info looks at it.
//
// Source: getdents64(2). Where a file system tells no types, each name is looked at.
func ReadDir(root *os.Root, name string) ([]fs.DirEntry, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "dup", Path: f.Name(), Err: err}
	}
	plain := os.NewFile(uintptr(fd), f.Name())
	defer plain.Close()
	entries, err := plain.ReadDir(-1)
	for i, e := range entries {
		entries[i] = rootEntry{e, root, path.Join(name, e.Name())}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// rootEntry finds out about a file through the handle of the root.
type rootEntry struct {
	fs.DirEntry
	root *os.Root
	path string
}

func (e rootEntry) Info() (fs.FileInfo, error) { return e.root.Lstat(e.path) }
