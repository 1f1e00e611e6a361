// Package dirtree reads a directory, with all below it, into a tree: metadata,
// extended attributes, the content of small files, and of larger ones what the
// caller makes of them.
//
// It is for trees that nobody changes meanwhile: an entry that goes away or a
// file that has another length than its inode says is an error. It does not
// look at mounts, and does not know what the tree is for.
//
// Invariants:
//   - no symbolic link is followed, and nothing above the directory is reached;
//   - opening never waits and has no effect: only directories and regular files
//     are opened for reading;
//   - the tree does not depend on the order in which the kernel lists names.
//
// Source: inode(7), xattr(7), openat(2).
package dirtree

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// InlineMax is the size of the largest file whose content is in the tree, in
// bytes.
const InlineMax = layer.InlineMax

// An Object is called for each file of more than [InlineMax] bytes, open for
// reading at its start, and returns the digest of its content, of which there
// must be size bytes. It is called from several goroutines, and must not keep f.
type Object func(f *os.File, size int64) (verity.Digest, error)

// Options say what is read. The zero value lacks Object, which is needed.
type Options struct {
	Object Object
	// Xattr says which extended attributes are read, by name; nil means all
	// that the process may see.
	Xattr func(name string) bool
	// HardLinks makes the names of an inode names of one node. Without it each
	// name is a node of its own, with one link. Whiteouts always are.
	HardLinks bool
	// SkipDevices leaves out character and block devices.
	SkipDevices bool
	// Threads is how many files are read at the same time; 0 is one for each
	// processor.
	Threads int
}

// Read reads the directory root, which may be open with O_PATH. An error names
// the path below it.
func Read(ctx context.Context, root *os.File, o Options) (*tree.Tree, error) {
	if o.Threads <= 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(o.Threads)
	r := &reader{ctx: ctx, options: o, group: group, linked: map[inode]*tree.Node{}}
	t, err := r.root(root)
	if objectErr := group.Wait(); objectErr != nil {
		// The scan itself was stopped by it, or has nothing to say.
		return nil, objectErr
	}
	if err != nil {
		return nil, err
	}
	if o.HardLinks {
		t.CountLinks()
	}
	return t, nil
}

type reader struct {
	ctx     context.Context
	options Options
	group   *errgroup.Group // reads the files
	linked  map[inode]*tree.Node
	depth   int
}

// An inode is what tells whether two names are of the same file.
type inode struct{ device, number uint64 }

func (r *reader) root(root *os.File) (*tree.Tree, error) {
	f, err := reopen(int(root.Fd()), unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("opening the directory: %w", err)
	}
	defer f.Close()
	var st unix.Stat_t
	n, err := r.meta(int(f.Fd()), &st)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", "/", err)
	}
	return &tree.Tree{Root: n}, r.directory("", n, f)
}

// directory reads the entries of a directory and all below it.
func (r *reader) directory(path string, n *tree.Node, f *os.File) error {
	if r.depth++; r.depth > tree.MaxDepth {
		return fmt.Errorf("more than %d directories in each other", tree.MaxDepth)
	}
	defer func() { r.depth-- }()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("listing %q: %w", path+"/", err)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		below := path + "/" + name
		child, err := r.entry(below, int(f.Fd()), name)
		if err != nil {
			return err
		}
		if child != nil {
			n.SetChild(name, child)
		}
	}
	return nil
}

// entry reads one entry of a directory; nil if it is left out.
func (r *reader) entry(path string, parent int, name string) (*tree.Node, error) {
	fd, err := openat(parent, name)
	if err != nil {
		return nil, fmt.Errorf("opening %q: %w", path, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	n, err := r.meta(fd, &st)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", path, err)
	}
	if t := n.Type(); r.options.SkipDevices && (t == tree.TypeChar || t == tree.TypeBlock) {
		return nil, nil
	}
	if first := r.link(n, &st); first != nil {
		return first, nil
	}
	switch n.Type() {
	case tree.TypeDir:
		f, err := reopen(fd, unix.O_DIRECTORY)
		if err != nil {
			return nil, fmt.Errorf("opening %q: %w", path, err)
		}
		defer f.Close()
		return n, r.directory(path, n, f)
	case tree.TypeRegular:
		f, err := reopen(fd, 0)
		if err != nil {
			return nil, fmt.Errorf("opening %q: %w", path, err)
		}
		return n, r.file(path, n, f)
	}
	return n, nil
}

// link returns the node of another name of the inode, if there is one.
func (r *reader) link(n *tree.Node, st *unix.Stat_t) *tree.Node {
	if !r.options.HardLinks || st.Nlink < 2 || n.IsDir() || n.IsWhiteout() {
		return nil
	}
	key := inode{st.Dev, st.Ino}
	first := r.linked[key]
	if first == nil {
		r.linked[key] = n
	}
	return first
}
