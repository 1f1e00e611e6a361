// Package tree is a file tree in memory: what an OCI image becomes when its
// layers are applied, what a composefs image holds, and what /etc is merged as.
// Values are plain; nothing is read from or written to a file system here.
//
// Invariants:
//   - a directory has exactly one name; any other node may have several
//     (hard links), and then all names lead to the same *Node;
//   - names are 1 to 255 bytes, without "/" and NUL, and not "." or "..";
//   - Xattrs is sorted by name, in byte order, without repeats.
package tree

import (
	"cmp"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/verity"
)

// The file type bits of Node.Mode, as in inode(7).
const (
	TypeMask    = 0o170000
	TypeSocket  = 0o140000
	TypeSymlink = 0o120000
	TypeRegular = 0o100000
	TypeBlock   = 0o060000
	TypeDir     = 0o040000
	TypeChar    = 0o020000
	TypeFifo    = 0o010000
)

// A Time is seconds and nanoseconds since 1970-01-01 UTC.
type Time struct {
	Sec  int64
	Nsec uint32
}

// Compare orders times, earlier first.
func (t Time) Compare(u Time) int {
	return cmp.Or(cmp.Compare(t.Sec, u.Sec), cmp.Compare(t.Nsec, u.Nsec))
}

// An Xattr is an extended attribute. The value is a string of any bytes.
type Xattr struct {
	Name  string
	Value string
}

// A Node is an inode. There may be millions of them: 160 bytes, in this order
// of fields.
type Node struct {
	Mode     uint32 // st_mode: type, setuid bits and permissions
	UID, GID uint32

	// Nlink is the number of names of a node that is not a directory;
	// [Tree.CountLinks] sets it. A tree that was read from an image or a dump
	// has the number written there. It means nothing for a directory.
	Nlink uint32

	// Rdev is the device number of a device, in the kernel's 32-bit encoding.
	Rdev uint32

	names uint32 // how often n is an entry, at least; see Linked

	Mtime Time

	// Xattrs may be shared by several nodes; [Node.SetXattr] and
	// [Node.RemoveXattr] do not change the slice.
	Xattrs []Xattr

	// A regular file has a size and either its Content (all of it, inline) or
	// an Object where the content is kept. With neither it is a hole of Size
	// bytes. Directories and devices have a Size only in a dump; it decides the
	// form in which a device is stored.
	Size    uint64
	Content []byte
	Object  verity.Digest
	// Payload is the path of the object below the object directory when it is
	// not Object.ObjectPath(), or [NoPayload].
	Payload string

	// Target is the text of a symbolic link.
	Target string

	children *children // of a directory
	primary  *string
}

// Primary returns the absolute path of the name under which the node is stored
// when it has several; empty means the first in depth-first name order.
func (n *Node) Primary() string {
	if n.primary == nil {
		return ""
	}
	return *n.primary
}

// SetPrimary sets what [Node.Primary] returns.
func (n *Node) SetPrimary(path string) {
	n.primary = nil
	if path != "" {
		n.primary = &path
	}
}

// A Tree is a file tree with a root directory.
type Tree struct{ Root *Node }

// New makes a tree with an empty root directory of mode 0 permissions.
func New() *Tree { return &Tree{Root: &Node{Mode: TypeDir}} }

// Type returns the file type bits.
func (n *Node) Type() uint32 { return n.Mode & TypeMask }

// Perm returns the permissions with setuid, setgid and sticky bits.
func (n *Node) Perm() uint32 { return n.Mode &^ TypeMask }

// IsDir reports whether n is a directory.
func (n *Node) IsDir() bool { return n.Type() == TypeDir }

// IsRegular reports whether n is a regular file.
func (n *Node) IsRegular() bool { return n.Type() == TypeRegular }

// IsSymlink reports whether n is a symbolic link.
func (n *Node) IsSymlink() bool { return n.Type() == TypeSymlink }

// IsWhiteout reports whether n is a character device 0/0.
func (n *Node) IsWhiteout() bool { return n.Type() == TypeChar && n.Rdev == 0 }

// Xattr returns the value of the attribute, and whether it is there.
func (n *Node) Xattr(name string) (string, bool) {
	i, ok := n.findXattr(name)
	if !ok {
		return "", false
	}
	return n.Xattrs[i].Value, true
}

// SetXattr sets an attribute, replacing another value.
func (n *Node) SetXattr(name, value string) {
	i, ok := n.findXattr(name)
	rest := n.Xattrs[i:]
	if ok {
		rest = rest[1:]
	}
	n.Xattrs = slices.Concat(n.Xattrs[:i], []Xattr{{name, value}}, rest)
}

// RemoveXattr removes an attribute, if it is there.
func (n *Node) RemoveXattr(name string) {
	if i, ok := n.findXattr(name); ok {
		n.Xattrs = slices.Concat(n.Xattrs[:i], n.Xattrs[i+1:])
	}
}

func (n *Node) findXattr(name string) (int, bool) {
	return slices.BinarySearchFunc(n.Xattrs, name, func(x Xattr, name string) int {
		return strings.Compare(x.Name, name)
	})
}

// Lookup returns the node at a slash-separated path below the root, nil if
// there is none. Symbolic links are not followed; "" and "/" are the root.
func (t *Tree) Lookup(path string) *Node {
	n := t.Root
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || name == "." {
			continue
		}
		if n = n.Child(name); n == nil {
			return nil
		}
	}
	return n
}

// maxLinks is how many symbolic links a path may lead through, as in Linux.
const maxLinks = 40

// Resolve returns the node that a slash-separated path leads to, nil if it leads
// nowhere. Symbolic links are followed inside the tree: for an absolute one and
// for ".." at the top, its root is the root.
func (t *Tree) Resolve(path string) *Node {
	way := []*Node{t.Root}
	todo := strings.Split(path, "/")
	for links := 0; len(todo) > 0; {
		name, here := todo[0], way[len(way)-1]
		todo = todo[1:]
		if !here.IsDir() {
			return nil
		}
		switch name {
		case "", ".":
			continue
		case "..":
			way = way[:max(1, len(way)-1)]
			continue
		}
		n := here.Child(name)
		if n == nil {
			return nil
		}
		if !n.IsSymlink() {
			way = append(way, n)
			continue
		}
		if links++; links > maxLinks {
			return nil
		}
		if strings.HasPrefix(n.Target, "/") {
			way = way[:1]
		}
		todo = append(strings.Split(n.Target, "/"), todo...)
	}
	return way[len(way)-1]
}

// Walk calls f for each name, depth first, names in byte order, a directory
// before its entries; path is absolute. A node with several names is met once
// for each. An error of f ends the walk and is returned; f must not set or remove
// entries.
func (t *Tree) Walk(f func(path string, n *Node) error) error {
	return walk("/", t.Root, f)
}

func walk(path string, n *Node, f func(string, *Node) error) error {
	if err := f(path, n); err != nil {
		return err
	}
	prefix := path
	if path != "/" {
		prefix += "/"
	}
	for name, c := range n.Entries() {
		if err := walk(prefix+name, c, f); err != nil {
			return err
		}
	}
	return nil
}

// CountLinks sets Nlink of every node that is not a directory to the number
// of its names.
func (t *Tree) CountLinks() {
	t.Root.each(func(n *Node) { n.Nlink = 0 })
	t.Root.each(func(n *Node) { n.Nlink++ })
}

// each calls f for n and each name below it.
func (n *Node) each(f func(*Node)) {
	f(n)
	for _, c := range n.Entries() {
		c.each(f)
	}
}
