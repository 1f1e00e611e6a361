// Package layer reads OCI layer tars and applies them to a file tree, as
// composefs does, and transforms the tree of a whole image.
//
// It reads one uncompressed stream and knows nothing of compression, digests
// of layers, or where contents are kept: a [Sink] keeps the content of larger
// files, a [Recorder] what is needed to give the tar back byte for byte.
//
// Invariants:
//   - memory does not depend on the size of files, and [Limits] bound the rest;
//   - what leaves the tree, or could be read in two ways, is refused and named;
//   - the Recorder receives exactly the bytes of the stream, in their order;
//   - the tree never has a name that begins with ".wh.".
//
// The rules are in docs/formats/oci-tree.md. Sources: OCI image specification,
// layer.md; tar(5).
package layer

import (
	"fmt"
	"io"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// InlineMax is the size of the largest file that is kept inline, in bytes.
const InlineMax = 64

// A Sink keeps the content of a file and returns its digest. It must read r to
// its end, which comes after size bytes; a stream that is cut short gives
// [io.ErrUnexpectedEOF]. Object is called from one goroutine, for one file after
// the other: hashing in parallel is done by reading several layers at a time.
type Sink interface {
	Object(r io.Reader, size int64) (verity.Digest, error)
}

// A Recorder receives the tar: Inline what is not in an object, External in
// the place of each object. It must not keep the slice given to Inline.
type Recorder interface {
	Inline(p []byte) error
	External(d verity.Digest, size int64) error
}

// Limits bound what a layer may hold. The zero value of a field is its default.
type Limits struct {
	Entries   int // 10,000,000
	Extension int // bytes of extension headers of one entry: 1 MiB
	// Metadata is the number of bytes that all entries may have together in
	// names, link texts, attributes and inline contents: 2 GiB.
	Metadata int64
}

// The longest path of an entry, in bytes and in components. What is done for
// each directory on the way needs memory in the order of their product. With
// the root 2048 directories lie in each other, as many as other readers of
// composefs images accept.
const (
	maxPath  = 1<<16 - 1
	maxDepth = 2047
)

func (l Limits) withDefaults() Limits {
	if l.Entries == 0 {
		l.Entries = 10_000_000
	}
	if l.Extension == 0 {
		l.Extension = 1 << 20
	}
	if l.Metadata == 0 {
		l.Metadata = 2 << 30
	}
	return l
}

// A Layer is the list of entries of one tar, in their order.
type Layer struct {
	Entries []Entry

	applied bool // the nodes of files are part of a tree
}

// An Entry is one name in a layer. There may be millions: 32 bytes.
type Entry struct {
	Path string     // without a leading slash; "" is the root
	Node *tree.Node // nil for a hard link
	Link *string    // of a hard link: the path of the other name
}

// An EntryError says which entry of a layer is wrong.
type EntryError struct {
	Path string
	Err  error
}

func (e *EntryError) Error() string { return fmt.Sprintf("entry %s: %v", quote(e.Path), e.Err) }

// quote quotes a path for people, who need not see all of a very long one.
func quote(path string) string {
	const most = 300
	if len(path) <= most {
		return fmt.Sprintf("%q", path)
	}
	return fmt.Sprintf("%q… (%d bytes)", path[:most], len(path))
}

// Unwrap returns the reason.
func (e *EntryError) Unwrap() error { return e.Err }
