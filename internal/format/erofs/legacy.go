package erofs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// What version 2 does in another way; section 10 of the format's page.

// maxSharedV2 is what its count of shared attributes has room for.
const maxSharedV2 = 255

// depthFirst orders the inodes of version 2 from a directory on, each at its
// first name. All nodes are taken for such with several names.
func (b *builder) depthFirst(dir int) {
	n := b.inodes[dir].node
	b.links[n] = &link{inode: uint32(dir)}
	for _, c := range n.Entries() {
		if l := b.links[c]; l != nil && !c.IsDir() {
			if l.inode > 0 {
				continue // the root is no file
			}
			l.inode = uint32(len(b.inodes))
		} else {
			b.links[c] = &link{names: 1, inode: uint32(len(b.inodes))}
		}
		b.inodes = append(b.inodes, inode{node: c, parent: uint32(dir)})
		if c.IsDir() {
			b.depthFirst(len(b.inodes) - 1)
		}
	}
}

// legacyOrder brings attributes that are sorted by name into the order of
// version 2: what overlayfs reads comes first.
func legacyOrder(all []attr) {
	rank := func(a attr) int {
		switch a.name {
		case metacopyName:
			return 0
		case redirectName:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(all, func(x, y attr) int { return cmp.Compare(rank(x), rank(y)) })
}

// compareLegacy is the order of version 2's table of shared attributes.
func compareLegacy(x, y tree.Xattr) int {
	xIndex, xSuffix := splitName(x.Name, 2)
	yIndex, ySuffix := splitName(y.Name, 2)
	return cmp.Or(cmp.Compare(xIndex, yIndex), strings.Compare(xSuffix, ySuffix), strings.Compare(x.Value, y.Value))
}

// measureLegacy is what version 2 makes of the layout of an inode.
func (b *builder) measureLegacy(in *inode, l *layout) error {
	n := in.node
	if !n.IsDir() {
		l.nlink = b.links[n].names
	}
	switch {
	case !n.IsRegular():
	case n.Content != nil:
		if len(n.Content) >= blockSize {
			return fmt.Errorf("content of %d bytes, at most %d are possible in version 2", len(n.Content), blockSize-1)
		}
		l.nblk, l.tail = 0, len(n.Content)
		if l.tail > 0 {
			l.format = layoutInline
		}
	case l.chunks > 0:
		l.u, l.chunks = 31, 1
		if n.Object.IsZero() {
			l.chunks = 0
		}
		l.tail = 4 * l.chunks
	}
	return nil
}

// placeLegacy is place for version 2. It moves more inodes than it must.
func (l *layout) placeLegacy(pos int64) int64 {
	if l.format != layoutInline {
		return pos
	}
	metaLast := pos + l.fixed() - 1
	inlineEnd := metaLast + 1 + int64(l.size%blockSize)
	if metaLast/blockSize == inlineEnd/blockSize {
		return pos
	}
	return roundUp(pos+blockSize-metaLast%blockSize, slotSize)
}
