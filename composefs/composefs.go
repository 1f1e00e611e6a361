// Package composefs reads and writes composefs images: EROFS file systems that
// hold the metadata of a file tree and the content of its smallest files, while
// larger files are objects that lie elsewhere, named by their fs-verity digest.
// The image's own digest names the tree.
//
// A [Tree] is a file tree in memory. It is made by hand, or by [ParseDump] from
// the text that mkcomposefs --from-file takes, or by [Read] from an image; it is
// written as an image by [Write] and as text by [WriteDump]. [ImageDigest] says
// what an image would be called. [Verify] checks an image or an object against
// its digest, [VerifyObjects] all objects of a tree.
//
// The images are byte for byte those of the C tool mkcomposefs (V0 and V1) and of
// composefs-rs (V1 and V2). They will stay so: the digest of a tree in one
// version never changes. What Read accepts is exactly what a writer makes; an
// image from an untrusted place is an error or a tree, in memory that is bounded
// by its size.
//
// A Tree has a Root, and the methods Lookup, Walk and CountLinks. A [Node] has the
// fields Mode, UID, GID, Mtime, Nlink, Xattrs and, by its type, Size with Content
// or Object, Target, Rdev; directories have the methods Child, SetChild,
// RemoveChild, Names and Entries. Names of one file (hard links) lead to the same
// Node. Reading a tree from several goroutines is safe while none changes it.
//
// The package does not touch the file system: how objects are stored and images
// are mounted is not its concern. The format is described in
// docs/formats/composefs.md.
package composefs

import (
	"io"

	"github.com/bootc-go/bootc/internal/format/dumpfile"
	"github.com/bootc-go/bootc/internal/format/erofs"
	"github.com/bootc-go/bootc/internal/format/tree"
)

type (
	// A Tree is a file tree with a root directory.
	Tree = tree.Tree
	// A Node is an inode of a tree.
	Node = tree.Node
	// An Xattr is an extended attribute of a Node, whose Xattrs are sorted by
	// name; SetXattr keeps them so.
	Xattr = tree.Xattr
	// A Time is seconds and nanoseconds since 1970-01-01 UTC.
	Time = tree.Time
	// A Version is the composefs version of an image.
	Version = erofs.Version
)

// The file type bits of [Node].Mode, as in inode(7).
const (
	TypeMask    = tree.TypeMask
	TypeSocket  = tree.TypeSocket
	TypeSymlink = tree.TypeSymlink
	TypeRegular = tree.TypeRegular
	TypeBlock   = tree.TypeBlock
	TypeDir     = tree.TypeDir
	TypeChar    = tree.TypeChar
	TypeFifo    = tree.TypeFifo
)

// The versions of an image. They have different digests.
const (
	V1   = erofs.V1   // the zero Version: what bootc boots, and composefs-rs writes
	V0   = erofs.V0   // as V1, but whiteouts do not make their directory opaque
	V2   = erofs.V2   // what early versions of composefs-rs wrote
	Auto = erofs.Auto // V1 if the tree has a whiteout, else V0, as mkcomposefs does
)

// InlineMax is the size of the largest file, in bytes, whose content other tools
// put into the image when they read a directory. A tree may hold more of it, up
// to 5000 bytes in a file.
const InlineMax = 64

// NewTree makes a tree with an empty root directory of mode 0755.
func NewTree() *Tree {
	t := tree.New()
	t.Root.Mode |= 0o755
	return t
}

// Write writes the image of a tree, front to back. The tree is not changed;
// Node.Nlink of a file is stored as it is ([Tree] has CountLinks to set it), but
// for V2, which counts. To have the digest of the same bytes, let w be a
// [io.MultiWriter] with a [Hash].
func Write(w io.Writer, t *Tree, v Version) error {
	return erofs.Write(w, t, erofs.Options{Version: v})
}

// ImageDigest returns the digest of the image that Write would write.
func ImageDigest(t *Tree, v Version, a Algorithm) (Digest, error) {
	h := NewHash(a)
	if err := Write(h, t, v); err != nil {
		return Digest{}, err
	}
	return h.Sum(), nil
}

// Read reads the tree that an image of size bytes was written from. The image
// is trusted in nothing; whether it is the right one, [Verify] tells. Images of up
// to 1 GiB are read.
func Read(r io.ReaderAt, size int64) (*Tree, error) { return erofs.Read(r, size) }

// ParseDump reads the text form of a tree, see composefs-dump(5). An error names
// the line. Malformed lines that some tools let through are refused.
func ParseDump(r io.Reader) (*Tree, error) { return dumpfile.Parse(r) }

// WriteDump writes the text form of a tree: depth first, names in byte order.
func WriteDump(w io.Writer, t *Tree) error { return dumpfile.Write(w, t) }
