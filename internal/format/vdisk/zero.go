package vdisk

import (
	"bytes"
	"io"
)

// pageSize is what is looked at for zeros where data is stored as it is.
const pageSize = 4096

// zero reports whether all bytes of p are 0.
func zero(p []byte) bool {
	return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}

// writeSparse writes p at off of w, except pages of zeros.
func writeSparse(w io.WriterAt, p []byte, off int64) error {
	for len(p) > 0 {
		n := pages(p, off, true)
		p, off = p[n:], off+int64(n)
		n = pages(p, off, false)
		if n == 0 {
			continue
		}
		if _, err := w.WriteAt(p[:n], off); err != nil {
			return err
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// pages returns how many bytes at the beginning of p, which belong at off, are
// pages or parts of pages that are zero, or that are not.
func pages(p []byte, off int64, want bool) int {
	n := 0
	for n < len(p) {
		end := min(len(p), n+pageSize-int((off+int64(n))%pageSize))
		if zero(p[n:end]) != want {
			break
		}
		n = end
	}
	return n
}

// blocks cuts writes up into the blocks of a format.
type blocks struct {
	size int64
	// emit takes block n, which is not all zero, in ascending order. It must not
	// keep the bytes.
	emit func(n int64, block []byte) error

	n       int64 // number of the block in part
	part    []byte
	started bool
}

func newBlocks(size int64, emit func(n int64, block []byte) error) *blocks {
	return &blocks{size: size, emit: emit}
}

func (b *blocks) write(p []byte, off int64) error {
	for len(p) > 0 {
		n, at := off/b.size, off%b.size
		length := min(b.size-at, int64(len(p)))
		if b.started && n != b.n {
			if err := b.flush(); err != nil {
				return err
			}
		}
		if length == b.size {
			if err := b.whole(n, p[:length]); err != nil {
				return err
			}
		} else {
			b.begin(n)
			copy(b.part[at:], p[:length])
		}
		p, off = p[length:], off+length
	}
	return nil
}

func (b *blocks) begin(n int64) {
	if b.started {
		return
	}
	if b.part == nil {
		b.part = make([]byte, b.size)
	}
	clear(b.part)
	b.n, b.started = n, true
}

func (b *blocks) whole(n int64, block []byte) error {
	if zero(block) {
		return nil
	}
	return b.emit(n, block)
}

// flush emits the block that is not whole yet; what is missing is zero.
func (b *blocks) flush() error {
	if !b.started {
		return nil
	}
	b.started = false
	return b.whole(b.n, b.part)
}
