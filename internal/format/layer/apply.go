package layer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
)

const (
	whiteoutPrefix = ".wh."
	opaqueMarker   = ".wh..wh..opq"
)

// Apply puts a layer over the tree of the layers below it: first it hides what
// the layer's whiteouts name, then it adds the layer's entries in their order.
// A layer may be applied several times, as it is when an image has it twice.
// After an error the tree is of no use; the error is an [*EntryError].
//
// Source: OCI image specification, layer.md, "Applying Changesets".
func Apply(t *tree.Tree, l *Layer) error {
	hidden := hide(t, l.Entries)
	a := applier{t: t, copies: l.applied, spare: Limits{}.withDefaults().Entries}
	l.applied = true
	for i, e := range l.Entries {
		if err := a.apply(e, hidden[i]); err != nil {
			return &EntryError{e.Path, err}
		}
	}
	return nil
}

// hide removes from the lower layers what the whiteouts name. A whiteout of
// nothing is ignored. It returns the targets of the hard links that come before
// the last whiteout, by the number of the entry: a layer may link to a file and
// then hide it.
func hide(t *tree.Tree, entries []Entry) map[int]*tree.Node {
	last := -1
	for i, e := range entries {
		if e.isWhiteout() {
			last = i
		}
	}
	targets := map[int]*tree.Node{}
	for i, e := range entries[:last+1] {
		switch {
		case e.isWhiteout():
			hideOne(t, e.Path)
		case e.Link != nil:
			if n, err := find(t, *e.Link); err == nil {
				targets[i] = n
			}
		}
	}
	return targets
}

func (e Entry) isWhiteout() bool {
	_, base := split(e.Path)
	return strings.HasPrefix(base, whiteoutPrefix)
}

func hideOne(t *tree.Tree, path string) {
	dir, base := split(path)
	parent := t.Lookup(dir)
	switch {
	case parent == nil || !parent.IsDir():
	case base == opaqueMarker:
		parent.RemoveChildren()
	default:
		parent.RemoveChild(strings.TrimPrefix(base, whiteoutPrefix))
	}
}

type applier struct {
	t      *tree.Tree
	copies bool // the nodes of files are copied: they are in a tree already
	spare  int  // directories that may still be made without an entry
}

// apply adds one entry. hidden is the target of a hard link if it was in a
// lower layer.
func (a *applier) apply(e Entry, hidden *tree.Node) error {
	if e.Path == "" {
		setStat(a.t.Root, e.Node)
		return nil
	}
	dir, base := split(e.Path)
	if e.isWhiteout() {
		_, err := a.walk(dir, false)
		return err
	}
	n := e.Node
	if e.Link != nil {
		var err error
		if n, err = find(a.t, *e.Link); errors.Is(err, errMissing) && hidden != nil {
			n, err = hidden, nil
		}
		if err != nil {
			return fmt.Errorf("hard link to %s, which %w", quote(*e.Link), err)
		}
	}
	parent, err := a.walk(dir, true)
	if err != nil {
		return err
	}
	if old := parent.Child(base); old != nil && old.IsDir() && n.IsDir() {
		setStat(old, n)
		return nil
	}
	if n.IsDir() || a.copies && e.Link == nil {
		c := *n
		c.Xattrs = slices.Clone(n.Xattrs)
		n = &c
	}
	parent.SetChild(base, n)
	return nil
}

// setStat gives a directory other attributes; its entries stay.
func setStat(dir, n *tree.Node) {
	dir.Mode, dir.UID, dir.GID, dir.Mtime, dir.Xattrs = n.Mode, n.UID, n.GID, n.Mtime, n.Xattrs
}

// walk finds a directory. What is missing on the way is made, with mode 0755,
// owned by root, of time 0; without makeMissing the result is nil then.
func (a *applier) walk(dir string, makeMissing bool) (*tree.Node, error) {
	n := a.t.Root
	if dir == "" {
		return n, nil
	}
	for name := range strings.SplitSeq(dir, "/") {
		c := n.Child(name)
		switch {
		case c == nil && !makeMissing:
			return nil, nil
		case c == nil && strings.HasPrefix(name, whiteoutPrefix):
			return nil, fmt.Errorf("the path goes through %q; such names are for whiteouts", name)
		case c == nil:
			if a.spare--; a.spare < 0 {
				return nil, errors.New("too many directories have no entry in the layer")
			}
			c = &tree.Node{Mode: tree.TypeDir | 0o755}
			n.SetChild(name, c)
		case c.IsSymlink():
			return nil, fmt.Errorf("the path goes through %q, a symbolic link to %s", name, quote(c.Target))
		case !c.IsDir():
			return nil, fmt.Errorf("the path goes through %q, which is not a directory", name)
		}
		n = c
	}
	return n, nil
}

var errMissing = errors.New("does not exist")

// find finds the target of a hard link.
func find(t *tree.Tree, path string) (*tree.Node, error) {
	n := t.Root
	if path == "" {
		return nil, errors.New("is the root directory")
	}
	for name := range strings.SplitSeq(path, "/") {
		if n.IsSymlink() {
			return nil, errors.New("goes through a symbolic link")
		}
		if !n.IsDir() {
			return nil, errors.New("goes through something that is not a directory")
		}
		if n = n.Child(name); n == nil {
			return nil, errMissing
		}
	}
	if n.IsDir() {
		return nil, errors.New("is a directory")
	}
	return n, nil
}

func split(path string) (dir, base string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}
