package main

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// tag is that of the image in every layout.
const tag = "latest"

// A tarball writes the tar of a layer.
type tarball func(w io.Writer) error

// writeLayout makes an OCI layout of one image. The layers of base, a layout
// made before, come first if it is not empty; layer is compressed with gzip of
// the level.
func writeLayout(dir, base string, layer tarball, level int) error {
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	created := time.Unix(0, 0).UTC()
	config := ocispec.Image{Created: &created, Platform: ocispec.Platform{Architecture: runtime.GOARCH, OS: "linux"}}
	config.RootFS.Type = "layers"
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	if base != "" {
		var err error
		if m.Layers, config.RootFS.DiffIDs, err = linkLayers(base, blobs); err != nil {
			return err
		}
	}
	l, diffID, err := writeLayer(blobs, layer, level)
	if err != nil {
		return err
	}
	m.Layers = append(m.Layers, l)
	config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffID)
	if m.Config, err = writeJSON(blobs, ocispec.MediaTypeImageConfig, config); err != nil {
		return err
	}
	head, err := writeJSON(blobs, ocispec.MediaTypeImageManifest, m)
	if err != nil {
		return err
	}
	head.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{head}}
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "index.json"), data, 0o644)
}

// writeLayer compresses a layer and stores it.
func writeLayer(blobs string, layer tarball, level int) (d ocispec.Descriptor, diffID digest.Digest, err error) {
	f, err := os.Create(filepath.Join(blobs, "new"))
	if err != nil {
		return d, "", err
	}
	defer f.Close()
	blob, raw := sha256.New(), sha256.New()
	z, err := gzip.NewWriterLevel(io.MultiWriter(f, blob), level)
	if err != nil {
		return d, "", err
	}
	if err := layer(io.MultiWriter(z, raw)); err != nil {
		return d, "", err
	}
	if err := z.Close(); err != nil {
		return d, "", err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return d, "", err
	}
	d = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.NewDigest(digest.SHA256, blob), Size: size}
	diffID = digest.NewDigest(digest.SHA256, raw)
	return d, diffID, os.Rename(f.Name(), filepath.Join(blobs, d.Digest.Encoded()))
}

func writeJSON(blobs, mediaType string, v any) (ocispec.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	return d, os.WriteFile(filepath.Join(blobs, d.Digest.Encoded()), data, 0o644)
}

// linkLayers takes over the layers of another layout.
func linkLayers(base, blobs string) ([]ocispec.Descriptor, []digest.Digest, error) {
	m, err := readManifest(base)
	if err != nil {
		return nil, nil, err
	}
	var config ocispec.Image
	if err := readJSON(blobPath(base, m.Config.Digest), &config); err != nil {
		return nil, nil, err
	}
	for _, l := range m.Layers {
		if err := os.Link(blobPath(base, l.Digest), filepath.Join(blobs, l.Digest.Encoded())); err != nil {
			return nil, nil, err
		}
	}
	return m.Layers, config.RootFS.DiffIDs, nil
}

func readManifest(layout string) (*ocispec.Manifest, error) {
	var index ocispec.Index
	if err := readJSON(filepath.Join(layout, "index.json"), &index); err != nil {
		return nil, err
	}
	if len(index.Manifests) != 1 {
		return nil, fmt.Errorf("%s has %d images, want one", layout, len(index.Manifests))
	}
	var m ocispec.Manifest
	return &m, readJSON(blobPath(layout, index.Manifests[0].Digest), &m)
}

func blobPath(layout string, d digest.Digest) string {
	return filepath.Join(layout, "blobs", d.Algorithm().String(), d.Encoded())
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}
