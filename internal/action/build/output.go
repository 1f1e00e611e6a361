package build

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/bootc-go/bootc/internal/format/vdisk"
)

// An output is the disk in one of its formats, or a companion of one, in a file that
// has no name of its own yet.
type output struct {
	path string
	file *os.File
	disk vdisk.Disk // nil: the file is complete
}

// outputs is the disk in all formats: each write goes to all.
type outputs []*output

// open begins a file for each format, and writes the companions, which come last.
func (p *Plan) open(d *disk) (all outputs, err error) {
	defer func() {
		if err != nil {
			all.abandon()
		}
	}()
	for _, f := range p.formats {
		o, err := newOutput(p.file(f.ending))
		if err != nil {
			return all, err
		}
		all = append(all, o)
		if o.disk, err = f.open(o.file, f.options(filepath.Base(o.path), d.size, d.id, d.time)); err != nil {
			return all, err
		}
	}
	for _, f := range p.formats {
		if f.beside == nil {
			continue
		}
		data, err := f.beside.make(p, d, filepath.Base(p.file(f.ending)))
		if err != nil {
			return all, err
		}
		o, err := newOutput(p.file(f.beside.ending))
		if err != nil {
			return all, err
		}
		all = append(all, o)
		if _, err := o.file.Write(data); err != nil {
			return all, err
		}
	}
	return all, nil
}

func newOutput(path string) (*output, error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return nil, err
	}
	return &output{path: path, file: file}, nil
}

func (all outputs) WriteAt(b []byte, at int64) (int, error) {
	for _, o := range all {
		if o.disk == nil {
			continue
		}
		if n, err := o.disk.WriteAt(b, at); err != nil {
			return n, err
		}
	}
	return len(b), nil
}

// finish completes the files, and gives them their names once all are on disk. If
// one cannot have its name, no other keeps its own.
func (all outputs) finish() error {
	for _, o := range all {
		if o.disk != nil {
			if err := o.disk.Close(); err != nil {
				return err
			}
		}
		if err := errors.Join(o.file.Chmod(0o644), o.file.Sync(), o.file.Close()); err != nil {
			return err
		}
	}
	for k, o := range all {
		if err := os.Rename(o.file.Name(), o.path); err != nil {
			for _, named := range all[:k] {
				os.Remove(named.path)
			}
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
