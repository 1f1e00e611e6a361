package erofs

import (
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// A layout is how an inode lies in the image.
type layout struct {
	mode    uint32
	nlink   uint32
	size    uint64
	format  uint16 // layoutPlain and its like
	compact bool
	xsize   int    // of the extended attributes
	chunks  int    // entries of the chunk table of an external file
	nblk    int    // own data blocks
	tail    int    // bytes after the extended attributes
	u       uint32 // i_u, but for the number of a block
}

// measure works out how much room an inode takes.
func (b *builder) measure(i int) (layout, error) {
	in := &b.inodes[i]
	n := in.node
	l := layout{mode: n.Mode, nlink: n.Nlink}
	if n.IsWhiteout() && n != b.stub && !b.legacy() {
		l.mode = tree.TypeRegular | n.Perm()
	}
	if err := b.measureAttrs(in, &l); err != nil {
		return l, err
	}
	if err := b.measureContent(i, &l); err != nil {
		return l, err
	}
	if b.legacy() {
		return l, b.measureLegacy(in, &l)
	}
	size := l.size
	if !n.IsDir() && !n.IsSymlink() && !n.IsWhiteout() {
		size = n.Size // of a device: it is not stored, and yet it counts here
	}
	l.compact = n.Mtime == b.min && l.nlink <= 0xffff && n.UID <= 0xffff && n.GID <= 0xffff && size <= 0xffffffff
	return l, nil
}

func (b *builder) measureAttrs(in *inode, l *layout) error {
	shared := 0
	for _, a := range b.attrs(in) {
		switch _, ok := b.share.offset(a); {
		case !ok, shared == maxShared && !b.legacy():
			l.xsize += b.entrySize(a.name, a.size())
		case shared == maxSharedV2:
			return fmt.Errorf("more than %d shared extended attributes in version 2", maxSharedV2)
		default:
			shared++
			l.xsize += 4
		}
	}
	if l.xsize > 0 {
		l.xsize += xattrHeader
	}
	return nil
}

func (b *builder) measureContent(i int, l *layout) error {
	n := b.inodes[i].node
	switch n.Type() {
	case tree.TypeDir:
		b.measureDirectory(i, l)
	case tree.TypeSymlink:
		l.tail, l.size = len(n.Target), uint64(len(n.Target))
		if err := tree.CheckTarget(n.Target); err != nil {
			return err
		}
	case tree.TypeRegular:
		if n.Content == nil {
			return l.measureChunks(n.Size)
		}
		l.size = uint64(len(n.Content))
		if l.size != n.Size || l.size > tree.MaxContent {
			return fmt.Errorf("content of %d bytes in a file of %d, at most %d are possible", l.size, n.Size, tree.MaxContent)
		}
		l.nblk, l.tail = len(n.Content)/blockSize, len(n.Content)%blockSize
		if l.tail > maxTail {
			l.nblk++
			l.tail = 0
		}
	case tree.TypeChar, tree.TypeBlock:
		l.u = n.Rdev
	case tree.TypeFifo, tree.TypeSocket:
	default:
		return fmt.Errorf("mode %o has no file type", n.Mode)
	}
	if l.tail > 0 && l.format == layoutPlain {
		l.format = layoutInline
	}
	return nil
}

func (b *builder) measureDirectory(i int, l *layout) {
	used := 0
	l.nlink = 2
	b.entries(i, func(name string, n *tree.Node, _ int) {
		if n != nil && n.IsDir() {
			l.nlink++
		}
		need := direntSize + len(name)
		if used+need > blockSize {
			l.nblk++
			used = 0
		}
		used += need
	})
	l.tail = used
	if used > maxTail {
		l.nblk++
		l.tail = 0
	}
	l.size = uint64(l.nblk)*blockSize + uint64(l.tail)
}

// measureChunks lays out a file whose content is not in the image.
func (l *layout) measureChunks(size uint64) error {
	l.size = size
	if size == 0 {
		return nil
	}
	bit := min(max(bits.Len64(size-1), 12), 43)
	chunks := (size-1)>>bit + 1
	if chunks > maxChunks {
		return fmt.Errorf("file of %d bytes, at most %d are possible", size, uint64(tree.MaxSize))
	}
	l.chunks, l.tail = int(chunks), 4*int(chunks)
	l.format, l.u = layoutChunks, uint32(bit-12)
	return nil
}

// fixed returns the bytes of an inode before its tail.
func (l *layout) fixed() int64 {
	if l.compact {
		return int64(compactSize + l.xsize)
	}
	return int64(extendSize + l.xsize)
}

// place measures an inode and puts it at pos or behind it. It returns where it
// begins and where it ends.
func (b *builder) place(i int, pos int64) (l layout, at, end int64, err error) {
	if l, err = b.measure(i); err != nil {
		return l, 0, 0, b.wrap(i, err)
	}
	pos = roundUp(pos, slotSize)
	switch {
	case b.legacy():
		at = l.placeLegacy(pos)
	case b.inodes[i].node.IsSymlink():
		at = l.placeSymlink(pos)
	default:
		at = l.place(pos)
	}
	return l, at, at + l.fixed() + int64(l.tail), nil
}

// placeSymlink puts a symbolic link where it does not cross a block: kernels
// before 6.12 refuse one that does.
func (l *layout) placeSymlink(pos int64) int64 {
	total := l.fixed() + int64(l.tail)
	if pos/blockSize != (pos+total-1)/blockSize {
		pos = roundUp(pos, blockSize)
	}
	if total >= blockSize {
		l.nblk, l.tail, l.format = 1, 0, layoutPlain
	}
	return pos
}

// place puts an inode where its tail does not cross a block.
func (l *layout) place(pos int64) int64 {
	fixed, tail := l.fixed(), int64(l.tail)
	room := blockSize - (pos+fixed)%blockSize
	if room >= tail {
		return pos
	}
	pad := roundUp(room, slotSize)
	if tail <= blockSize-(pos+fixed+pad)%blockSize {
		return pos + pad
	}
	l.nblk++ // a chunk table; no other tail is that long
	l.tail = 0
	return roundUp(pos, blockSize)
}

// placeAll gives each inode its offset, and counts the data blocks.
func (b *builder) placeAll() error {
	pos := int64(firstInode)
	for i := range b.inodes {
		l, at, end, err := b.place(i, pos)
		if err != nil {
			return err
		}
		if at/slotSize > math.MaxUint32 {
			return errors.New("the inodes take more than 128 GiB")
		}
		b.inodes[i].nid, b.inodes[i].blocks = uint32(at/slotSize), l.nblk > 0
		b.blocks += int64(l.nblk)
		pos = end
	}
	b.inodesEnd = roundUp(pos, slotSize)
	b.dataStart = roundUp(b.inodesEnd+b.share.size, blockSize)
	b.blocks += b.dataStart / blockSize
	return nil
}

func roundUp(x, n int64) int64 { return (x + n - 1) / n * n }
