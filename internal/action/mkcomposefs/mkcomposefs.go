// Package mkcomposefs makes a composefs image of a directory or of a dump, as
// mkcomposefs of the C project does, byte for byte.
package mkcomposefs

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/bootc-go/bootc/internal/content/objects"
	"github.com/bootc-go/bootc/internal/format/dumpfile"
	"github.com/bootc-go/bootc/internal/format/erofs"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dir"
	"github.com/bootc-go/bootc/internal/linux/dirtree"
)

// Options say what becomes of a directory. They have no effect on a dump.
type Options struct {
	// Algorithm is that of the digests of objects; the zero value is SHA-256.
	Algorithm verity.Algorithm
	// Store is where the content of files of more than 64 bytes is copied to,
	// nil for nowhere.
	Store *os.Root
	// Epoch sets all times to 1970.
	Epoch bool
	// SkipDevices leaves out character and block devices.
	SkipDevices bool
	// SkipXattrs leaves out extended attributes, UserXattrs all but those that
	// begin with "user.".
	SkipXattrs, UserXattrs bool
	// Threads is how many files are read at a time; 0 is one for each processor.
	Threads int
}

// FromDump reads a dump.
func FromDump(r io.Reader) (*tree.Tree, error) { return dumpfile.Parse(r) }

// FromDirectory reads a directory. Each name is a file of its own, as hard links
// are not looked at. With a store, all objects are on disk when it returns.
func FromDirectory(ctx context.Context, d *os.File, o Options) (*tree.Tree, error) {
	if o.Algorithm == 0 {
		o.Algorithm = verity.SHA256
	}
	scan := dirtree.Options{Object: dirtree.Hash(o.Algorithm), SkipDevices: o.SkipDevices, Threads: o.Threads}
	switch {
	case o.SkipXattrs:
		scan.Xattr = func(string) bool { return false }
	case o.UserXattrs:
		scan.Xattr = func(name string) bool { return strings.HasPrefix(name, "user.") }
	}
	settle := func() error { return nil }
	if o.Store != nil {
		flusher, err := dir.NewFlusher(o.Store)
		if err != nil {
			return nil, err
		}
		defer flusher.Close()
		store, err := objects.Open(o.Store, objects.Options{Algorithm: o.Algorithm, Insecure: true})
		if err != nil {
			return nil, err
		}
		defer store.Close()
		scan.Object = func(f *os.File, size int64) (verity.Digest, error) { return store.Put(f, size) }
		settle = func() error { return store.Settle(flusher.Flush) }
	}
	t, err := dirtree.Read(ctx, d, scan)
	if err != nil {
		return nil, err
	}
	if err := settle(); err != nil {
		return nil, fmt.Errorf("flushing the objects: %w", err)
	}
	if o.Epoch {
		err = t.Walk(func(_ string, n *tree.Node) error { n.Mtime = tree.Time{}; return nil })
	}
	return t, err
}

// Version returns what the oldest and the newest version that may be written,
// 0 or 1, mean together: the newest only if the tree needs it.
func Version(oldest, newest int) (erofs.Version, error) {
	newest = max(oldest, newest)
	switch {
	case oldest < 0 || newest > 1:
		return 0, fmt.Errorf("versions %d to %d, there are 0 and 1", oldest, newest)
	case oldest == 1:
		return erofs.V1, nil
	case newest == 0:
		return erofs.V0, nil
	}
	return erofs.Auto, nil
}

// Write writes the image of a tree, to nowhere if w is nil, and returns its
// digest.
func Write(w io.Writer, t *tree.Tree, v erofs.Version, a verity.Algorithm) (verity.Digest, error) {
	h := verity.New(a)
	to := io.Writer(h)
	if w != nil {
		to = io.MultiWriter(w, h)
	}
	if err := erofs.Write(to, t, erofs.Options{Version: v}); err != nil {
		return verity.Digest{}, err
	}
	return h.Sum(), nil
}
