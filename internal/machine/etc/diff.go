package etc

import (
	"slices"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// A Kind says what happened to a path.
type Kind string

// The kinds, as they are printed.
const (
	Added    Kind = "Added"
	Modified Kind = "Modified"
	Removed  Kind = "Removed"
)

// A Change is a path that differs between the image and the machine.
type Change struct {
	Kind Kind
	Path string // relative to /etc, any bytes
}

// String gives one line: the kind and the quoted path.
func (c Change) String() string { return string(c.Kind) + " " + Quote(c.Path) }

// Diff tells what was added, modified and removed on a machine, in this order,
// each depth first with names in byte order. Nothing is said of special files
// and of the top directory itself. A directory that was added is followed by
// all that is in it; one that was removed stands alone; one that became a file,
// or a file that became a directory, is modified.
func Diff(pristine, current *tree.Tree) []Change {
	return DiffNext(pristine, current, pristine)
}

// DiffNext is [Diff] in view of a next image: a directory of both that next
// does not have, and in which something was added or modified, is listed too,
// because a merge has to make it again.
func DiffNext(pristine, current, next *tree.Tree) []Change {
	var d differ
	d.dir("", pristine.Root, current.Root, next.Root)
	d.removals("", pristine.Root, current.Root)
	var all []Change
	for _, list := range []struct {
		kind  Kind
		paths []string
	}{{Added, d.added}, {Modified, d.modified}, {Removed, d.removed}} {
		for _, p := range list.paths {
			all = append(all, Change{list.kind, p})
		}
	}
	return all
}

type differ struct{ added, modified, removed []string }

// dir compares two directories; next is nil where the next image has none.
func (d *differ) dir(prefix string, p, c, next *tree.Node) {
	for _, name := range c.Names() {
		path := prefix + name
		old, now := ordinary(p.Child(name)), ordinary(c.Child(name))
		switch {
		case now == nil:
		case old == nil:
			d.addAll(path, now)
		case old.IsDir() && now.IsDir():
			d.both(path, old, now, nextDir(next, name))
		case !sameMeta(old, now) || !sameContent(old, now):
			d.modified = append(d.modified, path)
		}
	}
}

func (d *differ) both(path string, p, c, next *tree.Node) {
	own := !sameMeta(p, c)
	if own {
		d.modified = append(d.modified, path)
	}
	added, modified := len(d.added), len(d.modified)
	d.dir(path+"/", p, c, next)
	switch {
	case next != nil:
	case len(d.added) > added:
		d.added = slices.Insert(d.added, added, path)
	case len(d.modified) > modified && !own:
		d.modified = slices.Insert(d.modified, modified, path)
	}
}

func (d *differ) addAll(path string, c *tree.Node) {
	d.added = append(d.added, path)
	for _, name := range c.Names() {
		if child := ordinary(c.Child(name)); child != nil {
			d.addAll(path+"/"+name, child)
		}
	}
}

func (d *differ) removals(prefix string, p, c *tree.Node) {
	for _, name := range p.Names() {
		old, now := ordinary(p.Child(name)), ordinary(c.Child(name))
		switch {
		case old == nil || isCovered(c.Child(name)):
		case now == nil:
			d.removed = append(d.removed, prefix+name)
		case old.IsDir() && now.IsDir():
			d.removals(prefix+name+"/", old, now)
		}
	}
}

func nextDir(next *tree.Node, name string) *tree.Node {
	if next == nil {
		return nil
	}
	if n := next.Child(name); n != nil && n.IsDir() {
		return n
	}
	return nil
}
