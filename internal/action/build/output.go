package build

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/bootc-go/bootc/internal/format/vdisk"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// An output is the disk in one of its formats, or a companion of one, in a file that
// has no name of its own yet; or a directory of such files.
type output struct {
	path string     // its name in the end
	temp string     // its name until then
	file *os.File   // nil: a directory
	disk vdisk.Disk // nil: the file is complete
	// inside: it has its name already, in a directory that comes behind it.
	inside bool
	// exchanged: what had the name of the directory has temp now.
	exchanged bool
}

// outputs is the disk in all formats: each write goes to all.
type outputs []*output

// open begins a file for each format of a disk, or of a medium, and writes the
// companions, which come last.
func (p *Plan) open(d *disk) (all outputs, err error) {
	defer func() {
		if err != nil {
			all.abandon()
		}
	}()
	for _, f := range p.formats {
		if f.medium != (d.medium != nil) {
			continue
		}
		if f.folder != nil {
			if all, err = f.folder.open(all, p.file(f.ending), d); err != nil {
				return all, err
			}
			continue
		}
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
		if f.beside == nil || d.medium != nil {
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
	return &output{path: path, temp: file.Name(), file: file}, nil
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

// complete completes the files. They are on disk on return.
func (all outputs) complete() error {
	for _, o := range all {
		if o.disk != nil {
			if err := o.disk.Close(); err != nil {
				return err
			}
		}
		if o.file == nil {
			if err := completeDirectory(o.temp); err != nil {
				return err
			}
			continue
		}
		if err := errors.Join(o.file.Chmod(0o644), o.file.Sync(), o.file.Close()); err != nil {
			return err
		}
	}
	return nil
}

func completeDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Chmod(0o755), d.Sync(), d.Close())
}

// finish gives the files their names, once all are complete. If one cannot have its
// name, no other keeps its own.
func (all outputs) finish() error {
	for k, o := range all {
		if err := o.name(); err != nil {
			for _, named := range all[:k] {
				named.unname()
			}
			return err
		}
	}
	for _, o := range all {
		if o.exchanged {
			os.RemoveAll(o.temp)
		}
	}
	return nil
}

// name gives the output its name. A directory that has it goes in the same step.
func (o *output) name() error {
	if o.inside {
		return nil
	}
	if _, err := os.Lstat(o.path); o.file != nil || errors.Is(err, os.ErrNotExist) {
		return os.Rename(o.temp, o.path)
	}
	root, err := os.OpenRoot(filepath.Dir(o.path))
	if err != nil {
		return err
	}
	defer root.Close()
	if err := dir.Exchange(root, filepath.Base(o.temp), filepath.Base(o.path)); err != nil {
		return err
	}
	o.exchanged = true
	return nil
}

// unname takes the name from the output, and what is in it with it.
func (o *output) unname() {
	switch {
	case o.inside:
	case o.file != nil:
		os.Remove(o.path)
	case o.exchanged:
		o.exchanged = false
		_ = o.name() // what was there has its name again
		os.RemoveAll(o.temp)
	default:
		os.RemoveAll(o.path)
	}
}

// abandon removes what has no name of its own yet.
func (all outputs) abandon() {
	for _, o := range all {
		if o.file != nil {
			o.file.Close()
		}
		os.RemoveAll(o.temp)
	}
}
