// Package vdisk writes disk images in the formats of virtual machines and
// clouds.
//
// A disk is written once, in ascending order, as a stream of WriteAt calls of
// any length and alignment; what is not written is zero. Each format keeps what
// it cannot write yet: some blocks, and tables whose size is a small part of the
// disk's. Holes cost nothing.
//
// Invariants:
//   - The same disk and the same [Options] give the same bytes, however the
//     writes were cut up and whatever the number of processors.
//   - A write that is out of order, beyond the end or after Close is an error,
//     and the file is not completed.
//   - Zeros are not stored, whether written or not.
//
// The package knows nothing of what a disk holds.
//
// Source: docs/formats/vdisk.md and the specifications named there.
package vdisk

import (
	"errors"
	"fmt"
	"io"
	"time"
)

const sectorSize = 512

// A Disk is an image being written.
//
// WriteAt begins where the write before it ended, or later. The bytes are
// copied or written when it returns, but an error of writing may come with a later
// call. After an error every call returns it.
//
// Close completes the image; it is not valid before. It does not close or flush
// what the image is written to. A Disk may be dropped without Close. Neither
// method may be called while another call runs.
type Disk interface {
	io.WriterAt
	Close() error
}

// A Target is what an image is written to, where a format needs to go back:
// an *os.File, for example. It is emptied first, and what is not written after
// that must read as zeros.
type Target interface {
	io.WriterAt
	Truncate(size int64) error
}

// Options describe a disk. Only Size is needed.
type Options struct {
	// Size of the disk in bytes, a multiple of 512. Some formats make it larger;
	// see VHDAlignment and GCEAlignment.
	Size int64
	// ID is what the disk's UUIDs and other identifiers are made of.
	ID [16]byte
	// Time is when the disk was made, where a format records it.
	Time time.Time
	// Name of the file, where a format records it, without directories.
	Name string
}

func (o *Options) check(most int64) error {
	switch {
	case o.Size <= 0 || o.Size%sectorSize != 0:
		return fmt.Errorf("a disk of %d bytes is not a positive multiple of %d", o.Size, sectorSize)
	case o.Size > most:
		return fmt.Errorf("a disk of %d bytes is larger than the format's %d", o.Size, most)
	}
	return nil
}

var errClosed = errors.New("the disk is closed")

// An image is a format's part of a Disk. write gets writes in order and inside
// the disk, never after an error; end completes the file.
type image interface {
	write(p []byte, off int64) error
	end() error
}

// A disk guards an image from misuse.
type disk struct {
	format string
	size   int64
	next   int64 // where the next write may begin
	err    error // of all calls from now on
	image  image
}

func newDisk(format string, size int64, i image) *disk {
	return &disk{format: format, size: size, image: i}
}

func (d *disk) WriteAt(p []byte, off int64) (int, error) {
	if d.err == nil {
		d.err = d.writeAt(p, off)
	}
	if d.err != nil {
		return 0, fmt.Errorf("writing %s: %w", d.format, d.err)
	}
	return len(p), nil
}

func (d *disk) writeAt(p []byte, off int64) error {
	switch {
	case off < d.next:
		return fmt.Errorf("%d bytes at %d, behind the end of an earlier write at %d", len(p), off, d.next)
	case off > d.size || int64(len(p)) > d.size-off:
		return fmt.Errorf("%d bytes at %d, beyond the end of the disk at %d", len(p), off, d.size)
	}
	d.next = off + int64(len(p))
	return d.image.write(p, off)
}

func (d *disk) Close() error {
	err := d.err
	if err == nil {
		d.err = errClosed
		if err = d.image.end(); err != nil {
			d.err = err
		}
	}
	if err != nil {
		return fmt.Errorf("completing %s: %w", d.format, err)
	}
	return nil
}
