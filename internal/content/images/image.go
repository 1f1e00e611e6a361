package images

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/splitstream"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// An Image is an OCI image in the repository.
type Image struct {
	Manifest    bootc.Digest
	RawManifest []byte
	Config      ocispec.Image
	// Tree is the image's file tree after the plain transform.
	Tree *tree.Tree

	manifest  *Manifest
	rawConfig []byte
	layers    []verity.Digest // the layers' streams, in order
	named     map[string]verity.Digest
	stored    stored
}

// Stored says what the pull of the image has stored.
func (i *Image) Stored() Stored { return i.stored.Stored }

// ConfigDigest returns the digest of the config.
func (i *Image) ConfigDigest() bootc.Digest { return bootc.Digest(i.manifest.Config.Digest) }

// RawConfig returns the exact bytes of the config.
func (i *Image) RawConfig() []byte { return i.rawConfig }

// Layers lists the layers as the manifest has them.
func (i *Image) Layers() []Blob {
	var all []Blob
	for _, l := range i.manifest.Layers {
		all = append(all, Blob{bootc.Digest(l.Digest), l.Size})
	}
	return all
}

// Version returns the version that the image gives itself, "" if none.
func (i *Image) Version() string { return i.info(nil).Version }

// Info is what people want to know of an image.
type Info struct {
	Manifest     bootc.Digest
	Version      string // "" if the image does not say
	Created      *time.Time
	Architecture string
	Labels       map[string]string
	// ID is the deployment that was composed from the image, in the
	// repository's first format if in several; "" if none was.
	ID bootc.ID
}

func (i *Image) info(formats []Format) *Info {
	const key = "org.opencontainers.image.version"
	v := i.manifest.Annotations[key]
	if v == "" {
		v = i.Config.Config.Labels[key]
	}
	if v == "" {
		v = i.Config.Config.Labels["version"]
	}
	info := &Info{
		Manifest: i.Manifest, Version: v, Created: i.Config.Created,
		Architecture: i.Config.Architecture, Labels: i.Config.Config.Labels,
	}
	for _, f := range append(slices.Clone(formats), V1, V2) {
		if d, ok := i.named[f.imageName(true)]; ok {
			info.ID = bootc.ID(d.String())
			break
		}
	}
	return info
}

// Info reads what people want to know, without the layers. An image that is
// not there is [ErrNotFound].
func (r *Repository) Info(manifest bootc.Digest) (*Info, error) {
	i, err := r.readHead(manifest)
	if err != nil {
		return nil, err
	}
	return i.info(r.meta.formats), nil
}

// FindByID finds the image that a deployment was composed from; tagged ones
// come first. If there is none the error is [ErrNotFound].
func (r *Repository) FindByID(id bootc.ID) (*Info, error) {
	tagged, err := r.Tags()
	if err != nil {
		return nil, err
	}
	all, err := r.manifests()
	if err != nil {
		return nil, err
	}
	for _, m := range append(tagged, all...) {
		i, err := r.readHead(m)
		if err != nil {
			continue // another image's trouble
		}
		for _, c := range i.Composed() {
			if c.Bootable && c.Digest.String() == string(id) {
				info := i.info(nil)
				info.ID = id
				return info, nil
			}
		}
	}
	return nil, fmt.Errorf("deployment %s: %w", id.Short(), ErrNotFound)
}

// Image reads an image that was pulled before. One that is not there is
// [ErrNotFound].
func (r *Repository) Image(manifest bootc.Digest) (*Image, error) {
	return r.ImageWith(manifest, layer.Options{})
}

// ImageWith is Image with another plain transform than that of new images.
func (r *Repository) ImageWith(manifest bootc.Digest, o layer.Options) (*Image, error) {
	i, err := r.Head(manifest)
	if err != nil {
		return nil, err
	}
	i.Tree, err = r.readTree(i, o)
	return i, err
}

// readTree makes the plain tree of an image from its layers' streams.
func (r *Repository) readTree(i *Image, o layer.Options) (*tree.Tree, error) {
	t := tree.New()
	for n, id := range i.layers {
		l, err := r.readLayer(id)
		if err == nil {
			err = layer.Apply(t, l)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", i.layerName(n), err)
		}
	}
	return t, o.Plain(t)
}

// ManifestStream returns the object of a manifest's stream.
func (r *Repository) ManifestStream(manifest bootc.Digest) (verity.Digest, error) {
	return r.linked(streamsDir + "/" + manifestStream(manifest))
}

// Head reads an image without its layers and its tree.
func (r *Repository) Head(manifest bootc.Digest) (*Image, error) { return r.readHead(manifest) }

// A Composed is an EROFS image that was made from an image.
type Composed struct {
	Digest   verity.Digest
	Bootable bool
	Format   Format // V1 stands for V0, too
	// KeepsUserXattrs is true where user.* attributes were kept.
	KeepsUserXattrs bool
}

// Composed lists the EROFS images that the stream of the config names.
func (i *Image) Composed() []Composed {
	var all []Composed
	for name, d := range i.named {
		rest, ok := strings.CutPrefix(name, imageNames)
		if !ok {
			continue
		}
		c := Composed{Digest: d, Format: V2}
		rest, c.KeepsUserXattrs = strings.CutSuffix(rest, keepsUserXattrs)
		rest, v1 := strings.CutSuffix(rest, ".v1")
		if v1 {
			c.Format = V1
		}
		c.Bootable = rest == ".boot"
		if rest == "" || c.Bootable {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b Composed) int {
		order := func(c Composed) int {
			n := int(c.Format)
			if c.Bootable {
				n += 10
			}
			if c.KeepsUserXattrs {
				n += 100
			}
			return n
		}
		return order(a) - order(b)
	})
	return all
}

// readHead reads manifest and config and finds the layers' streams.
func (r *Repository) readHead(manifest bootc.Digest) (*Image, error) {
	id, err := r.linked(streamsDir + "/" + manifestStream(manifest))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", manifest, err)
	}
	i := &Image{Manifest: manifest}
	var refs map[string]verity.Digest
	if i.RawManifest, refs, err = r.readDocument(id, splitstream.Manifest, manifest); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", manifest, err)
	}
	if i.manifest, err = ParseManifest(i.RawManifest); err != nil {
		return nil, err
	}
	if err := r.readConfig(i, refs); err != nil {
		return nil, fmt.Errorf("config of %s: %w", manifest, err)
	}
	return i, nil
}

func (r *Repository) readConfig(i *Image, refs map[string]verity.Digest) error {
	digest := bootc.Digest(i.manifest.Config.Digest)
	id, ok := refs[configRef(digest)]
	if !ok {
		return errors.New("the manifest's stream does not name it")
	}
	var err error
	if i.rawConfig, i.named, err = r.readDocument(id, splitstream.Config, digest); err != nil {
		return err
	}
	if i.Config, err = parseConfig(i.rawConfig); err != nil {
		return err
	}
	for _, d := range i.Config.RootFS.DiffIDs {
		id, ok := i.named[string(d)]
		if !ok {
			return fmt.Errorf("its stream does not name the layer %s", d)
		}
		i.layers = append(i.layers, id)
	}
	return nil
}
