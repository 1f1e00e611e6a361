package splitstream

import (
	"bytes"
	"fmt"
	"io"
)

// A header is what stands at the start of a splitstream in either layout.
type header struct {
	old     bool
	version byte
	flags   [2]byte
	hash    byte
	// blockLog is log2 of the fs-verity block size.
	blockLog byte
	table    [16]byte // the range of the table, as it is stored
}

func readHeader(r io.ReaderAt, size int64) (header, error) {
	var b [headerSize]byte
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, size), b[:]); err != nil {
		return header{}, fmt.Errorf("splitstream: reading the header: %w", err)
	}
	switch {
	case string(b[:len(magic)]) == magic:
		return header{
			version: b[11], flags: [2]byte(b[12:14]), hash: b[14], blockLog: b[15], table: [16]byte(b[16:32]),
		}, nil
	case string(b[oldMagicAt:oldMagicAt+len(magic)]) == magic:
		return header{
			old: true, version: b[29], flags: [2]byte(b[16:18]), hash: b[30], blockLog: b[31], table: [16]byte(b[:16]),
		}, nil
	}
	return header{}, fmt.Errorf("splitstream: begins with %q, want %q", b[:len(magic)], magic)
}

// bytes gives the header in the current layout.
func (h header) bytes() []byte {
	b := append([]byte(magic), h.version, h.flags[0], h.flags[1], h.hash, h.blockLog)
	return append(b, h.table[:]...)
}

// Renew gives a splitstream in the current layout, whatever its own is. Only
// the header differs; the rest is copied and not looked at.
func Renew(r io.ReaderAt, size int64) (io.Reader, error) {
	h, err := readHeader(r, size)
	if err != nil {
		return nil, err
	}
	return io.MultiReader(bytes.NewReader(h.bytes()), io.NewSectionReader(r, headerSize, size-headerSize)), nil
}
