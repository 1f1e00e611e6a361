// Package composefsinfo shows what is in composefs images: their names, their
// dump, the objects they refer to. It prints what composefs-info of the C
// project prints, with two exceptions: a path of an object ends where it ends,
// and directories with whiteouts do not show the attributes that the image adds
// to them.
package composefsinfo

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/dumpfile"
	"github.com/bootc-go/bootc/internal/format/erofs"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// Open reads an image. With filter, of the entries of its root only those with
// these names count; what is below them does.
func Open(f *os.File, filter []string) (*erofs.Image, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", f.Name())
	}
	im, err := erofs.Inspect(f, info.Size())
	if err != nil || len(filter) == 0 {
		return im, err
	}
	root := im.Tree.Root
	for _, name := range root.Names() {
		if !slices.Contains(filter, name) {
			root.RemoveChild(name)
		}
	}
	return im, nil
}

// List prints a line for each name but the root: the path, of a directory a
// slash, of a symbolic link its text, of a file the path of its object.
func List(w io.Writer, im *erofs.Image) error {
	out := bufio.NewWriter(w)
	seen := map[*tree.Node]bool{}
	err := im.Tree.Walk(func(path string, n *tree.Node) error {
		if n == im.Tree.Root {
			return nil
		}
		line := dumpfile.AppendText(nil, path, true)
		switch {
		case n.IsDir():
			line = append(line, "/\t"...)
		case n.Nlink > 1 && seen[n]: // a hard link shows its path only
		case n.IsSymlink():
			line = dumpfile.AppendText(append(line, "\t-> "...), n.Target, false)
		case ObjectPath(n) != "":
			line = dumpfile.AppendText(append(line, "\t@ "...), ObjectPath(n), false)
		}
		if n.Nlink > 1 {
			seen[n] = true
		}
		_, err := out.Write(append(line, '\n'))
		return err
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

// Dump prints the dump of an image.
func Dump(w io.Writer, im *erofs.Image) error {
	return dumpfile.Options{Dir: im.Dir, Xattrs: im.Xattrs}.Write(w, im.Tree)
}

// ObjectPath returns the path of a file's object below the object directory,
// nothing if it has none.
func ObjectPath(n *tree.Node) string {
	switch {
	case !n.IsRegular() || n.Payload == tree.NoPayload:
		return ""
	case n.Payload != "":
		return n.Payload
	}
	return n.Object.ObjectPath()
}

// Objects are the paths of the objects of several images.
type Objects map[string]bool

// Add adds the objects of an image.
func (o Objects) Add(im *erofs.Image) error {
	return im.Tree.Walk(func(_ string, n *tree.Node) error {
		if path := ObjectPath(n); path != "" {
			o[path] = true
		}
		return nil
	})
}

// Print prints the paths, sorted. With an object directory it prints only those
// that are not there.
func (o Objects) Print(w io.Writer, dir *os.File) error {
	out := bufio.NewWriter(w)
	var paths []string
	for path := range o {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		if dir != nil && exists(dir, path) {
			continue
		}
		if _, err := fmt.Fprintln(out, path); err != nil {
			return err
		}
	}
	return out.Flush()
}

// exists reports whether a path below the object directory leads to something.
func exists(dir *os.File, path string) bool {
	var st unix.Stat_t
	return unix.Fstatat(int(dir.Fd()), strings.TrimLeft(path, "/"), &st, 0) == nil
}

// Measure computes the fs-verity digest of a file from its content.
func Measure(f *os.File, a verity.Algorithm) (verity.Digest, error) {
	h := verity.New(a)
	if _, err := io.Copy(h, f); err != nil {
		return verity.Digest{}, err
	}
	return h.Sum(), nil
}
