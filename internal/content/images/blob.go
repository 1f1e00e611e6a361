package images

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"syscall"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/bootc-go/bootc"
)

// verify compares bytes with their digest.
func verify(want bootc.Digest, data []byte) error {
	h := newHash(want)
	h.Write(data)
	return compare(want, h)
}

func newHash(d bootc.Digest) hash.Hash {
	if d.Algorithm() == "sha512" {
		return sha512.New()
	}
	return sha256.New()
}

func compare(want bootc.Digest, h hash.Hash) error {
	if got := fmt.Sprintf("%s:%x", want.Algorithm(), h.Sum(nil)); got != string(want) {
		return fmt.Errorf("its digest is %s, want %s", got, want)
	}
	return nil
}

// A WrongBytesError tells that a source gave other bytes than those that were
// asked for. Err is its text.
type WrongBytesError struct{ Err error }

func (e *WrongBytesError) Error() string { return e.Err.Error() }
func (e *WrongBytesError) Unwrap() error { return e.Err }

// A checker hashes what is read.
type checker struct {
	r    io.Reader
	h    hash.Hash    // nil if it is not known what it has to be
	want bootc.Digest // "" if it is not known
	n    int64        // bytes read
	err  error        // of reading, not io.EOF
}

func newChecker(r io.Reader, want bootc.Digest) *checker {
	c := &checker{r: r, want: want}
	if want != "" {
		c.h = newHash(want)
	}
	return c
}

func (c *checker) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.h != nil {
		c.h.Write(p[:n])
	}
	c.n += int64(n)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// finish reads to the end and compares.
func (c *checker) finish() error {
	if _, err := io.Copy(io.Discard, c); err != nil {
		return err
	}
	if c.want == "" {
		return nil
	}
	return compare(c.want, c.h)
}

// explain is for a content that makes no sense: where the reason is that its
// bytes are not those of the digest it says that instead, by a
// [WrongBytesError]. It reads at most maxExplain bytes more to find out; after
// that the error is a doubt.
func (c *checker) explain(err error) error {
	if c.err != nil || c.want == "" || errors.Is(err, syscall.ENOSPC) {
		return err
	}
	switch _, e := io.CopyN(io.Discard, c, maxExplain); e {
	case io.EOF:
	case nil:
		return &doubt{err}
	default:
		return err
	}
	if mismatch := compare(c.want, c.h); mismatch != nil {
		return &WrongBytesError{fmt.Errorf("blob %s: %w", c.want, mismatch)}
	}
	return err
}

const maxExplain = 64 << 20

// A doubt is an error of which nobody knows whether wrong bytes are the reason.
type doubt struct{ error }

func (d *doubt) Unwrap() error { return d.error }

// maybeWrongBytes tells whether another try may help.
func maybeWrongBytes(err error) bool {
	var (
		wrong *WrongBytesError
		d     *doubt
	)
	return errors.As(err, &wrong) || errors.As(err, &d)
}

// maxWindow is what a zstd layer may need for decompression: as "zstd --long".
const maxWindow = 128 << 20

// decompress finds the compression of a stream by its first bytes.
func decompress(c *checker) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(c, 256<<10)
	head, err := b.Peek(6)
	if err != nil && err != io.EOF {
		return nil, err
	}
	u := &unpacker{c: c}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}): // RFC 1952; all members
		u.kind = "gzip"
		var z *gzip.Reader
		if z, err = gzip.NewReader(b); err == nil {
			u.Reader, u.close = z, z.Close
		}
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}), // RFC 8878, a frame,
		len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}): // a skippable one
		u.kind = "zstd"
		var z *zstd.Decoder
		z, err = zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err == nil {
			u.Reader, u.close = z, z.IOReadCloser().Close
		}
	case bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		u.kind = "xz"
		u.Reader, err = xz.NewReader(b)
	case bytes.HasPrefix(head, []byte("BZh")):
		u.kind, u.Reader, err = "bzip2", bzip2.NewReader(b), nil
	default:
		return io.NopCloser(b), nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if u.Reader == nil || err != nil {
		return nil, u.explain(err)
	}
	return u, nil
}

// An unpacker says in its errors what it unpacks.
type unpacker struct {
	io.Reader
	c     *checker
	kind  string
	close func() error
}

func (u *unpacker) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = u.explain(err)
	}
	return n, err
}

// explain leaves the errors of what it reads from alone.
func (u *unpacker) explain(err error) error {
	if u.c.err != nil {
		return err
	}
	return fmt.Errorf("decompressing %s: %w", u.kind, err)
}

func (u *unpacker) Close() error {
	if u.close == nil {
		return nil
	}
	return u.close()
}

// A cancelReader ends when its context does.
type cancelReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

// An ahead reads in a goroutine of its own, a few buffers ahead of its reader,
// so that decompressing and storing keep two cores busy.
type ahead struct {
	full chan chunk
	free chan []byte
	stop chan struct{}
	now  chunk
	rest []byte
}

type chunk struct {
	data []byte
	err  error
}

const (
	aheadBuffers = 8
	aheadSize    = 256 << 10
)

func newAhead(r io.Reader) *ahead {
	a := &ahead{full: make(chan chunk, aheadBuffers), free: make(chan []byte, aheadBuffers), stop: make(chan struct{})}
	for range aheadBuffers {
		a.free <- make([]byte, aheadSize)
	}
	go a.run(r)
	return a
}

func (a *ahead) run(r io.Reader) {
	defer close(a.full)
	for {
		var buf []byte
		select {
		case buf = <-a.free:
		case <-a.stop:
			return
		}
		n, err := io.ReadFull(r, buf)
		if err == io.ErrUnexpectedEOF && n > 0 {
			// The end of r, or an error of its own: its next Read tells.
			err = nil
		}
		a.full <- chunk{buf[:n], err} // has room: there are no more buffers
		if err != nil {
			return
		}
	}
}

func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.now.err != nil {
			return 0, a.now.err
		}
		if a.now.data != nil {
			a.free <- a.now.data[:aheadSize]
		}
		a.now = <-a.full
		a.rest = a.now.data
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// close ends the goroutine: what it reads from is free again.
func (a *ahead) close() {
	close(a.stop)
	for range a.full {
	}
}
