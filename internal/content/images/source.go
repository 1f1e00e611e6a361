package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/bootc-go/bootc"
)

// A Source is an image where it is kept, for one platform. Nothing that it
// says is believed: see [Repository.Pull].
type Source interface {
	// Digest is that of Manifest's bytes.
	Digest() bootc.Digest
	// Manifest returns the exact bytes of the manifest.
	Manifest() []byte
	// Config fetches the exact bytes of the config.
	Config(ctx context.Context) ([]byte, error)
	// Layers lists what is to be fetched, one blob for each diff_id.
	Layers() []Blob
	// OpenBlob fetches a blob as it is stored, maybe compressed. It may be
	// called by several goroutines. A Read ends soon when ctx does. The caller
	// closes it.
	OpenBlob(ctx context.Context, b Blob) (io.ReadCloser, error)
}

// A Blob is a layer as a source stores it.
type Blob struct {
	Digest bootc.Digest // "" if only the diff_id is known
	Size   int64        // -1 if it is not known
}

// A Manifest is an image manifest.
type Manifest = ocispec.Manifest

const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"

// ParseManifest reads an image manifest, OCI or Docker schema 2.
func ParseManifest(raw []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	switch {
	case m.MediaType != "" && m.MediaType != ocispec.MediaTypeImageManifest && m.MediaType != dockerManifest:
		return nil, fmt.Errorf("reading the manifest: its media type %q is not that of an image manifest", m.MediaType)
	case m.SchemaVersion != 2 || m.Config.Digest == "":
		return nil, errors.New("reading the manifest: it is not an image manifest")
	}
	if _, err := bootc.ParseDigest(string(m.Config.Digest)); err != nil {
		return nil, fmt.Errorf("reading the manifest: config: %w", err)
	}
	for n, l := range m.Layers {
		if _, err := bootc.ParseDigest(string(l.Digest)); err != nil {
			return nil, fmt.Errorf("reading the manifest: layer %d: %w", n+1, err)
		}
	}
	return &m, nil
}

// parseConfig reads an image config and checks its list of layers.
func parseConfig(raw []byte) (ocispec.Image, error) {
	var c ocispec.Image
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("reading the config: %w", err)
	}
	for n, d := range c.RootFS.DiffIDs {
		if _, err := bootc.ParseDigest(string(d)); err != nil {
			return c, fmt.Errorf("reading the config: layer %d: %w", n+1, err)
		}
	}
	return c, nil
}
