package splitstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/bootc-go/bootc/internal/format/verity"
)

// Chunks reads a splitstream piece by piece: Read gives inline bytes, Object
// the reference that stands at the same place. So a tar can be parsed without
// opening its objects.
type Chunks struct {
	s    *Reader
	z    *zstd.Decoder
	left int64 // inline bytes of the chunk under way
	next int64 // number of the object that comes next, -1: none
}

// Chunks begins at the first chunk. Close it.
func (s *Reader) Chunks() (*Chunks, error) {
	z, err := s.decoder(s.stream)
	if err != nil {
		return nil, err
	}
	return &Chunks{s: s, z: z, next: -1}, nil
}

// Close releases the decoder.
func (c *Chunks) Close() { c.z.Close() }

// Read gives inline bytes. Where an object stands it is an error.
func (c *Chunks) Read(p []byte) (int, error) {
	if err := c.advance(); err != nil {
		return 0, err
	}
	if c.next >= 0 {
		return 0, errors.New("splitstream: an object where inline bytes are wanted")
	}
	n, err := c.z.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if err == io.EOF && n > 0 {
		err = nil
	}
	if err == io.EOF && c.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Object gives the reference that stands here.
func (c *Chunks) Object(int64) (verity.Digest, error) {
	if err := c.advance(); err != nil {
		return verity.Digest{}, err
	}
	if c.next < 0 {
		return verity.Digest{}, errors.New("splitstream: inline bytes where an object is wanted")
	}
	d := c.s.Objects[c.next]
	c.next = -1
	return d, nil
}

// advance reads the head of the next chunk if one is due.
func (c *Chunks) advance() error {
	if c.left > 0 || c.next >= 0 {
		return nil
	}
	var b [8]byte
	if _, err := io.ReadFull(c.z, b[:]); err != nil {
		if err == io.ErrUnexpectedEOF {
			return errors.New("splitstream: the stream ends in the middle of a chunk")
		}
		return err
	}
	n := int64(binary.LittleEndian.Uint64(b[:]))
	switch {
	case n >= int64(len(c.s.Objects)):
		return fmt.Errorf("splitstream: object %d of %d", n, len(c.s.Objects))
	case n >= 0:
		c.next = n
	case n == -n: // the smallest number has no positive counterpart
		return errors.New("splitstream: malformed chunk")
	default:
		c.left = -n
	}
	return nil
}
