package images

import (
	"context"
	"fmt"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/layer"
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
	composed := map[string]verity.Digest{}
	for _, v := range variants() {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := r.recompose(i, v, wanted, composed); err != nil {
			return err
		}
	}
	if err := r.publish(i, composed); err != nil {
		return err
	}
	for d := range wanted {
		return fmt.Errorf("the EROFS image %v is not made from the image in any way that is known", d)
	}
	return nil
}

// A variant is a way of making an EROFS image from an image.
type variant struct {
	f        Format
	bootable bool
	o        layer.Options
}

func variants() []variant {
	var all []variant
	for _, o := range []layer.Options{{}, {KeepNanoseconds: true}, {KeepUserXattrs: true}, {KeepUserXattrs: true, KeepNanoseconds: true}} {
		for _, f := range []Format{V1, V2, V0} {
			for _, bootable := range []bool{false, true} {
				all = append(all, variant{f, bootable, o})
			}
		}
	}
	return all
}

// recompose writes an image if it is wanted, and takes it from the list.
func (r *Repository) recompose(i *Image, v variant, wanted map[verity.Digest]bool, composed map[string]verity.Digest) error {
	if len(wanted) == 0 || v.o.KeepNanoseconds && !v.bootable {
		return nil
	}
	t := i.Tree
	if v.o.KeepUserXattrs {
		other, err := r.ImageWith(i.Manifest, v.o)
		if err != nil {
			return err
		}
		t = other.Tree
	}
	if v.bootable {
		boot, err := r.BootTree(t, v.o)
		defer t.CountLinks()
		if err != nil {
			return nil // nobody has made such an image from it
		}
		t = boot
	}
	d, err := Digest(t, r.meta.algorithm, v.f)
	if err != nil || !wanted[d] {
		return err
	}
	if _, err := r.writeImage(t, v.f); err != nil {
		return err
	}
	delete(wanted, d)
	name := v.f.imageName(v.bootable)
	if v.o.KeepUserXattrs {
		name += keepsUserXattrs
	}
	composed[name] = d
	return nil
}
