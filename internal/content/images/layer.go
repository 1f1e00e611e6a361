package images

import (
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/splitstream"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// A StoredLayer is a layer in the repository. Sizes are in bytes.
type StoredLayer struct {
	DiffID    bootc.Digest
	Stream    verity.Digest
	Size      int64 // of the tar
	Objects   int   // that the tar is cut into, each counted once
	InObjects int64 // bytes of the tar that are in objects
	Entries   []layer.Entry
}

// Layer reads a layer. One that is not there is [ErrNotFound].
func (r *Repository) Layer(diffID bootc.Digest) (*StoredLayer, error) {
	id, err := r.linked(streamsDir + "/" + layerStream(diffID))
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", diffID, err)
	}
	s, err := r.openStream(id, splitstream.Layer)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", diffID, err)
	}
	defer s.Close()
	l, err := r.readLayer(id)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", diffID, err)
	}
	stored := &StoredLayer{DiffID: diffID, Stream: id, Size: int64(s.Size), Objects: len(s.Objects), Entries: l.Entries}
	for _, e := range l.Entries {
		if e.Node != nil && !e.Node.Object.IsZero() {
			stored.InObjects += int64(e.Node.Size)
		}
	}
	return stored, nil
}

// CatStream writes what a stream stands for. name is one in streams, or
// "refs/…" below it. One that is not there is [ErrNotFound].
func (r *Repository) CatStream(w io.Writer, name string) error {
	if strings.HasPrefix(name, "refs/") {
		text, err := r.root.Readlink(streamsDir + "/" + name)
		if err != nil {
			return fmt.Errorf("stream %q: %w", name, ErrNotFound)
		}
		name = path.Base(text)
	}
	id, err := r.linked(streamsDir + "/" + name)
	if err != nil {
		return fmt.Errorf("stream %q: %w", name, err)
	}
	s, err := r.openAnyStream(id)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Cat(w, r.openContent)
}
