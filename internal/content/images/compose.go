package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/erofs"
	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// Compose writes the EROFS images of an image in the repository's formats, the
// plain one and the one that boots, and returns the ID of the latter in the
// first format. All that it needs is on disk on return. The image's tree is not
// changed.
func (r *Repository) Compose(ctx context.Context, i *Image) (bootc.ID, error) {
	composed, err := r.compose(ctx, i, true)
	if err != nil {
		return "", err
	}
	return bootc.ID(composed[r.meta.formats[0].imageName(true)].String()), nil
}

// ComposePlain is [Repository.Compose] for an image that does not boot: without
// the images that do.
func (r *Repository) ComposePlain(ctx context.Context, i *Image) error {
	_, err := r.compose(ctx, i, false)
	return err
}

func (r *Repository) compose(ctx context.Context, i *Image, bootable bool) (map[string]verity.Digest, error) {
	if err := r.writable(); err != nil {
		return nil, err
	}
	composed := map[string]verity.Digest{}
	for _, f := range r.meta.formats {
		plain, err := r.writeImage(i.Tree, f)
		if err != nil {
			return nil, fmt.Errorf("writing the plain image: %w", err)
		}
		composed[f.imageName(false)] = plain
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if !bootable {
			continue
		}
		if composed[f.imageName(true)], err = r.writeBootImage(i.Tree, f, layer.Options{}); err != nil {
			return nil, err
		}
	}
	return composed, r.publish(i, composed)
}

// publish links new EROFS images and names them in the image's streams. All is
// on disk on return.
func (r *Repository) publish(i *Image, composed map[string]verity.Digest) error {
	if err := r.Sync(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(composed)) {
		d := composed[name]
		if err := r.link(imagesDir+"/"+d.String(), d); err != nil {
			return err
		}
	}
	i.named = composed
	if err := r.writeHead(i, composed); err != nil {
		return err
	}
	return r.Sync()
}

// writeBootImage writes the image of the tree that boots.
func (r *Repository) writeBootImage(t *tree.Tree, f Format, o layer.Options) (verity.Digest, error) {
	defer t.CountLinks()
	bootable, err := r.BootTree(t, o)
	if err != nil {
		return verity.Digest{}, err
	}
	d, err := r.writeImage(bootable, f)
	if err != nil {
		err = fmt.Errorf("writing the boot image: %w", err)
	}
	return d, err
}

// BootTree makes the tree that boots from a tree that has had the plain
// transform, which is not changed but in what it says of links:
// [tree.Tree.CountLinks] puts that right when the other one is done with.
func (r *Repository) BootTree(t *tree.Tree, o layer.Options) (*tree.Tree, error) {
	bootable := bootTree(t)
	return bootable, o.Boot(bootable, r.ReadFile)
}

// bootTree copies what the boot transform changes: everything if there may be
// an SELinux policy, which gives everything a label, else the root and its entries
// boot and sysroot.
func bootTree(t *tree.Tree) *tree.Tree {
	if t.Lookup("/etc/selinux/config") != nil {
		return &tree.Tree{Root: deep(t.Root, map[*tree.Node]*tree.Node{})}
	}
	root := shallow(t.Root)
	for _, name := range []string{"boot", "sysroot"} {
		if n := root.Child(name); n != nil && n.IsDir() {
			root.SetChild(name, shallow(n))
		}
	}
	return &tree.Tree{Root: root}
}

// shallow copies a directory; its entries are those of the original.
func shallow(n *tree.Node) *tree.Node {
	c := *n
	c.RemoveChildren()
	for _, name := range n.Names() {
		c.SetChild(name, n.Child(name))
	}
	return &c
}

// deep copies a node and what is below it. copies has those of files with
// several names.
func deep(n *tree.Node, copies map[*tree.Node]*tree.Node) *tree.Node {
	if c := copies[n]; c != nil {
		return c
	}
	c := *n
	c.Xattrs = slices.Clone(n.Xattrs)
	if !n.IsDir() {
		if n.Nlink > 1 {
			copies[n] = &c
		}
		return &c
	}
	c.RemoveChildren()
	for _, name := range n.Names() {
		c.SetChild(name, deep(n.Child(name), copies))
	}
	return &c
}

func (r *Repository) writeImage(t *tree.Tree, f Format) (verity.Digest, error) {
	o, err := f.options()
	if err != nil {
		return verity.Digest{}, err
	}
	return r.put(func(w io.Writer) error { return erofs.Write(w, t, o) })
}

// OpenImage opens an EROFS image that has a link in images. Its content is that
// of the ID: the kernel vouches for it, or, where the repository is not secure,
// it is hashed. One that is not there is [ErrNotFound].
func (r *Repository) OpenImage(id bootc.ID) (*os.File, error) {
	want, err := verity.ParseDigest(string(id))
	if err != nil {
		return nil, err
	}
	f, err := r.root.Open(imagesDir + "/" + want.String())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("EROFS image %s: %w", id.Short(), ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	if err := r.check(f, want); err != nil {
		f.Close()
		return nil, fmt.Errorf("EROFS image %s: %w", id.Short(), err)
	}
	return f, nil
}

// ReadImage reads the file tree of an EROFS image.
func (r *Repository) ReadImage(id bootc.ID) (*tree.Tree, error) {
	f, err := r.OpenImage(id)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	t, err := erofs.Read(f, st.Size())
	if err != nil {
		return nil, fmt.Errorf("EROFS image %s: %w", id.Short(), err)
	}
	return t, nil
}

// RemoveImage removes the link to an EROFS image; one that is not there is no
// error. The object stays until garbage is collected.
func (r *Repository) RemoveImage(id bootc.ID) error {
	if err := r.writable(); err != nil {
		return err
	}
	want, err := verity.ParseDigest(string(id))
	if err != nil {
		return err
	}
	err = r.root.Remove(imagesDir + "/" + want.String())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return dir.SyncDir(r.root, imagesDir)
}

// Images lists the EROFS images that have a link.
func (r *Repository) Images() ([]bootc.ID, error) {
	entries, err := dir.ReadDir(r.root, imagesDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []bootc.ID
	for _, e := range entries {
		if d, err := verity.ParseDigest(e.Name()); err == nil && d.String() == e.Name() {
			all = append(all, bootc.ID(e.Name()))
		}
	}
	return all, nil
}
