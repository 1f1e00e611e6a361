package erofs

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"math/bits"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// shareXattrs finds the pairs of name and value that occur more than once.
// Most occur once, so they are counted by hash first.
func (b *builder) shareXattrs() {
	seed := maphash.MakeSeed()
	hash := func(x tree.Xattr) uint64 { return maphash.Comparable(seed, x) }
	repeated := map[uint64]bool{}
	for _, in := range b.inodes {
		for _, x := range in.xattrs {
			h := hash(x)
			_, seen := repeated[h]
			repeated[h] = seen
		}
	}
	count := map[tree.Xattr]int{}
	for _, in := range b.inodes {
		for _, x := range in.xattrs {
			if repeated[hash(x)] {
				count[x]++
			}
		}
	}
	for x, n := range count {
		if n > 1 {
			b.sharedTable = append(b.sharedTable, x)
		}
	}
	compare := compareShared
	if b.legacy() {
		compare = compareLegacy
	}
	slices.SortFunc(b.sharedTable, compare)
	b.sharedAt = make(map[tree.Xattr]int, len(b.sharedTable))
	offset := 0
	for _, x := range b.sharedTable {
		b.sharedAt[x] = offset
		offset += b.entrySize(x)
	}
}

// compareShared is the order of the table of shared attributes.
func compareShared(x, y tree.Xattr) int {
	return -cmp.Or(strings.Compare(x.Name, y.Name), cmp.Compare(len(x.Value), len(y.Value)), strings.Compare(x.Value, y.Value))
}

func (b *builder) entrySize(x tree.Xattr) int {
	_, suffix := splitName(x.Name, b.version)
	return (4 + len(suffix) + len(x.Value) + 3) &^ 3
}

// findMinTime finds what the super block says; version 2 says nothing.
func (b *builder) findMinTime() {
	if b.legacy() {
		return
	}
	b.min = b.inodes[0].node.Mtime
	for _, in := range b.inodes {
		if in.node.Mtime.Compare(b.min) < 0 {
			b.min = in.node.Mtime
		}
	}
}

// measure works out how much room an inode takes.
func (in *inode) measure(b *builder) error {
	most := maxShared
	if b.legacy() {
		most = maxSharedV2
	}
	for _, x := range in.xattrs {
		offset, ok := b.sharedAt[x]
		if ok && len(in.shared) == maxSharedV2 && b.legacy() {
			return in.wrap(fmt.Errorf("more than %d shared extended attributes in version 2", maxSharedV2))
		}
		if ok && len(in.shared) < most {
			in.shared = append(in.shared, uint32(offset))
			in.xsize += 4
		} else {
			in.unshared = append(in.unshared, x)
			in.xsize += b.entrySize(x)
		}
	}
	if in.xsize > 0 {
		in.xsize += xattrHeader
	}
	if err := in.measureContent(); err != nil {
		return in.wrap(err)
	}
	if b.legacy() {
		if err := in.measureLegacy(); err != nil {
			return in.wrap(err)
		}
		return nil
	}
	n := in.node
	size := in.size
	if !n.IsDir() && !n.IsSymlink() && !n.IsWhiteout() {
		size = n.Size // of a device: it is not stored, and yet it counts here
	}
	in.compact = n.Mtime == b.min && in.nlink <= 0xffff && n.UID <= 0xffff && n.GID <= 0xffff && size <= 0xffffffff
	return nil
}

func (in *inode) measureContent() error {
	n := in.node
	switch n.Type() {
	case tree.TypeDir:
		in.measureDirectory()
	case tree.TypeSymlink:
		in.tail, in.size = len(n.Target), uint64(len(n.Target))
		if err := tree.CheckTarget(n.Target); err != nil {
			return err
		}
	case tree.TypeRegular:
		if n.Content == nil {
			return in.measureChunks()
		}
		in.size = uint64(len(n.Content))
		if in.size != n.Size || in.size > tree.MaxContent {
			return fmt.Errorf("content of %d bytes in a file of %d, at most %d are possible", in.size, n.Size, tree.MaxContent)
		}
		in.nblk, in.tail = len(n.Content)/blockSize, len(n.Content)%blockSize
		if in.tail > maxTail {
			in.nblk++
			in.tail = 0
		}
	case tree.TypeChar, tree.TypeBlock:
		in.u = n.Rdev
	case tree.TypeFifo, tree.TypeSocket:
	default:
		return fmt.Errorf("mode %o has no file type", n.Mode)
	}
	if in.tail > 0 && in.layout == layoutPlain {
		in.layout = layoutInline
	}
	return nil
}

func (in *inode) measureDirectory() {
	used := 0
	for _, d := range in.dirents {
		need := direntSize + len(d.name)
		if used+need > blockSize {
			in.nblk++
			used = 0
		}
		used += need
	}
	in.tail = used
	if used > maxTail {
		in.nblk++
		in.tail = 0
	}
	in.size = uint64(in.nblk)*blockSize + uint64(in.tail)
}

// measureChunks lays out a file whose content is not in the image.
func (in *inode) measureChunks() error {
	in.size = in.node.Size
	if in.size == 0 {
		return nil
	}
	bit := min(max(bits.Len64(in.size-1), 12), 43)
	chunks := (in.size-1)>>bit + 1
	if chunks > maxChunks {
		return fmt.Errorf("file of %d bytes, at most %d are possible", in.size, uint64(tree.MaxSize))
	}
	in.chunks, in.tail = int(chunks), 4*int(chunks)
	in.layout, in.u = layoutChunks, uint32(bit-12)
	return nil
}

// dirBlocks cuts the entries of a directory into blocks.
func (in *inode) dirBlocks(f func([]dirent)) {
	start, used := 0, 0
	for i, d := range in.dirents {
		need := direntSize + len(d.name)
		if used+need > blockSize {
			f(in.dirents[start:i])
			start, used = i, 0
		}
		used += need
	}
	f(in.dirents[start:])
}

// place gives each inode its offset, then each data block its number.
func (b *builder) place() {
	pos := int64(firstInode)
	for _, in := range b.inodes {
		if b.legacy() {
			pos = in.placeLegacy(roundUp(pos, slotSize))
		} else {
			pos = in.place(roundUp(pos, slotSize))
		}
	}
	b.inodesEnd = roundUp(pos, slotSize)
	table := int64(0)
	for _, x := range b.sharedTable {
		table += int64(b.entrySize(x))
	}
	b.dataStart = roundUp(b.inodesEnd+table, blockSize)
	block := b.dataStart / blockSize
	for _, in := range b.inodes {
		if in.nblk == 0 {
			continue
		}
		if in.layout == layoutChunks {
			// The format of the chunks takes the lower half. The kernel does
			// not look here for a table; such files have over 8000 TiB.
			in.u |= uint32(block) &^ 0xffff
		} else {
			in.u = uint32(block)
		}
		block += int64(in.nblk)
	}
	b.blocks = block
}

// place puts an inode at pos or where its tail does not cross a block, and
// returns where it ends.
func (in *inode) place(pos int64) int64 {
	fixed := int64(compactSize + in.xsize)
	if !in.compact {
		fixed = int64(extendSize + in.xsize)
	}
	tail := int64(in.tail)
	switch room := blockSize - (pos+fixed)%blockSize; {
	case in.node.IsSymlink():
		// Kernels before 6.12 refuse a link whose inode crosses a block.
		total := fixed + tail
		if pos/blockSize != (pos+total-1)/blockSize {
			pos = roundUp(pos, blockSize)
		}
		if total >= blockSize {
			in.nblk, in.tail, in.layout = 1, 0, layoutPlain
		}
	case room >= tail:
	default:
		pad := roundUp(room, slotSize)
		if tail <= blockSize-(pos+fixed+pad)%blockSize {
			pos += pad
			break
		}
		in.nblk++ // a chunk table; no other tail is that long
		in.tail = 0
		pos = roundUp(pos, blockSize)
	}
	in.nid = uint64(pos / slotSize)
	return pos + fixed + int64(in.tail)
}

func roundUp(x, n int64) int64 { return (x + n - 1) / n * n }
