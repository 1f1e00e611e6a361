package splitstream

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/bootc-go/bootc/internal/format/verity"
)

// A Writer collects a splitstream. Its memory grows with the inline bytes,
// compressed.
type Writer struct {
	algorithm verity.Algorithm
	content   ContentType
	size      uint64

	objects digestSet
	named   map[string]verity.Digest

	inline     []byte // adjacent inline bytes are one chunk
	compressed pages
	z          *zstd.Encoder
}

// maxInline is the size at which a chunk of inline bytes is cut.
const maxInline = 1 << 20

// NewWriter returns a Writer for a stream whose objects have digests of the
// algorithm.
func NewWriter(a verity.Algorithm, content ContentType) (*Writer, error) {
	w := &Writer{algorithm: a, content: content, objects: newDigestSet(), named: map[string]verity.Digest{}}
	var err error
	w.z, err = newEncoder(&w.compressed)
	return w, err
}

// newEncoder writes a frame also for no data at all, which other readers want,
// and no checksums: fs-verity covers the whole stream.
func newEncoder(out io.Writer) (*zstd.Encoder, error) {
	return zstd.NewWriter(out, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithZeroFrames(true), zstd.WithEncoderCRC(false))
}

// Inline adds bytes of the file.
func (w *Writer) Inline(p []byte) error {
	w.inline = append(w.inline, p...)
	w.size += uint64(len(p))
	if len(w.inline) >= maxInline {
		return w.flush()
	}
	return nil
}

// External adds size bytes of the file that are an object.
func (w *Writer) External(d verity.Digest, size int64) error {
	if err := w.flush(); err != nil {
		return err
	}
	if d.Algorithm() != w.algorithm {
		return fmt.Errorf("splitstream: object with a %v digest in a %v stream", d.Algorithm(), w.algorithm)
	}
	w.size += uint64(size)
	return w.number(int64(w.objects.add(d)))
}

// Name refers to another stream by a name. Finish refuses a name with a NUL and
// a digest of another algorithm.
func (w *Writer) Name(name string, stream verity.Digest) { w.named[name] = stream }

func (w *Writer) flush() error {
	if len(w.inline) == 0 {
		return nil
	}
	if err := w.number(-int64(len(w.inline))); err != nil {
		return err
	}
	_, err := w.z.Write(w.inline)
	w.inline = w.inline[:0]
	return err
}

func (w *Writer) number(n int64) error {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	_, err := w.z.Write(b[:])
	return err
}

// Finish writes the stream. Nothing may be added after it.
func (w *Writer) Finish(out io.Writer) error {
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.z.Close(); err != nil {
		return err
	}
	streams, names, err := w.names()
	if err != nil {
		return err
	}
	parts := []part{digests(streams), digests(w.objects.all), w.compressed, pages{names}}
	// On disk the named references come before the stream.
	var head [headerSize + infoSize]byte
	le := binary.LittleEndian
	copy(head[0:], magic)
	head[14], head[15] = byte(w.algorithm), blockLog
	le.PutUint64(head[16:], headerSize)
	le.PutUint64(head[24:], headerSize+infoSize)
	info := head[headerSize:]
	pos := uint64(len(head))
	order := []int{0, 1, 3, 2}
	for _, i := range order {
		le.PutUint64(info[16*i:], pos)
		pos += parts[i].size()
		le.PutUint64(info[16*i+8:], pos)
	}
	le.PutUint64(info[64:], uint64(w.content))
	le.PutUint64(info[72:], w.size)
	if _, err := out.Write(head[:]); err != nil {
		return err
	}
	for _, i := range order {
		if err := parts[i].write(out); err != nil {
			return err
		}
	}
	return nil
}

// names returns the streams referred to and the compressed list of names.
func (w *Writer) names() ([]verity.Digest, []byte, error) {
	var streams []verity.Digest
	var text bytes.Buffer
	sorted := make([]string, 0, len(w.named))
	for name := range w.named {
		sorted = append(sorted, name)
	}
	slices.SortFunc(sorted, strings.Compare)
	for _, name := range sorted {
		if strings.IndexByte(name, 0) >= 0 {
			return nil, nil, fmt.Errorf("splitstream: name %q with a NUL", name)
		}
		if a := w.named[name].Algorithm(); a != w.algorithm {
			return nil, nil, fmt.Errorf("splitstream: %q has a %v digest in a %v stream", name, a, w.algorithm)
		}
		i := slices.Index(streams, w.named[name])
		if i < 0 {
			i = len(streams)
			streams = append(streams, w.named[name])
		}
		fmt.Fprintf(&text, "%d:%s\x00", i, name)
	}
	z, err := newEncoder(nil)
	if err != nil {
		return nil, nil, err
	}
	defer z.Close()
	return streams, z.EncodeAll(text.Bytes(), nil), nil
}

// A part of a splitstream.
type part interface {
	size() uint64
	write(out io.Writer) error
}

type digests []verity.Digest

func (all digests) size() uint64 {
	if len(all) == 0 {
		return 0
	}
	return uint64(len(all)) * uint64(all[0].Algorithm().Size())
}

func (all digests) write(out io.Writer) error {
	for _, d := range all {
		if _, err := out.Write(d.Bytes()); err != nil {
			return err
		}
	}
	return nil
}
