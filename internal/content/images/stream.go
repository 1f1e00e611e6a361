package images

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/splitstream"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// A stream is an open splitstream.
type stream struct {
	*splitstream.Reader
	f *os.File
}

func (s *stream) Close() error { return s.f.Close() }

// openStream opens a splitstream and checks that it is of the kind.
func (r *Repository) openStream(id verity.Digest, kind splitstream.ContentType) (*stream, error) {
	s, err := r.openAnyStream(id)
	if err == nil && s.Content != kind {
		s.Close()
		return nil, fmt.Errorf("stream %v is of another kind", id)
	}
	return s, err
}

// openAnyStream opens a splitstream of any kind.
func (r *Repository) openAnyStream(id verity.Digest) (*stream, error) {
	f, err := r.objects.Open(id)
	if err != nil {
		return nil, err
	}
	s := &stream{f: f}
	if err := s.open(r, id); err != nil {
		f.Close()
		return nil, fmt.Errorf("stream %v: %w", id, err)
	}
	return s, nil
}

func (s *stream) open(r *Repository, id verity.Digest) error {
	if err := r.check(s.f, id); err != nil {
		return err
	}
	st, err := s.f.Stat()
	if err != nil {
		return err
	}
	if s.Reader, err = splitstream.Open(s.f, st.Size()); err != nil {
		return err
	}
	if s.Algorithm != r.meta.algorithm {
		return fmt.Errorf("it has %v digests", s.Algorithm)
	}
	return nil
}

// maxDocument bounds the size of a manifest or a config.
const maxDocument = 64 << 20

// readDocument reads a manifest or config from its stream, and the names that
// it has for other objects. Its bytes must have the digest.
func (r *Repository) readDocument(id verity.Digest, kind splitstream.ContentType, want bootc.Digest) ([]byte, map[string]verity.Digest, error) {
	s, err := r.openStream(id, kind)
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	if s.Size > maxDocument {
		return nil, nil, fmt.Errorf("it has %d bytes, more than %d", s.Size, maxDocument)
	}
	var out bytes.Buffer
	if err := s.Cat(&out, r.openContent); err != nil {
		return nil, nil, err
	}
	if err := verify(want, out.Bytes()); err != nil {
		return nil, nil, err
	}
	return out.Bytes(), s.Named, nil
}

// readLayer reads the entries of a layer from its stream. Every object that it
// refers to must be there in its size.
func (r *Repository) readLayer(id verity.Digest) (*layer.Layer, error) {
	s, err := r.openStream(id, splitstream.Layer)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	chunks, err := s.Chunks()
	if err != nil {
		return nil, err
	}
	defer chunks.Close()
	return layer.ReadRecorded(&present{chunks, r}, layer.Limits{})
}

// present checks the objects of a recorded layer.
type present struct {
	*splitstream.Chunks
	r *Repository
}

func (p *present) Object(size int64) (verity.Digest, error) {
	d, err := p.Chunks.Object(size)
	if err != nil {
		return d, err
	}
	got, err := p.r.objects.Size(d)
	if err == nil && got != size {
		err = fmt.Errorf("object %v has %d bytes, want %d", d, got, size)
	}
	return d, err
}

// renewLayer writes a layer's stream in the current layout and returns its new
// digest; one that has it already is left alone.
func (r *Repository) renewLayer(id verity.Digest) (verity.Digest, error) {
	s, err := r.openStream(id, splitstream.Layer)
	if err != nil {
		return id, err
	}
	defer s.Close()
	if !s.Old {
		return id, nil
	}
	st, err := s.f.Stat()
	if err != nil {
		return id, err
	}
	renewed, err := splitstream.Renew(s.f, st.Size())
	if err != nil {
		return id, err
	}
	return r.objects.Put(renewed, st.Size())
}

// CatLayer writes a layer's tar, byte for byte as it was pulled.
func (r *Repository) CatLayer(w io.Writer, diffID bootc.Digest) error {
	id, err := r.linked(streamsDir + "/" + layerStream(diffID))
	if err != nil {
		return fmt.Errorf("layer %s: %w", diffID, err)
	}
	s, err := r.openStream(id, splitstream.Layer)
	if err != nil {
		return fmt.Errorf("layer %s: %w", diffID, err)
	}
	defer s.Close()
	return s.Cat(w, r.openContent)
}

// A publisher makes the links to new streams. They wait until what they lead
// to has been flushed; one flush serves many.
type publisher struct {
	r *Repository

	mu      sync.Mutex
	waiting []pendingLink
	weight  int64
}

type pendingLink struct {
	name string
	id   verity.Digest
}

// flushEvery is after how many bytes of new layers a publisher flushes by
// itself: what a power cut costs at most.
const flushEvery = 64 << 20

// add publishes a stream whose parts have weight bytes, now or later.
func (p *publisher) add(name string, id verity.Digest, weight int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = append(p.waiting, pendingLink{name, id})
	p.weight += weight
	if p.weight < flushEvery {
		return nil
	}
	return p.publish()
}

// finish publishes what waits.
func (p *publisher) finish() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.publish()
}

func (p *publisher) publish() error {
	if len(p.waiting) == 0 {
		return nil
	}
	if err := p.r.Sync(); err != nil {
		return err
	}
	for _, l := range p.waiting {
		if err := p.r.link(streamsDir+"/"+l.name, l.id); err != nil {
			return err
		}
	}
	p.waiting, p.weight = nil, 0
	return nil
}

// writeHead writes config and manifest streams; composed names the EROFS
// images that were made from the image, beside those that are known already.
func (r *Repository) writeHead(i *Image, composed map[string]verity.Digest) error {
	config, err := r.document(splitstream.Config, i.rawConfig)
	if err != nil {
		return err
	}
	manifest, err := r.document(splitstream.Manifest, i.RawManifest)
	if err != nil {
		return err
	}
	for n, id := range i.layers {
		diffID := string(i.Config.RootFS.DiffIDs[n])
		config.Name(diffID, id)
		manifest.Name(diffID, id)
	}
	digest := bootc.Digest(i.manifest.Config.Digest)
	for name, id := range r.composed(digest) {
		config.Name(name, id)
	}
	for name, id := range composed {
		config.Name(name, id)
	}
	configID, err := r.put(config.Finish)
	if err != nil {
		return err
	}
	manifest.Name(configRef(digest), configID)
	manifestID, err := r.put(manifest.Finish)
	if err != nil {
		return err
	}
	p := publisher{r: r}
	p.waiting = []pendingLink{{configStream(digest), configID}, {manifestStream(i.Manifest), manifestID}}
	return p.finish()
}

func configRef(d bootc.Digest) string { return "config:" + string(d) }

// composed returns the EROFS images that the stream of a config names and the
// store has. A stream that is not there, or not in order, names none.
func (r *Repository) composed(config bootc.Digest) map[string]verity.Digest {
	id, err := r.linked(streamsDir + "/" + configStream(config))
	if err != nil {
		return nil
	}
	_, named, err := r.readDocument(id, splitstream.Config, config)
	if err != nil {
		return nil
	}
	for name, d := range named {
		if !strings.HasPrefix(name, imageNames) || !r.objects.Has(d) {
			delete(named, name)
		}
	}
	return named
}

// document begins the stream of a JSON document, which is one object.
func (r *Repository) document(kind splitstream.ContentType, data []byte) (*splitstream.Writer, error) {
	w, err := splitstream.NewWriter(r.meta.algorithm, kind)
	if err != nil {
		return nil, err
	}
	d, err := r.objects.Put(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	return w, w.External(d, int64(len(data)))
}
