package build

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// A folder is a type that is a directory of several files.
type folder struct {
	names []string // of all files that can be in it
	// has reports whether a plan makes the file of a name.
	has func(p *Plan, name string) bool
	// make makes the files for a medium in the directory, whatever is complete
	// without a disk.
	make func(dir *output, d *disk) (outputs, error)
}

// open begins the files of the directory, which comes behind them.
func (f *folder) open(all outputs, path string, d *disk) (outputs, error) {
	temp, err := os.MkdirTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return all, err
	}
	dir := &output{path: path, temp: temp}
	files, err := f.make(dir, d)
	return append(append(all, files...), dir), err
}

// create begins a file in a directory that has no name of its own yet.
func (o *output) create(name string) (*output, error) {
	path := filepath.Join(o.temp, name)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &output{path: path, temp: path, file: file, inside: true}, nil
}

// check refuses a place where something is that such a directory does not have: it
// would be lost.
func (f *folder) check(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !slices.Contains(f.names, e.Name()) {
			return fmt.Errorf("%s, which would be replaced, has %q in it, which is not of its files", path, e.Name())
		}
	}
	return nil
}
