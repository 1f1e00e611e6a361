package images

import (
	"context"
	"fmt"
	"io"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/splitstream"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// Source is an image of this repository for another one, which pulls it as from
// anywhere else, without a network. Every object is compared with its digest while
// it is read, and where that is wrong the error names it. An image that is not there
// is [ErrNotFound].
func (r *Repository) Source(manifest bootc.Digest) (Source, error) {
	i, err := r.readHead(manifest)
	if err != nil {
		return nil, err
	}
	l := &local{r: r, image: i, streams: map[bootc.Digest]verity.Digest{}}
	for n, id := range i.layers {
		s, err := r.openStream(id, splitstream.Layer)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", i.layerName(n), err)
		}
		diffID := bootc.Digest(i.Config.RootFS.DiffIDs[n])
		l.streams[diffID] = id
		l.layers = append(l.layers, Blob{Digest: diffID, Size: int64(s.Size)})
		s.Close()
	}
	return l, nil
}

// local is an image whose layers are given back from their streams, uncompressed.
type local struct {
	r       *Repository
	image   *Image
	layers  []Blob
	streams map[bootc.Digest]verity.Digest
}

func (l *local) Digest() bootc.Digest { return l.image.Manifest }

func (l *local) Manifest() []byte { return l.image.RawManifest }

func (l *local) Config(context.Context) ([]byte, error) { return l.image.rawConfig, nil }

func (l *local) Layers() []Blob { return l.layers }

func (l *local) OpenBlob(_ context.Context, b Blob) (io.ReadCloser, error) {
	id, ok := l.streams[b.Digest]
	if !ok {
		return nil, fmt.Errorf("internal error: %s is not a layer of %s", b.Digest, l.image.Manifest)
	}
	s, err := l.r.openStream(id, splitstream.Layer)
	if err != nil {
		return nil, err
	}
	in, out := io.Pipe()
	t := &tarStream{PipeReader: in, ended: make(chan struct{})}
	go func() {
		defer close(t.ended)
		defer s.Close()
		out.CloseWithError(s.Cat(out, l.r.openNamed)) // nil is io.EOF
	}()
	return t, nil
}

// tarStream is a layer that a goroutine writes.
type tarStream struct {
	*io.PipeReader
	ended chan struct{}
}

// Close ends the goroutine: what it reads from is free again.
func (t *tarStream) Close() error {
	err := t.PipeReader.Close()
	<-t.ended
	return err
}

// openNamed is openContent with the digest in the errors of reading: the kernel
// says no more than that the input is bad.
func (r *Repository) openNamed(d verity.Digest) (io.ReadCloser, error) {
	f, err := r.openContent(d)
	if err != nil {
		return nil, err
	}
	return &namedContent{f, d}, nil
}

type namedContent struct {
	io.ReadCloser
	d verity.Digest
}

func (c *namedContent) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("reading object %v: %w", c.d, err)
	}
	return n, err
}
