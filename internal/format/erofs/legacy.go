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

// legacy reports whether the image is of version 2.
func (b *builder) legacy() bool { return b.version == 2 }

// legacyXattrs brings the attributes of a node, sorted by name, into the order
// of version 2: what overlayfs reads comes first.
func legacyXattrs(xattrs []tree.Xattr) {
	slices.SortStableFunc(xattrs, func(x, y tree.Xattr) int {
		return cmp.Compare(legacyRank(x), legacyRank(y))
	})
}

func legacyRank(x tree.Xattr) int {
	switch x.Name {
	case metacopyName:
		return 0
	case redirectName:
		return 1
	}
	return 2
}

// compareLegacy is the order of version 2's table of shared attributes.
func compareLegacy(x, y tree.Xattr) int {
	xIndex, xSuffix := splitName(x.Name, 2)
	yIndex, ySuffix := splitName(y.Name, 2)
	return cmp.Or(cmp.Compare(xIndex, yIndex), strings.Compare(xSuffix, ySuffix), strings.Compare(x.Value, y.Value))
}

// measureLegacy is what version 2 makes of the layout of a file.
func (in *inode) measureLegacy() error {
	n := in.node
	switch {
	case !n.IsRegular():
		return nil
	case n.Content != nil:
		if len(n.Content) >= blockSize {
			return fmt.Errorf("content of %d bytes, at most %d are possible in version 2", len(n.Content), blockSize-1)
		}
		in.nblk, in.tail = 0, len(n.Content)
		if in.tail > 0 {
			in.layout = layoutInline
		}
	case in.chunks > 0:
		in.u, in.chunks = 31, 1
		if n.Object.IsZero() {
			in.chunks = 0
		}
		in.tail = 4 * in.chunks
	}
	return nil
}

// placeLegacy is place for version 2. It moves more inodes than it must.
func (in *inode) placeLegacy(pos int64) int64 {
	fixed := int64(extendSize + in.xsize)
	if in.layout == layoutInline {
		metaLast := pos + fixed - 1
		inlineEnd := pos + fixed + int64(in.size%blockSize)
		if metaLast/blockSize != inlineEnd/blockSize {
			pos = roundUp(pos+blockSize-metaLast%blockSize, slotSize)
		}
	}
	in.nid = uint64(pos / slotSize)
	in.ino = uint32(in.nid)
	return pos + fixed + int64(in.tail)
}
