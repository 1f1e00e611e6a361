package layer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
)

const (
	whiteoutPrefix = ".wh."
	opaqueMarker   = ".wh..wh..opq"
)

// Apply puts a layer over the tree of the layers below it: first it hides what
// the layer's whiteouts name, then it adds the layer's entries in their order.
// After an error the tree is of no use.
//
// Source: OCI image specification, layer.md, "Applying Changesets".
func Apply(t *tree.Tree, l *Layer) error {
	for _, e := range l.Entries {
		hide(t, e)
	}
	for _, e := range l.Entries {
		if isWhiteout(e) {
			continue
		}
		if err := add(t, e); err != nil {
			return &EntryError{e.Path, err}
		}
	}
	return nil
}

func isWhiteout(e Entry) bool {
	_, base := split(e.Path)
	return strings.HasPrefix(base, whiteoutPrefix)
}

// hide removes what a whiteout names. A whiteout of nothing is ignored.
func hide(t *tree.Tree, e Entry) {
	dir, base := split(e.Path)
	name, ok := strings.CutPrefix(base, whiteoutPrefix)
	if !ok {
		return
	}
	parent := t.Lookup(dir)
	if parent == nil || !parent.IsDir() {
		return
	}
	if base == opaqueMarker {
		parent.RemoveChildren()
		return
	}
	parent.RemoveChild(name)
}

func add(t *tree.Tree, e Entry) error {
	if e.Path == "" {
		setStat(t.Root, e.Node)
		return nil
	}
	dir, base := split(e.Path)
	parent, err := makeParents(t, dir)
	if err != nil {
		return err
	}
	if e.IsLink {
		n, err := find(t, e.Linkname)
		if err != nil {
			return fmt.Errorf("hard link to %q: %w", e.Linkname, err)
		}
		parent.SetChild(base, n)
		return nil
	}
	if old := parent.Child(base); old != nil && old.IsDir() && e.Node.IsDir() {
		setStat(old, e.Node)
		return nil
	}
	parent.SetChild(base, e.Node)
	return nil
}

// setStat gives a directory other attributes; its entries stay.
func setStat(dir, n *tree.Node) {
	dir.Mode, dir.UID, dir.GID, dir.Mtime, dir.Xattrs = n.Mode, n.UID, n.GID, n.Mtime, n.Xattrs
}

// makeParents finds a directory. What is missing on the way is made: 0755,
// owned by root, of time 0.
func makeParents(t *tree.Tree, dir string) (*tree.Node, error) {
	n := t.Root
	for name := range strings.SplitSeq(dir, "/") {
		if name == "" {
			continue
		}
		c := n.Child(name)
		switch {
		case c == nil:
			c = &tree.Node{Mode: tree.TypeDir | 0o755}
			n.SetChild(name, c)
		case c.IsSymlink():
			return nil, fmt.Errorf("the path goes through the symbolic link %q", name)
		case !c.IsDir():
			return nil, fmt.Errorf("the path goes through %q, which is not a directory", name)
		}
		n = c
	}
	return n, nil
}

// find finds the target of a hard link.
func find(t *tree.Tree, path string) (*tree.Node, error) {
	n := t.Root
	for name := range strings.SplitSeq(path, "/") {
		if n.IsSymlink() || !n.IsDir() {
			return nil, errors.New("its path goes through something that is not a directory")
		}
		if n = n.Child(name); n == nil {
			return nil, errors.New("it does not exist")
		}
	}
	if n.IsDir() {
		return nil, errors.New("it is a directory")
	}
	return n, nil
}

func split(path string) (dir, base string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}
