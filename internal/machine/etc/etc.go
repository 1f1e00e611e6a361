// Package etc merges /etc three ways: the /etc of the image that runs
// (pristine), the /etc of the machine (current) and the /etc of the next image
// (next) become the /etc of the next deployment.
//
// [Merge] works on trees in memory and only decides; [Plan.Apply] then changes
// a directory that holds the next image's /etc. [Scan] reads a live /etc into
// such a tree, [Materialize] writes a tree of an image to disk, [Diff] and
// [DiffNext] tell what was changed on a machine. Package deploy decides where
// the directories are and how they replace each other.
//
// The rules, for each path with its whole subtree:
//
//  1. current equals pristine: the version of next, whatever it is.
//  2. Gone from current: gone from the result; special files of next stay.
//  3. Next equals pristine: the version of current, whatever it is.
//  4. Gone from next: the version of current; of a directory only what was
//     added or changed on the machine, with the directories that lead to it.
//  5. A directory in current and next: its metadata from next if the machine
//     did not change it, else mode and owner from current and the extended
//     attributes merged name by name; its entries one by one.
//  6. No directory in either: the version of current.
//  7. A directory in current from which the machine only removed, no directory
//     in next: the version of next.
//  8. A directory against anything else: a conflict.
//
// Compared are type, mode, owner, extended attributes, content and link text;
// not times, hard links and inode flags. The machine's special files (fifos,
// sockets, devices) count as absent and are not carried. What is mounted below
// /etc is neither looked at nor entered; the merge sees what lies under it.
//
// Invariants:
//   - the same code finds the conflicts when an update is staged and when it is
//     finalized, and all of them are listed;
//   - a plan with conflicts cannot be applied;
//   - symbolic links are never followed, names are bytes, everything is reached
//     through directory handles.
package etc

import (
	"fmt"
	"maps"
	"slices"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// A Conflict is a path whose versions cannot be merged.
type Conflict struct {
	Path   string // relative to /etc, any bytes
	Reason string // what is there now and in the next image, for people
}

// String gives one line: the quoted path and the reason.
func (c Conflict) String() string { return Quote(c.Path) + ": " + c.Reason }

// Merge decides what becomes of every path. It changes none of the trees; the
// plan refers to them. Conflicts are sorted by path, depth first; a plan with
// conflicts can be printed but not applied.
func Merge(pristine, current, next *tree.Tree) (*Plan, []Conflict) {
	m := merger{}
	root := m.directory("", pristine.Root, current.Root, next.Root)
	return &Plan{next: next, root: root, conflicts: m.conflicts}, slices.Clone(m.conflicts)
}

type merger struct{ conflicts []Conflict }

// entry merges one name. A nil node is an absent one; a nil result leaves the
// version of next.
func (m *merger) entry(path string, p, c, n *tree.Node) *edit {
	if isCovered(c) {
		return nil
	}
	image := p // with its special files
	p, c = ordinary(p), ordinary(c)
	switch {
	case p == nil && c == nil, p != nil && c != nil && unchanged(p, c):
		return nil
	case c == nil:
		if n == nil || ordinary(n) == nil {
			return nil
		}
		return &edit{act: remove}
	case n == nil:
		return carryChanges(p, c)
	case c.IsDir() && n.IsDir():
		return m.directory(path, p, c, n)
	case !c.IsDir() && !n.IsDir(), image != nil && equal(image, n):
		return carry(c)
	case p != nil && p.IsDir() && c.IsDir() && carryChanges(p, c) == nil:
		return nil
	}
	m.conflicts = append(m.conflicts, Conflict{path, reason(p, c, n)})
	return nil
}

// directory merges a directory of current with one of next; p may be anything.
func (m *merger) directory(path string, p, c, n *tree.Node) *edit {
	e := &edit{act: enter}
	names := map[string]bool{}
	for _, d := range []*tree.Node{c, n} {
		for _, name := range d.Names() {
			names[name] = true
		}
	}
	var old *tree.Node
	if p != nil && p.IsDir() {
		old = p
		for _, name := range p.Names() {
			names[name] = true
		}
	}
	if old == nil || !sameMeta(old, c) {
		e.meta = mergeMeta(old, c, n)
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		below := name
		if path != "" {
			below = path + "/" + name
		}
		var oldChild *tree.Node
		if old != nil {
			oldChild = old.Child(name)
		}
		if child := m.entry(below, oldChild, c.Child(name), n.Child(name)); child != nil {
			e.set(name, child)
		}
	}
	if e.meta == nil && len(e.children) == 0 {
		return nil
	}
	return e
}

// mergeMeta gives a directory the mode and owner of c. An extended attribute
// that the machine set, changed or removed (against p, which may be nil) is as
// in c, another one as in n.
func mergeMeta(p, c, n *tree.Node) *tree.Node {
	merged := metaOf(c)
	merged.Xattrs = slices.Clone(n.Xattrs)
	if p == nil {
		p = &tree.Node{}
	}
	for _, x := range c.Xattrs {
		if v, ok := p.Xattr(x.Name); !ok || v != x.Value {
			merged.SetXattr(x.Name, x.Value)
		}
	}
	for _, x := range p.Xattrs {
		if _, ok := c.Xattr(x.Name); !ok {
			merged.RemoveXattr(x.Name)
		}
	}
	return merged
}

// metaOf copies what a directory is apart from its entries.
func metaOf(n *tree.Node) *tree.Node {
	return &tree.Node{Mode: n.Mode, UID: n.UID, GID: n.GID, Mtime: n.Mtime, Xattrs: slices.Clone(n.Xattrs)}
}

// carry takes the whole of c, special files and what is mounted over excepted.
func carry(c *tree.Node) *edit {
	if !c.IsDir() {
		return &edit{act: copyLeaf, from: c}
	}
	e := &edit{act: makeDir, from: c}
	for _, name := range c.Names() {
		if child := ordinary(c.Child(name)); child != nil {
			e.set(name, carry(child))
		}
	}
	return e
}

// carryChanges takes of c what was added or changed since p, with the
// directories that lead there; nil if there is nothing.
func carryChanges(p, c *tree.Node) *edit {
	if p == nil || p.Type() != c.Type() {
		return carry(c)
	}
	if !c.IsDir() {
		if sameMeta(p, c) && sameContent(p, c) {
			return nil
		}
		return carry(c)
	}
	e := &edit{act: makeDir, from: c}
	for _, name := range c.Names() {
		child := ordinary(c.Child(name))
		if child == nil {
			continue
		}
		if change := carryChanges(ordinary(p.Child(name)), child); change != nil {
			e.set(name, change)
		}
	}
	if sameMeta(p, c) && len(e.children) == 0 {
		return nil
	}
	return e
}

func reason(p, c, n *tree.Node) string {
	did := "added on this machine"
	if p != nil {
		did = "changed on this machine"
	}
	if c.IsDir() {
		return fmt.Sprintf("it is a directory, %s, and the new image has %s there", did, kind(n))
	}
	return fmt.Sprintf("it is %s, %s, and the new image has a directory there", kind(c), did)
}

func kind(n *tree.Node) string {
	switch n.Type() {
	case tree.TypeDir:
		return "a directory"
	case tree.TypeRegular:
		return "a file"
	case tree.TypeSymlink:
		return "a symbolic link"
	case tree.TypeFifo:
		return "a fifo"
	case tree.TypeSocket:
		return "a socket"
	}
	return "a device"
}
