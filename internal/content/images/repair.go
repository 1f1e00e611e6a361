package images

import (
	"context"
	"fmt"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// Condemn makes the objects that a check has found wrong count as missing, so
// that what has them is fetched again, and replaced.
func (r *Repository) Condemn(report *Report) {
	for _, d := range report.bad {
		r.objects.Condemn(d)
	}
}

// Damaged reports whether something of an image is missing, by what is there
// and what is condemned: its streams, their links, objects, or an EROFS image
// that was made from it. ids are images that it must have beside those that its
// config names.
func (r *Repository) Damaged(manifest bootc.Digest, ids ...bootc.ID) bool {
	i, err := r.readHead(manifest)
	if err != nil {
		return true
	}
	if _, err := r.linked(streamsDir + "/" + configStream(i.ConfigDigest())); err != nil {
		return true
	}
	for n, id := range i.layers {
		_, err := r.linked(streamsDir + "/" + layerStream(bootc.Digest(i.Config.RootFS.DiffIDs[n])))
		if err == nil {
			_, err = r.readLayer(id)
		}
		if err != nil {
			return true
		}
	}
	for d := range i.wanted(ids) {
		if got, err := r.linked(imagesDir + "/" + d.String()); err != nil || got != d || !r.objects.Has(d) {
			return true
		}
	}
	return false
}

// wanted lists the EROFS images that were made from an image, as far as its
// config names them, and those given.
func (i *Image) wanted(ids []bootc.ID) map[verity.Digest]bool {
	all := map[verity.Digest]bool{}
	for name, d := range i.named {
		if strings.HasPrefix(name, imageNames) {
			all[d] = true
		}
	}
	for _, id := range ids {
		if d, err := verity.ParseDigest(string(id)); err == nil {
			all[d] = true
		}
	}
	return all
}

// Repair makes an image whole again from where it is kept: what is missing or
// condemned is fetched, layer by layer, and the EROFS images that its config
// named, and those given, are composed again. All is on disk on return. An error
// leaves it no worse than it was.
func (r *Repository) Repair(ctx context.Context, src Source, p bootc.Progress, ids ...bootc.ID) error {
	before, err := r.readHead(src.Digest())
	if err != nil {
		before = &Image{} // what it named is not known
	}
	wanted := before.wanted(ids)
	i, err := r.Pull(ctx, src, p)
	if err != nil {
		return err
	}
	if len(wanted) == 0 {
		_, err := r.Compose(ctx, i)
		return err
	}
	composed, err := r.recompose(ctx, i, wanted)
	if err != nil {
		return err
	}
	if err := r.publish(i, composed); err != nil {
		return err
	}
	for d := range wanted {
		return fmt.Errorf("the EROFS image %v is not made from the image in any way that is known", d)
	}
	return nil
}

// recompose writes those of the wanted EROFS images that the image becomes in
// one of the ways, takes them from the list, and returns them by the names that
// the config has for them.
func (r *Repository) recompose(ctx context.Context, i *Image, wanted map[verity.Digest]bool) (map[string]verity.Digest, error) {
	composed := map[string]verity.Digest{}
	t := i.Tree
	for _, w := range r.ways() {
		if w.KeepUserXattrs && t == i.Tree {
			var err error
			if t, err = r.readTree(i, w.Options); err != nil {
				return nil, err
			}
		}
		for _, bootable := range []bool{false, true} {
			if err := ctx.Err(); err != nil {
				return nil, context.Cause(ctx)
			}
			if len(wanted) == 0 || w.KeepNanoseconds && !bootable {
				continue
			}
			d, err := r.writeWanted(t, w, bootable, wanted)
			if err != nil {
				return nil, err
			}
			if !d.IsZero() {
				delete(wanted, d)
				composed[w.imageName(bootable)] = d
			}
		}
	}
	return composed, nil
}

// writeWanted writes the image that a plain tree becomes in a way, if it is
// wanted; else its digest is zero.
func (r *Repository) writeWanted(t *tree.Tree, w way, bootable bool, wanted map[verity.Digest]bool) (verity.Digest, error) {
	if bootable {
		defer t.CountLinks()
		boot, err := r.BootTree(t, w.Options)
		if err != nil {
			return verity.Digest{}, nil // nobody has made such an image from it
		}
		t = boot
	}
	d, err := Digest(t, r.meta.algorithm, w.format)
	if err != nil || !wanted[d] {
		return verity.Digest{}, err
	}
	return r.writeImage(t, w.format)
}
