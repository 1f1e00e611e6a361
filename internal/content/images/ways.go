package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// A way is how an image that boots is made from an OCI image. There are several,
// of earlier versions and of other implementations; a digest that something
// names may be of any of them.
type way struct {
	layer.Options
	format Format
}

// imageName is what a config calls the image that was made in this way.
func (w way) imageName(bootable bool) string {
	name := w.format.imageName(bootable)
	if w.KeepUserXattrs {
		name += keepsUserXattrs
	}
	return name
}

// ways lists the ways, that of today first, those that need another tree last.
func (r *Repository) ways() []way {
	formats := slices.Clone(r.meta.formats)
	for _, f := range []Format{V1, V2} {
		if !slices.Contains(formats, f) {
			formats = append(formats, f)
		}
	}
	var all []way
	for _, xattrs := range []bool{false, true} {
		for _, f := range formats {
			for _, nanoseconds := range []bool{false, true} {
				if nanoseconds && f == V2 {
					continue // it has no nanoseconds
				}
				all = append(all, way{layer.Options{KeepUserXattrs: xattrs, KeepNanoseconds: nanoseconds}, f})
			}
		}
	}
	return all
}

// ID returns the ID that Compose gives an image, and writes nothing.
func (r *Repository) ID(i *Image) (bootc.ID, error) { return r.hashBootImage(i.Tree, r.ways()[0]) }

// ComposeAs is Compose for an image of which the ID is known already, as it is
// where its unified kernel image names it: if one of the ways of making the
// image that boots gives this ID, that image is written, and the ID returned.
// Otherwise the result is that of Compose.
func (r *Repository) ComposeAs(ctx context.Context, i *Image, id bootc.ID) (bootc.ID, error) {
	w, t, err := r.findWay(ctx, i, id)
	if err != nil {
		return "", err
	}
	if t == nil || w == r.ways()[0] {
		return r.Compose(ctx, i)
	}
	if err := r.writable(); err != nil {
		return "", err
	}
	plain, err := r.writeImage(i.Tree, w.format)
	if err != nil {
		return "", fmt.Errorf("writing the plain image: %w", err)
	}
	boot, err := r.writeBootImage(t, w.format, w.Options)
	if err != nil {
		return "", err
	}
	return id, r.publish(i, map[string]verity.Digest{w.format.imageName(false): plain, w.imageName(true): boot})
}

// Makes reports whether the deployment's image can have been made from the
// image, in any way.
func (r *Repository) Makes(ctx context.Context, i *Image, id bootc.ID) (bool, error) {
	switch have, err := r.ReadImage(id); {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return false, err
	case !alike(i.Tree.Root, have.Root, "/"):
		return false, nil // as nearly always: nothing need be hashed
	}
	_, t, err := r.findWay(ctx, i, id)
	return t != nil, err
}

// findWay finds the way in which an image becomes a deployment, and the plain
// tree for it, which is nil if there is none.
func (r *Repository) findWay(ctx context.Context, i *Image, id bootc.ID) (way, *tree.Tree, error) {
	t := i.Tree
	for _, w := range r.ways() {
		if err := ctx.Err(); err != nil {
			return way{}, nil, context.Cause(ctx)
		}
		if w.KeepUserXattrs && t == i.Tree {
			var err error
			if t, err = r.readTree(i, w.Options); err != nil {
				return way{}, nil, err
			}
			if !hasUserXattrs(t) {
				break // all that follows has been tried
			}
		}
		got, err := r.hashBootImage(t, w)
		if err != nil {
			return way{}, nil, err
		}
		if got == id {
			return w, t, nil
		}
	}
	return way{}, nil, nil
}

// hashBootImage returns the ID that the image of a plain tree gets.
func (r *Repository) hashBootImage(t *tree.Tree, w way) (bootc.ID, error) {
	defer t.CountLinks()
	bootable, err := r.BootTree(t, w.Options)
	if err != nil {
		return "", err
	}
	d, err := Digest(bootable, r.meta.algorithm, w.format)
	return bootc.ID(d.String()), err
}

func hasUserXattrs(t *tree.Tree) bool {
	found := errors.New("found")
	return t.Walk(func(_ string, n *tree.Node) error {
		for _, x := range n.Xattrs {
			if x.Name != "security.capability" {
				return found
			}
		}
		return nil
	}) != nil
}

// alike reports whether the tree that boots can be that of the plain tree, by
// what no way changes.
func alike(plain, boot *tree.Node, path string) bool {
	if plain.Mode != boot.Mode || plain.UID != boot.UID || plain.GID != boot.GID || plain.Mtime.Sec != boot.Mtime.Sec && path != "/boot" && path != "/sysroot" {
		return false
	}
	if !plain.IsDir() {
		return plain.Size == boot.Size && plain.Object == boot.Object && bytes.Equal(plain.Content, boot.Content) && plain.Target == boot.Target && plain.Rdev == boot.Rdev
	}
	if path == "/boot" || path == "/sysroot" {
		return true
	}
	if plain.Len() != boot.Len() {
		return false
	}
	if path != "/" {
		path += "/"
	}
	for _, name := range plain.Names() {
		other := boot.Child(name)
		if other == nil || !alike(plain.Child(name), other, path+name) {
			return false
		}
	}
	return true
}
