package cfs

import (
	"context"
	"io"
	"os"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dirtree"
)

// A View says how the tree of an image is looked at.
type View struct {
	Bootable bool
	// KeepUserXattrs keeps user.* attributes.
	KeepUserXattrs bool
}

func (v View) options() layer.Options { return layer.Options{KeepUserXattrs: v.KeepUserXattrs} }

// Tree reads the tree of an image in the repository.
func (r *Repository) Tree(manifest bootc.Digest, v View) (*tree.Tree, error) {
	img, err := r.ImageWith(manifest, v.options())
	if err != nil || !v.Bootable {
		return treeOf(img), err
	}
	return r.BootTree(img.Tree, v.options())
}

func treeOf(i *images.Image) *tree.Tree {
	if i == nil {
		return nil
	}
	return i.Tree
}

// DirOptions say how a directory becomes the tree of an image.
type DirOptions struct {
	View
	Path string
	// AsIs leaves out the transform of an image's tree.
	AsIs bool
}

// ReadDir reads a directory as the tree of an image. put keeps the content of
// larger files.
func ReadDir(ctx context.Context, o DirOptions, put dirtree.Object) (*tree.Tree, error) {
	root, err := os.Open(o.Path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	t, err := dirtree.Read(ctx, root, dirtree.Options{Object: put, HardLinks: true})
	if err != nil || o.AsIs {
		return t, err
	}
	if err := o.options().Plain(t); err != nil || !o.Bootable {
		return t, err
	}
	read := func(n *tree.Node) ([]byte, error) {
		if n.Object.IsZero() {
			return n.Content, nil
		}
		return readAgain(root, t, n)
	}
	return t, o.options().Boot(t, read)
}

// readAgain reads a file of a tree that was read from a directory: its content
// is not kept anywhere else.
func readAgain(root *os.File, t *tree.Tree, n *tree.Node) ([]byte, error) {
	var data []byte
	dir, err := os.OpenRoot(root.Name())
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	err = t.Walk(func(path string, other *tree.Node) error {
		if other != n || data != nil {
			return nil
		}
		f, err := dir.Open("." + path)
		if err != nil {
			return err
		}
		defer f.Close()
		data, err = io.ReadAll(f)
		return err
	})
	return data, err
}

// Hash returns a function that only hashes files.
func Hash(a verity.Algorithm) dirtree.Object {
	return func(f *os.File, size int64) (verity.Digest, error) {
		h := verity.New(a)
		n, err := io.Copy(h, f)
		if err == nil && n != size {
			err = io.ErrUnexpectedEOF
		}
		return h.Sum(), err
	}
}

// CreateImage makes an EROFS image of a directory, with its files as objects,
// and keeps it under a name unless that is empty.
func (r *Repository) CreateImage(ctx context.Context, o DirOptions, name string) (verity.Digest, error) {
	t, err := ReadDir(ctx, o, func(f *os.File, size int64) (verity.Digest, error) { return r.PutFile(f, size) })
	if err != nil {
		return verity.Digest{}, err
	}
	return r.AddTree(t, name)
}
