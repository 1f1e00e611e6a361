// Package splitstream writes and reads splitstreams: a file, such as a layer's
// tar, cut into inline bytes and references to objects, from which it can be
// given back byte for byte.
//
// It knows nothing of where objects are, nor whether a stream is trustworthy:
// whoever opens one compares its fs-verity digest before.
//
// Invariants:
//   - what a Writer was given is what Cat writes, byte for byte;
//   - a malformed stream is an error, and memory is bounded by the size of the
//     stream as stored and by constants.
//
// The format is specified in docs/formats/splitstream.md.
package splitstream

// A ContentType says what was cut up.
type ContentType uint64

// The content types: eight ASCII letters each, read as a little-endian number.
const (
	Layer    ContentType = 0x726579616c69636f // "ocilayer"
	Config   ContentType = 0x67666e6f6369636f // "ociconfg"
	Manifest ContentType = 0x66696e616d69636f // "ocimanif"
	Blob     ContentType = 0x626f6c625f69636f // "oci_blob"
)

// Sizes and marks of the format.
const (
	magic      = "SplitStream"
	oldMagicAt = 18 // where the layout before has the magic
	headerSize = 32
	infoSize   = 80
	blockLog   = 12 // fs-verity blocks of 4096 bytes
	// maxWindow is the largest zstd window that is accepted.
	maxWindow = 128 << 20
	// maxNames bounds the decompressed list of names.
	maxNames = 64 << 20
)
