package dumpfile

import (
	"bufio"
	"fmt"
	"io"
	"path"
	"strconv"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// Write writes the dump of a tree: depth first, names in byte order. A node
// with several names is told at its first one, or at its primary name; the others
// are hard link lines.
func Write(w io.Writer, t *tree.Tree) error { return Options{}.Write(w, t) }

// Options say what a dump tells that a tree does not hold, for those who look
// at an image. The zero value is the form of [Write].
type Options struct {
	// Dir returns size and links of a directory; nil: 0, and what its entries
	// are.
	Dir func(dir *tree.Node) (size uint64, links uint32)
	// Xattrs returns the attributes of a node in the order in which they are
	// told; nil: by name.
	Xattrs func(n *tree.Node) []tree.Xattr
	// BareLinks makes the lines of hard links say nothing but that, as
	// composefs-rs writes them.
	BareLinks bool
}

// Write writes the dump of a tree.
func (o Options) Write(w io.Writer, t *tree.Tree) error {
	out := &writer{options: o, w: bufio.NewWriterSize(w, 1<<16), root: t.Root, first: map[*tree.Node]string{}}
	if err := out.walk("/", t.Root); err != nil {
		return err
	}
	return out.w.Flush()
}

type writer struct {
	options Options
	w       *bufio.Writer
	root    *tree.Node
	line    []byte
	first   map[*tree.Node]string // the path of the line of a node
}

func (w *writer) walk(at string, n *tree.Node) error {
	target := ""
	if !n.IsDir() && n.Linked() {
		target = w.target(at, n)
	}
	line, err := w.options.appendLine(w.line[:0], at, n, target)
	if err != nil {
		return fmt.Errorf("%q: %w", at, err)
	}
	w.line = line
	if _, err := w.w.Write(line); err != nil {
		return err
	}
	if !n.IsDir() {
		return nil
	}
	prefix := at
	if at != "/" {
		prefix += "/"
	}
	for name, c := range n.Entries() {
		if err := w.walk(prefix+name, c); err != nil {
			return err
		}
	}
	return nil
}

// target returns the path that a hard link line refers to, or nothing if the
// node's own line is due.
func (w *writer) target(at string, n *tree.Node) string {
	first, seen := w.first[n]
	if !seen {
		first = at
		if p := n.Primary(); p != "" && path.IsAbs(p) && path.Clean(p) == p {
			// A Primary that a change to the tree left behind does not count.
			if t := (tree.Tree{Root: w.root}); lookup(&t, p) == n {
				first = p
			}
		}
		w.first[n] = first
	}
	if first == at {
		return ""
	}
	return first
}

// appendLine appends the line of a node, or of a hard link if target is set.
func (o Options) appendLine(b []byte, at string, n *tree.Node, target string) ([]byte, error) {
	size, nlink, payload := uint64(0), n.Nlink, ""
	switch n.Type() {
	case tree.TypeDir:
		nlink = 2
		for _, c := range n.Entries() {
			if c.IsDir() {
				nlink++
			}
		}
		if o.Dir != nil {
			size, nlink = o.Dir(n)
		}
	case tree.TypeRegular:
		if n.Content != nil && uint64(len(n.Content)) != n.Size {
			return b, fmt.Errorf("content of %d bytes in a file of %d", len(n.Content), n.Size)
		}
		size, payload = n.Size, n.Payload
		if payload == "" {
			payload = n.Object.ObjectPath()
		}
		if payload == tree.NoPayload {
			payload = ""
		}
	case tree.TypeSymlink:
		size, payload = uint64(len(n.Target)), n.Target
	case tree.TypeChar, tree.TypeBlock, tree.TypeFifo, tree.TypeSocket:
		size = n.Size
	default:
		return b, fmt.Errorf("mode %o has no file type", n.Mode)
	}
	b = appendEscaped(b, at, false)
	if target != "" && o.BareLinks {
		b = append(b, " 0 @120000 - - - - 0.0 "...)
		b = appendEscaped(b, target, false)
		return append(b, " - -\n"...), nil
	}
	b = append(b, ' ')
	b = strconv.AppendUint(b, size, 10)
	b = append(b, ' ')
	if target != "" {
		b, payload = append(b, '@'), target
	}
	b = strconv.AppendUint(b, uint64(n.Mode), 8)
	for _, v := range []uint32{nlink, n.UID, n.GID, n.Rdev} {
		b = append(b, ' ')
		b = strconv.AppendUint(b, uint64(v), 10)
	}
	b = append(b, ' ')
	b = strconv.AppendInt(b, n.Mtime.Sec, 10)
	b = append(b, '.')
	b = strconv.AppendUint(b, uint64(n.Mtime.Nsec), 10)
	b = append(b, ' ')
	b = appendOptional(b, payload)
	b = append(b, ' ')
	b = appendOptional(b, string(n.Content))
	b = append(b, ' ')
	b = appendOptional(b, n.Object.String())
	start := len(b)
	xattrs := n.Xattrs
	if o.Xattrs != nil {
		xattrs = o.Xattrs(n)
	}
	for _, x := range xattrs {
		b = append(b, ' ')
		b = appendEscaped(b, x.Name, true)
		b = append(b, '=')
		b = appendEscaped(b, x.Value, true)
	}
	if text := len(b) - start; text > maxXattrText {
		return b, fmt.Errorf("extended attributes of %d bytes of text, at most %d are possible", text, maxXattrText)
	}
	return append(b, '\n'), nil
}
