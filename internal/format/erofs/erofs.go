// Package erofs writes and reads the EROFS images of composefs: the metadata
// of a file tree and the content of small files, bit for bit as the other
// implementations do. Larger files are holes that name an object.
//
// It knows nothing of objects on disk, of digests of images or of mounting.
//
// Invariants:
//   - the image depends on the tree and the version only, not on the order in
//     which the tree was made;
//   - Write does not change the tree and writes front to back;
//   - Read accepts only what a writer makes, and its memory is bounded by the
//     size of the image.
//
// The format is specified in docs/formats/composefs.md.
package erofs

// A Version is the composefs version of an image.
type Version int

// The versions that can be written. The zero Version is V1.
const (
	V1   Version = iota // what bootable images are
	V0                  // as V1, but whiteouts do not make their directory opaque
	Auto                // V1 if the tree has a whiteout, else V0
	V2                  // what early composefs-rs wrote; for its repositories only
)

// Options say how an image is written. The zero value writes V1.
type Options struct{ Version Version }

const (
	blockSize   = 4096
	headerSize  = 32
	superOffset = 1024
	superSize   = 128
	firstInode  = superOffset + superSize
	slotSize    = 32
	compactSize = 32
	extendSize  = 64
	direntSize  = 12
	xattrHeader = 12

	headerMagic = 0xd078629a
	superMagic  = 0xE0F5E1E2
	flagHasACL  = 1

	layoutPlain  = 0
	layoutInline = 2
	layoutChunks = 4

	maxTail    = 2048 // of a directory or of content; more takes a block
	maxShared  = 128  // references to shared attributes of an inode
	maxChunks  = blockSize / 4
	filterSeed = 0x25BBE08F
)

// What overlayfs understands, and how it is hidden from it.
const (
	overlayPrefix = "trusted.overlay."
	escapedPrefix = "trusted.overlay.overlay."
	metacopyName  = "trusted.overlay.metacopy"
	redirectName  = "trusted.overlay.redirect"
	opaqueName    = "trusted.overlay.opaque"
	labelName     = "security.selinux"
)
