// Package erofs writes and reads the EROFS images of composefs: the metadata
// of a file tree and the content of small files, bit for bit as the other
// implementations do. Larger files are holes that name an object.
//
// It knows nothing of objects on disk or of mounting.
//
// The format is specified in docs/formats/composefs.md.
package erofs

import "github.com/bootc-go/bootc/internal/format/tree"

// A Version is the composefs version of an image.
type Version int

// The versions that can be written. The zero Version is V1.
const (
	V1   Version = iota // what bootable images are
	V0                  // as V1, but whiteouts do not make their directory opaque
	Auto                // V1 if the tree has a whiteout, else V0
)

// Options say how an image is written. The zero value writes V1.
type Options struct{ Version Version }

func (o Options) number(t *tree.Tree) uint32 {
	switch o.Version {
	case V1:
		return 1
	case V0:
		return 0
	}
	number := uint32(0)
	t.Walk(func(_ string, n *tree.Node) error {
		if n.IsWhiteout() {
			number = 1
		}
		return nil
	})
	return number
}

const (
	blockSize   = 4096
	headerSize  = 32
	superOffset = 1024
	superSize   = 128
	firstInode  = superOffset + superSize
	slotSize    = 32
	compactSize = 32
	extendSize  = 64

	headerMagic = 0xd078629a
	superMagic  = 0xE0F5E1E2
	flagHasACL  = 1

	layoutPlain  = 0
	layoutInline = 2
	layoutChunks = 4

	maxTail       = 2048
	maxShared     = 128
	maxXattrBytes = 32767
	maxTarget     = 4095
	filterSeed    = 0x25BBE08F
	nullChunk     = 0xffffffff
)
