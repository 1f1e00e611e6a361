package dir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// WriteFile replaces the file name below root in one step: a reader, or a
// system that starts after a power cut, finds the old content or the new one.
// The new one is on disk on return. Where the disk does not take it, it is
// written once more, elsewhere. After an error there is the old one, or, if it
// was the name that could not be flushed, either.
//
// It relies on an atomic rename and is not for FAT.
func WriteFile(root *os.Root, name string, data []byte, perm os.FileMode) error {
	temp, err := writeTemp(root, name, data, perm)
	if errors.Is(err, unix.EIO) {
		bad := temp // keeps its blocks until the other one has others
		temp, err = writeTemp(root, name, data, perm)
		root.Remove(bad)
	}
	if err != nil {
		root.Remove(temp)
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := root.Rename(temp, name); err != nil {
		root.Remove(temp)
		return err
	}
	return SyncDir(root, path.Dir(name))
}

// writeTemp writes a file beside name, flushes it, and returns its name. After
// an error it may be there.
func writeTemp(root *os.Root, name string, data []byte, perm os.FileMode) (temp string, err error) {
	temp = path.Join(path.Dir(name), ".tmp-"+rand.Text())
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return temp, err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(perm) // whatever the umask
	}
	if err == nil {
		err = f.Sync()
	}
	return temp, errors.Join(err, f.Close())
}

// Symlink makes name a symbolic link with the text target, replacing another
// link in one step. A link that has the text already is left alone. It is on
// disk after the next flush.
//
// Only where a link is replaced a temporary name exists for a moment; a power
// cut may leave it as ".symlink-…" beside name.
func Symlink(root *os.Root, target, name string) error {
	err := root.Symlink(target, name)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	old, err := root.Readlink(name)
	if err != nil || old == target { // an error: not a link, it is not replaced
		return err
	}
	temp := path.Join(path.Dir(name), ".symlink-"+rand.Text())
	if err := root.Symlink(target, temp); err != nil {
		return err
	}
	if err := root.Rename(temp, name); err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	return nil
}

// SyncDir flushes a directory: names that were made or removed in it are on
// disk on return.
func SyncDir(root *os.Root, name string) error {
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return &fs.PathError{Op: "flushing", Path: name, Err: err}
	}
	return nil
}
