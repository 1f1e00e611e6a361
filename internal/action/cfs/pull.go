package cfs

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/policy"
	"github.com/bootc-go/bootc/internal/content/registry"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// PullOptions say what is pulled.
type PullOptions struct {
	Ref      bootc.Ref
	Tag      string
	Bootable bool
	Registry registry.Options
	Progress bootc.Progress
}

// Pulled is what a pull has brought.
type Pulled struct {
	Manifest, Config bootc.Digest
	// Stream is the manifest's.
	Stream verity.Digest
	Stored images.Stored
	// Boot is the image that boots; "" if none was asked for.
	Boot bootc.ID
}

// Pull brings an image into the repository, composes it and tags it. The
// signature policy is that of the machine; an image in a local directory or file
// needs none where there is no policy at all.
func (r *Repository) Pull(ctx context.Context, o PullOptions) (*Pulled, error) {
	src, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	img, err := r.Repository.Pull(ctx, src, o.Progress)
	if err != nil {
		return nil, err
	}
	p := &Pulled{Manifest: img.Manifest, Config: img.ConfigDigest(), Stored: img.Stored()}
	if o.Bootable {
		p.Boot, err = r.Compose(ctx, img)
	} else {
		err = r.ComposePlain(ctx, img)
	}
	if err == nil {
		err = r.TagAs(img.Manifest, o.Tag)
	}
	if err == nil {
		p.Stream, err = r.ManifestStream(img.Manifest)
	}
	return p, err
}

func open(ctx context.Context, o PullOptions) (*registry.Image, error) {
	src, err := registry.Open(ctx, o.Ref, o.Registry)
	if !errors.Is(err, policy.ErrMissing) || o.Ref.Transport == bootc.Registry {
		return src, err
	}
	f, err := os.CreateTemp("", "policy-*.json")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	if _, err := fmt.Fprintln(f, `{"default":[{"type":"insecureAcceptAnything"}]}`); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	o.Registry.PolicyFile = f.Name()
	return registry.Open(ctx, o.Ref, o.Registry)
}
