package fat

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
)

const maxSlots = 65536

// A node is a file or a directory.
type node struct {
	name    string // without its directory
	short   shortName
	file    *File // nil of a directory
	parent  *node
	entries []*node // of a directory
	fixed   int     // slots before those of the entries
	size    int64   // bytes that are stored; set by prepare, as is short
	first   uint32  // cluster; 0 of an empty file
	count   uint32  // clusters
}

// newTree makes directories of a list of paths.
func newTree(files []File) (*node, error) {
	// Sorted, so that of several errors the same one is told.
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	root := &node{}
	known := map[string]*node{} // by folded path
	for i := range files {
		if err := add(root, known, &files[i]); err != nil {
			return nil, err
		}
	}
	return root, nil
}

func add(root *node, known map[string]*node, f *File) error {
	path, isDir := strings.CutSuffix(f.Name, "/")
	switch {
	case f.Size < 0 || f.Size > math.MaxUint32:
		return fmt.Errorf("file %q has %d bytes, at most %d", f.Name, f.Size, uint32(math.MaxUint32))
	case isDir && (f.Size != 0 || f.Open != nil):
		return fmt.Errorf("directory %q has contents", f.Name)
	case f.Size > 0 && f.Open == nil:
		return fmt.Errorf("file %q has %d bytes, and nothing to read them from", f.Name, f.Size)
	}
	dir, key := root, ""
	elements := strings.Split(path, "/")
	for i, name := range elements {
		if err := checkName(name); err != nil {
			return fmt.Errorf("name %q: %w", f.Name, err)
		}
		n := &node{name: name, parent: dir, fixed: 2}
		if i == len(elements)-1 && !isDir {
			n.file = f
		}
		key += "/" + fold(name)
		switch old := known[key]; {
		case old == nil:
			known[key] = n
			dir.entries = append(dir.entries, n)
		case old.name != name:
			return fmt.Errorf("names %q and %q differ only in case", old.path(), n.path())
		case (old.file == nil) != (n.file == nil):
			return fmt.Errorf("%q is both a file and a directory", n.path())
		case n.file != nil:
			return fmt.Errorf("file %q is given twice", n.path())
		default:
			n = old
		}
		dir = n
	}
	return nil
}

// fold makes equal what readers may take for one name.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, name)
}

// prepare sorts the directories, gives short names and measures.
func (n *node) prepare() error {
	if n.file != nil {
		n.size = n.file.Size
		return nil
	}
	slices.SortFunc(n.entries, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	shorten(n.entries)
	slots := n.fixed
	for _, e := range n.entries {
		if err := e.prepare(); err != nil {
			return err
		}
		slots += e.slots()
	}
	if slots > maxSlots {
		return fmt.Errorf("directory %q takes %d entries of %d bytes, at most %d", n.path(), slots, slotSize, maxSlots)
	}
	// The top has a cluster even if it has nothing in it.
	n.size = int64(max(slots, 1)) * slotSize
	return nil
}

// walk visits a directory before what is in it.
func (n *node) walk(visit func(*node)) {
	visit(n)
	for _, e := range n.entries {
		e.walk(visit)
	}
}

func (n *node) path() string {
	if n.parent == nil {
		return ""
	}
	return strings.TrimPrefix(n.parent.path()+"/"+n.name, "/")
}
