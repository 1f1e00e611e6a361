package etc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// Materialize writes the directory n of an image into the directory dst, which
// gets its metadata too. Directories that exist are used, other entries that
// are in the way are replaced, and entries that n does not have stay. Contents
// that are not inline come from open, and are checked against the size and the
// digest that n has. Names of one node become separate files. The caller
// flushes.
func Materialize(ctx context.Context, dst *os.Root, n *tree.Node, open func(*tree.Node) (io.ReadCloser, error)) error {
	f, err := dst.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	w := writer{ctx, open}
	if err := w.fill("", f, n); err != nil {
		return err
	}
	return named("setting metadata of", ".", writeMeta(int(f.Fd()), ".", n))
}

type writer struct {
	ctx  context.Context
	open func(*tree.Node) (io.ReadCloser, error)
}

func (w writer) fill(path string, d *os.File, n *tree.Node) error {
	for _, name := range n.Names() {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		below := name
		if path != "" {
			below = path + "/" + name
		}
		child := n.Child(name)
		var err error
		if child.IsDir() {
			err = w.dir(below, d, name, child)
		} else {
			err = named("writing", below, w.leaf(d, name, child))
		}
		if err != nil {
			return err
		}
		if err := writeMeta(int(d.Fd()), name, child); err != nil {
			return named("setting metadata of", below, err)
		}
	}
	return nil
}

func (w writer) dir(path string, parent *os.File, name string, n *tree.Node) error {
	sub, err := openSubdir(parent, name)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		if err := unix.Unlinkat(int(parent.Fd()), name, 0); err != nil {
			return named("replacing", path, err)
		}
		err = unix.ENOENT
	}
	if errors.Is(err, unix.ENOENT) {
		if err := unix.Mkdirat(int(parent.Fd()), name, 0o700); err != nil {
			return named("making directory", path, err)
		}
		sub, err = openSubdir(parent, name)
	}
	if err != nil {
		return named("opening", path, err)
	}
	defer sub.Close()
	return w.fill(path, sub, n)
}

func (w writer) leaf(parent *os.File, name string, n *tree.Node) error {
	if err := removeAll(parent, name); err != nil {
		return err
	}
	switch n.Type() {
	case tree.TypeSymlink:
		return unix.Symlinkat(n.Target, int(parent.Fd()), name)
	case tree.TypeRegular:
		f, err := createFile(int(parent.Fd()), name)
		if err != nil {
			return err
		}
		return errors.Join(w.content(f, n), f.Close())
	}
	major, minor := n.Rdev>>8&0xfff, n.Rdev&0xff|n.Rdev>>12&^uint32(0xff)
	return unix.Mknodat(int(parent.Fd()), name, n.Type()|0o600, int(unix.Mkdev(major, minor)))
}

func (w writer) content(f *os.File, n *tree.Node) error {
	if n.Object.IsZero() {
		if _, err := f.Write(n.Content); err != nil {
			return err
		}
		return f.Truncate(int64(size(n)))
	}
	r, err := w.open(n)
	if err != nil {
		return err
	}
	defer r.Close()
	h := verity.New(n.Object.Algorithm())
	got, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(r, int64(n.Size)+1))
	if err != nil {
		return err
	}
	if uint64(got) != n.Size {
		return fmt.Errorf("the content has %d bytes or more, the image says %d", got, n.Size)
	}
	if sum := h.Sum(); sum != n.Object {
		return fmt.Errorf("the content has the digest %v, the image says %v", sum, n.Object)
	}
	return nil
}
