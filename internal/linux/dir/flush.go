package dir

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A Flusher flushes a whole file system. It is made before what it flushes is
// written: the kernel writes by itself, too, and tells a handle only of what
// could not be written since it was opened (syncfs(2), since Linux 5.8).
//
// The kernel tells it once, and then takes what was lost for written. After an
// error nothing that was written before may be believed, whatever is read of
// it, and no later Flush makes it good: it has to be written again, to new files.
type Flusher struct{ f *os.File }

// NewFlusher returns the flusher of the file system that root is on.
func NewFlusher(root *os.Root) (*Flusher, error) {
	f, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	return &Flusher{f}, nil
}

// Flush returns when all that was written to the file system, by anybody, is on
// the disk.
func (f *Flusher) Flush() error {
	if err := unix.Syncfs(int(f.f.Fd())); err != nil {
		return fmt.Errorf("flushing the file system: %w", err)
	}
	return nil
}

// Close releases the handle. Nothing is flushed.
func (f *Flusher) Close() error { return f.f.Close() }
