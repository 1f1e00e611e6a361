package splitstream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/klauspost/compress/zstd"

	"github.com/bootc-go/bootc/internal/format/verity"
)

// A Reader reads a splitstream.
type Reader struct {
	Algorithm verity.Algorithm
	Content   ContentType
	Size      uint64          // of the file that was cut up
	Objects   []verity.Digest // in the order of their first use
	Named     map[string]verity.Digest
	Old       bool // it has the header of bootc before 1.16: see [Renew]

	r      io.ReaderAt
	stream span
}

type span struct{ start, end int64 }

func (s span) size() int64 { return s.end - s.start }

// Open reads everything but the chunks, in either layout. r must stay readable.
func Open(r io.ReaderAt, size int64) (*Reader, error) {
	h, err := readHeader(r, size)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	s := &Reader{r: r, Algorithm: verity.Algorithm(h.hash), Old: h.old, Named: map[string]verity.Digest{}}
	switch {
	case h.version != 0:
		return nil, fmt.Errorf("splitstream: version %d is not supported", h.version)
	case s.Algorithm.Size() == 0 || h.blockLog != blockLog:
		return nil, fmt.Errorf("splitstream: hash algorithm %d with block size 2^%d is not supported", h.hash, h.blockLog)
	}
	at, err := section(h.table[:], size)
	if err != nil || at.size() < infoSize {
		return nil, fmt.Errorf("splitstream: its table is at %d to %d of %d bytes", le.Uint64(h.table[:]), le.Uint64(h.table[8:]), size)
	}
	var info [infoSize]byte
	if _, err := io.ReadFull(io.NewSectionReader(r, at.start, infoSize), info[:]); err != nil {
		return nil, fmt.Errorf("splitstream: reading the table: %w", err)
	}
	var spans [4]span
	for i := range spans {
		if spans[i], err = section(info[16*i:], size); err != nil {
			return nil, err
		}
	}
	s.Content, s.Size = ContentType(le.Uint64(info[64:])), le.Uint64(info[72:])
	s.stream = spans[2]
	streams, err := s.readDigests(spans[0])
	if err != nil {
		return nil, err
	}
	if s.Objects, err = s.readDigests(spans[1]); err != nil {
		return nil, err
	}
	return s, s.readNames(spans[3], streams)
}

// section reads a range of the file.
func section(b []byte, size int64) (span, error) {
	start, end := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	if start > end || end > uint64(size) {
		return span{}, fmt.Errorf("splitstream: a section from %d to %d in a file of %d bytes", start, end, size)
	}
	return span{int64(start), int64(end)}, nil
}

func (s *Reader) readDigests(at span) ([]verity.Digest, error) {
	n := int64(s.Algorithm.Size())
	if at.size()%n != 0 {
		return nil, errors.New("splitstream: a list of digests has a wrong length")
	}
	data := make([]byte, at.size())
	if _, err := io.ReadFull(io.NewSectionReader(s.r, at.start, at.size()), data); err != nil {
		return nil, err
	}
	all := make([]verity.Digest, 0, at.size()/n)
	for ; len(data) > 0; data = data[n:] {
		d, err := verity.MakeDigest(s.Algorithm, data[:n])
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

func (s *Reader) readNames(at span, streams []verity.Digest) error {
	if at.size() == 0 {
		return nil
	}
	z, err := s.decoder(at)
	if err != nil {
		return err
	}
	defer z.Close()
	data, err := io.ReadAll(io.LimitReader(z, maxNames+1))
	if err != nil {
		return fmt.Errorf("splitstream: names: %w", err)
	}
	if len(data) > maxNames {
		return fmt.Errorf("splitstream: more than %d bytes of names", maxNames)
	}
	for len(data) > 0 {
		record, rest, ok := bytes.Cut(data, []byte{0})
		number, name, ok2 := bytes.Cut(record, []byte(":"))
		i, err := strconv.ParseUint(string(number), 10, 31)
		if !ok || !ok2 || err != nil || int(i) >= len(streams) {
			return errors.New("splitstream: malformed name")
		}
		if _, twice := s.Named[string(name)]; twice {
			return fmt.Errorf("splitstream: name %q is there twice", name)
		}
		s.Named[string(name)] = streams[i]
		data = rest
	}
	return nil
}

// Cat writes the file: inline bytes as they are, objects through open, which
// returns the whole content of one.
func (s *Reader) Cat(w io.Writer, open func(verity.Digest) (io.ReadCloser, error)) error {
	z, err := s.decoder(s.stream)
	if err != nil {
		return err
	}
	defer z.Close()
	var total uint64
	for {
		var b [8]byte
		if _, err := io.ReadFull(z, b[:]); err == io.EOF {
			break
		} else if err != nil {
			return fmt.Errorf("splitstream: %w", err)
		}
		n, err := s.chunk(w, z, int64(binary.LittleEndian.Uint64(b[:])), s.Size-total, open)
		if err != nil {
			return err
		}
		total += n
	}
	if total != s.Size {
		return fmt.Errorf("splitstream: %d bytes of %d", total, s.Size)
	}
	return nil
}

// chunk writes the content of a chunk, at most left bytes.
func (s *Reader) chunk(w io.Writer, z io.Reader, n int64, left uint64, open func(verity.Digest) (io.ReadCloser, error)) (uint64, error) {
	if n < 0 {
		size := -uint64(n)
		if size > left || size > math.MaxInt64 {
			return 0, fmt.Errorf("splitstream: a chunk of %d bytes where %d are left of %d", size, left, s.Size)
		}
		_, err := io.CopyN(w, z, int64(size))
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return size, err
	}
	if n >= int64(len(s.Objects)) {
		return 0, fmt.Errorf("splitstream: object %d of %d", n, len(s.Objects))
	}
	f, err := open(s.Objects[n])
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if left > math.MaxInt64-1 {
		left = math.MaxInt64 - 1
	}
	copied, err := io.Copy(w, io.LimitReader(f, int64(left)+1))
	if err == nil && uint64(copied) > left {
		err = fmt.Errorf("splitstream: object %v has more than the %d bytes that are left of %d", s.Objects[n], left, s.Size)
	}
	return uint64(copied), err
}

func (s *Reader) decoder(at span) (*zstd.Decoder, error) {
	return zstd.NewReader(io.NewSectionReader(s.r, at.start, at.size()), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
}
