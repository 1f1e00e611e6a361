// Package computedigest computes the deployment ID of an image while it is
// being built, from its root file system in a directory: what composefs= must
// say in a unified kernel image that is put into /boot of the same image.
//
// Nothing is written, and no repository is needed.
package computedigest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/erofs"
	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dir"
	"github.com/bootc-go/bootc/internal/linux/dirtree"
)

// A Result is what a directory comes to.
type Result struct {
	ID bootc.ID
	// Tree is the tree that boots.
	Tree *tree.Tree
	// Fractions counts the names whose time has a fraction of a second, and
	// FirstFraction is the path of the first. Where an image is pushed with
	// whole seconds its ID is another one.
	Fractions     int
	FirstFraction string
}

// Of reads the directory root, in which nothing may change meanwhile.
func Of(ctx context.Context, root *dir.Dir) (*Result, error) {
	t, err := dirtree.Read(ctx, root.File(), dirtree.Options{
		Object: (&hasher{}).object,
		// All others are no part of the tree that boots, however many there are.
		Xattr:     func(name string) bool { return name == "security.capability" },
		HardLinks: true,
	})
	if err != nil {
		return nil, err
	}
	if err := layer.Plain(t); err != nil {
		return nil, err
	}
	if err := layer.Boot(t, reader(root, t)); err != nil {
		return nil, err
	}
	h := verity.New(verity.SHA512)
	if err := erofs.Write(h, t, erofs.Options{}); err != nil {
		return nil, err
	}
	r := &Result{ID: bootc.ID(h.Sum().String()), Tree: t}
	_ = t.Walk(func(path string, n *tree.Node) error {
		if n.Mtime.Nsec != 0 {
			if r.Fractions++; r.Fractions == 1 {
				r.FirstFraction = path
			}
		}
		return nil
	})
	return r, nil
}

// A hasher computes digests of files.
type hasher struct{ pool sync.Pool }

// A worker is what hashing one file needs.
type worker struct {
	hash *verity.Hash
	buf  []byte
}

func (h *hasher) object(f *os.File, size int64) (verity.Digest, error) {
	w, ok := h.pool.Get().(*worker)
	if !ok {
		w = &worker{verity.New(verity.SHA512), make([]byte, 256<<10)}
	}
	defer h.pool.Put(w)
	w.hash.Reset()
	n, err := io.CopyBuffer(w.hash, struct{ io.Reader }{f}, w.buf)
	if err == nil && n != size {
		err = fmt.Errorf("it has %d bytes now, before %d", n, size)
	}
	if err != nil {
		return verity.Digest{}, err
	}
	return w.hash.Sum(), nil
}

// reader reads the few files that the transform needs, by their paths in t.
func reader(root *dir.Dir, t *tree.Tree) layer.Reader {
	return func(n *tree.Node) ([]byte, error) {
		if n.Object.IsZero() {
			return n.Content, nil
		}
		found := errors.New("found")
		path := ""
		err := t.Walk(func(at string, other *tree.Node) error {
			if other == n {
				path = at
				return found
			}
			return nil
		})
		if !errors.Is(err, found) {
			return nil, errors.New("the file is not in the tree")
		}
		data, err := root.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if verity.Sum(verity.SHA512, data) != n.Object {
			return nil, fmt.Errorf("%q has changed while it was read", path)
		}
		return data, nil
	}
}
