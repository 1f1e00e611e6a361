package build

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/bootc-go/bootc/internal/format/vdisk"
)

// An output is the disk in one of its formats, in a file that has no name of
// its own yet.
type output struct {
	path string
	file *os.File
	disk vdisk.Disk
}

// outputs is the disk in all formats: each write goes to all.
type outputs []*output

// open begins a file for each format.
func (p *Plan) open(size int64, id [16]byte, t int64) (all outputs, err error) {
	defer func() {
		if err != nil {
			all.abandon()
		}
	}()
	for _, f := range p.formats {
		path := p.file(f)
		file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
		if err != nil {
			return all, err
		}
		o := &output{path: path, file: file}
		all = append(all, o)
		if o.disk, err = f.open(file, f.options(filepath.Base(path), size, id, t)); err != nil {
			return all, err
		}
	}
	return all, nil
}

func (all outputs) WriteAt(b []byte, at int64) (int, error) {
	for _, o := range all {
		if n, err := o.disk.WriteAt(b, at); err != nil {
			return n, err
		}
	}
	return len(b), nil
}

// finish completes the files, and gives them their names once all are on disk.
func (all outputs) finish() error {
	for _, o := range all {
		if err := errors.Join(o.disk.Close(), o.file.Chmod(0o644), o.file.Sync(), o.file.Close()); err != nil {
			return err
		}
	}
	for _, o := range all {
		if err := os.Rename(o.file.Name(), o.path); err != nil {
			return err
		}
	}
	return nil
}

// abandon removes files that have no name of their own yet.
func (all outputs) abandon() {
	for _, o := range all {
		o.file.Close()
		os.Remove(o.file.Name())
	}
}
