// Package dumpfile reads and writes the composefs dump: a text with one line
// for each name of a file tree.
//
// It knows nothing of images and of files on disk.
//
// Invariants:
//   - Parse accepts only what every reader understands in the same way: all
//     fields, plain numbers, whole digests, canonical paths;
//   - what Write prints, Parse reads back as the same tree;
//   - memory is proportional to the text, and time nearly so.
//
// The format is specified in docs/formats/composefs.md.
package dumpfile

// The fields of a line, in their order. Extended attributes follow.
const (
	fieldPath = iota
	fieldSize
	fieldMode
	fieldNlink
	fieldUID
	fieldGID
	fieldRdev
	fieldMtime
	fieldPayload
	fieldContent
	fieldDigest
	fieldCount
)

// none stands in an optional field that has no value.
const none = "-"

// maxXattrText bounds the extended attributes of a line as they are written.
// Other readers stop there; more than 16 KiB of bytes that need an escape are
// rare.
const maxXattrText = 0xffff
