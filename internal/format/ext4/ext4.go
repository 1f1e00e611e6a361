// Package ext4 writes an ext4 file system once, from a tree, without mounting
// it: for disk images that are built by an ordinary user. Files can be written
// with fs-verity enabled, as FS_IOC_ENABLE_VERITY would leave them.
//
// [New] computes where everything goes, [Image.Write] writes it in ascending
// order. The same tree and options give the same bytes. It cannot read or
// change a file system; [ReadUUID] tells which one something is.
//
// The choices it makes are in docs/formats/ext4.md.
//
// Source: Documentation/filesystems/ext4 and fsverity.rst of the Linux kernel.
package ext4

import (
	"errors"
	"fmt"
	"io"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// BlockSize is the size of a block, in bytes.
const BlockSize = 4096

// Options of a file system. Size and Open are needed.
type Options struct {
	Size     int64  // in bytes; what is over a multiple of BlockSize stays unused
	Label    string // at most 16 bytes
	UUID     [16]byte
	HashSeed [16]byte // of directories that the kernel will index
	Time     int64    // of its creation, in seconds since 1970-01-01 UTC
	// Seal says by its path which files have fs-verity enabled: those have an
	// Object, with which their content is compared. nil: none.
	Seal func(path string) bool
	// Open opens the content of a regular file that is not inline. It is called
	// from several goroutines.
	Open func(n *tree.Node, sealed bool) (io.ReadCloser, error)
}

// An Image is a file system that is laid out.
type Image struct {
	o         Options
	geo       geometry
	space     allocator
	inodes    []*inode // [0] is inode 1; nil for those that are not used
	numbers   map[*tree.Node]uint32
	lostFound *tree.Node
	dirs      []uint32 // number of directories in each group
	seed      uint32   // of check sums
}

// New lays out a file system. It refuses what does not fit, what ext4 cannot
// say, and a sealed file without an object. The tree must stay as it is until
// Write has returned.
func New(t *tree.Tree, o Options) (*Image, error) {
	i, err := newImage(t, o)
	if err != nil {
		return nil, err
	}
	if err := i.layOut(o.Size); err != nil {
		return nil, err
	}
	return i, nil
}

// newImage does all that can be done whatever the size.
func newImage(t *tree.Tree, o Options) (*Image, error) {
	if len(o.Label) > 16 {
		return nil, fmt.Errorf("the label %q of the file system has %d bytes, ext4 takes 16", o.Label, len(o.Label))
	}
	if !t.Root.IsDir() {
		return nil, errors.New("the root of the tree is not a directory")
	}
	i := &Image{o: o, seed: checksum(^uint32(0), o.UUID[:])}
	return i, i.number(t)
}

// layOut divides a file system of size bytes and gives everything its place. It
// can be done again for another size.
func (i *Image) layOut(size int64) (err error) {
	if i.geo, err = newGeometry(size, len(i.inodes)); err != nil {
		return err
	}
	i.space = newAllocator(&i.geo)
	return i.place()
}

// Free returns how many bytes are left for new files, those reserved for root
// included.
func (i *Image) Free() int64 { return int64(i.geo.blocks-i.space.used()) * BlockSize }
