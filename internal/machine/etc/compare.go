package etc

import (
	"bytes"
	"slices"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// inlineMax is the size up to which a file's content is kept in the tree, as
// in composefs images.
const inlineMax = 64

// covered is the mode of an entry that cannot be seen because something is
// mounted over it. It counts as unchanged.
const covered = 0

func isCovered(n *tree.Node) bool { return n != nil && n.Mode == covered }

// ordinary returns n if it is a directory, regular file or symbolic link, and
// nil for what a machine's tree is not merged for.
func ordinary(n *tree.Node) *tree.Node {
	if n != nil && (n.IsDir() || n.IsRegular() || n.IsSymlink()) {
		return n
	}
	return nil
}

// unchanged reports whether c is p, leaving special files out on both sides.
func unchanged(p, c *tree.Node) bool {
	if !sameMeta(p, c) || !sameContent(p, c) {
		return false
	}
	for _, name := range p.Names() {
		if ordinary(p.Child(name)) != nil && ordinary(c.Child(name)) == nil && !isCovered(c.Child(name)) {
			return false
		}
	}
	for _, name := range c.Names() {
		a, b := ordinary(p.Child(name)), ordinary(c.Child(name))
		if b != nil && (a == nil || !unchanged(a, b)) {
			return false
		}
	}
	return true
}

// equal reports whether two trees of images are the same, special files
// included.
func equal(a, b *tree.Node) bool {
	if !sameMeta(a, b) || !sameContent(a, b) || a.Len() != b.Len() {
		return false
	}
	for _, name := range a.Names() {
		other := b.Child(name)
		if other == nil || !equal(a.Child(name), other) {
			return false
		}
	}
	return true
}

// sameMeta compares type, mode, owner and extended attributes. The permissions
// of a symbolic link mean nothing and cannot be set.
func sameMeta(a, b *tree.Node) bool {
	if a.Type() != b.Type() || a.UID != b.UID || a.GID != b.GID || !slices.Equal(a.Xattrs, b.Xattrs) {
		return false
	}
	return a.IsSymlink() || a.Mode == b.Mode
}

// sameContent compares content, link text and device number of two nodes of
// one type.
func sameContent(a, b *tree.Node) bool {
	switch {
	case a.IsSymlink():
		return a.Target == b.Target
	case a.IsRegular():
		return sameFile(a, b)
	case a.Type() == tree.TypeChar || a.Type() == tree.TypeBlock:
		return a.Rdev == b.Rdev
	}
	return true
}

func sameFile(a, b *tree.Node) bool {
	if size(a) != size(b) {
		return false
	}
	switch {
	case size(a) == 0:
		return true
	case a.Object.IsZero() && b.Object.IsZero():
		return bytes.Equal(a.Content, b.Content)
	case a.Object.Algorithm() == b.Object.Algorithm():
		return a.Object == b.Object
	case a.Object.IsZero() && a.Content != nil:
		return verity.Sum(b.Object.Algorithm(), a.Content) == b.Object
	case b.Object.IsZero() && b.Content != nil:
		return verity.Sum(a.Object.Algorithm(), b.Content) == a.Object
	}
	return false
}

func size(n *tree.Node) uint64 {
	if n.Content != nil {
		return uint64(len(n.Content))
	}
	return n.Size
}
