package boot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/linux/dir"
)

// A Volume is the file system that holds the loader's files. Names are relative
// to its top, with slashes.
//
// Only Flush promises anything about the disk: on return, everything that was
// done before is on it. What was done since the last Flush is there in part and
// in any order after a power cut.
//
// A Flush that fails has lost some of it, and what is read afterwards may be
// what was lost. A volume that is a disk refuses all further changes then:
// whoever opens it the next time finds what is really there.
type Volume interface {
	// ReadDir lists a directory without looking at what its names lead to.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Open opens a file, which is also an [io.ReaderAt], or a directory. What
	// is open keeps its clusters when its name is removed, until it is closed.
	Open(name string) (fs.File, error)
	// Create makes a file that does not exist.
	Create(name string) (io.WriteCloser, error)
	// Mkdir makes a directory that does not exist.
	Mkdir(name string) error
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// Rename gives a name that does not exist to a directory.
	Rename(from, to string) error
	// Exchange swaps two names in one directory.
	Exchange(dir, a, b string) error
	Flush() error
	// Room tells how many bytes are free, and in which unit they are given out.
	Room() (free, unit int64, err error)
}

// Mounted returns the volume of a mounted file system.
func Mounted(root *os.Root) Volume { return &rootVolume{root: root} }

type rootVolume struct {
	root *os.Root
	// flusher is older than all that was written since the last Flush; nil: nothing was.
	flusher *dir.Flusher
	lost    error // of the Flush that failed
}

// begin is called before something is written.
func (v *rootVolume) begin() (err error) {
	if v.lost != nil {
		return fmt.Errorf("what was written is not on disk: %w", v.lost)
	}
	if v.flusher == nil {
		v.flusher, err = dir.NewFlusher(v.root)
	}
	return err
}

func (v *rootVolume) ReadDir(name string) ([]fs.DirEntry, error) { return dir.ReadDir(v.root, name) }

func (v *rootVolume) Open(name string) (fs.File, error) { return v.root.Open(name) }

func (v *rootVolume) Create(name string) (io.WriteCloser, error) {
	if err := v.begin(); err != nil {
		return nil, err
	}
	return v.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
}

func (v *rootVolume) Mkdir(name string) error {
	if err := v.begin(); err != nil {
		return err
	}
	return v.root.Mkdir(name, 0o700)
}

func (v *rootVolume) Remove(name string) error {
	if err := v.begin(); err != nil {
		return err
	}
	return v.root.Remove(name)
}

func (v *rootVolume) Rename(from, to string) error {
	if err := v.begin(); err != nil {
		return err
	}
	return v.root.Rename(from, to)
}

func (v *rootVolume) Exchange(name, a, b string) error {
	if err := v.begin(); err != nil {
		return err
	}
	d, err := v.root.OpenRoot(name)
	if err != nil {
		return err
	}
	defer d.Close()
	err = dir.Exchange(d, a, b)
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w: the kernel cannot exchange names on this file system (on FAT this needs Linux 6.0)", err)
	}
	return err
}

// Flush writes everything out and then empties the cache of the device. On FAT
// syncfs(2) does only the first, fsync(2) of any file does the second.
func (v *rootVolume) Flush() error {
	if err := v.begin(); err != nil {
		return err
	}
	err := v.flusher.Flush()
	v.flusher.Close()
	v.flusher = nil
	if err == nil {
		err = dir.SyncDir(v.root, ".")
	}
	v.lost = err
	return err
}

func (v *rootVolume) Room() (free, unit int64, err error) {
	f, err := v.root.Open(".")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return 0, 0, fmt.Errorf("asking for free space: %w", err)
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Bsize), nil
}
