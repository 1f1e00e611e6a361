package erofs

import (
	"io"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// An Image is a tree with what its image tells beyond it.
type Image struct {
	Tree *tree.Tree
	// Version is the composefs version, 0 to 2.
	Version uint32

	stored map[*tree.Node]stored
}

// stored is what a tree does not hold of an inode.
type stored struct {
	size  uint64 // of a directory, and its links
	links uint32
	order []string
}

// Inspect is [Read] for those who want to see the image itself.
func Inspect(r io.ReaderAt, size int64) (*Image, error) {
	d := &decoder{stored: map[*tree.Node]stored{}}
	t, err := d.read(r, size)
	if err != nil {
		return nil, err
	}
	return &Image{Tree: t, Version: d.version, stored: d.stored}, nil
}

// Dir returns the number of bytes that the entries of a directory take, and the
// number of its links.
func (im *Image) Dir(dir *tree.Node) (size uint64, links uint32) {
	s := im.stored[dir]
	return s.size, s.links
}

// Xattrs returns the attributes of a node in the order in which other readers
// find them: those that the inode holds itself, then the shared ones.
func (im *Image) Xattrs(n *tree.Node) []tree.Xattr {
	order := im.stored[n].order
	if order == nil {
		return n.Xattrs
	}
	all := make([]tree.Xattr, 0, len(n.Xattrs))
	for _, name := range order {
		if rest, ok := strings.CutPrefix(name, escapedPrefix); ok {
			name = overlayPrefix + rest
		}
		if v, ok := n.Xattr(name); ok {
			all = append(all, tree.Xattr{Name: name, Value: v})
		}
	}
	return all
}

// note keeps what a tree does not hold, if somebody wants it. The attributes
// are as they are stored, shared ones first.
func (d *decoder) note(n *tree.Node, size uint64, xattrs []tree.Xattr, shared int) {
	if d.stored == nil || !n.IsDir() && shared == 0 {
		return
	}
	s := stored{}
	if n.IsDir() {
		s.size, s.links = size, n.Nlink
	}
	if shared > 0 && shared < len(xattrs) {
		for _, x := range slices.Concat(xattrs[shared:], xattrs[:shared]) {
			// What speaks to overlayfs is not in the tree.
			if !isOverlay(x) || strings.HasPrefix(x.Name, escapedPrefix) {
				s.order = append(s.order, x.Name)
			}
		}
	}
	d.stored[n] = s
}
