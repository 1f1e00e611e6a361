package tree

import (
	"iter"
	"slices"
	"strings"
)

// maxRun bounds how many entries are moved to make room for one.
const maxRun = 512

// children are the entries of a directory: runs of at most maxRun entries,
// none empty, the names ascending through all of them. So a directory that is
// filled in order, as most are, is one slice or a few full ones, and one that is
// not costs no more than the moving of a run for each name.
type children struct {
	runs  [][]entry
	count int
}

type entry struct {
	name string
	node *Node
}

// find returns where a name is, or else where it would have to be put.
func (c *children) find(name string) (run, at int, ok bool) {
	if c == nil || len(c.runs) == 0 {
		return 0, 0, false
	}
	run = len(c.runs) - 1
	last := c.runs[run]
	if last[len(last)-1].name < name {
		return run, len(last), false
	}
	run, _ = slices.BinarySearchFunc(c.runs, name, func(r []entry, name string) int {
		return strings.Compare(r[len(r)-1].name, name)
	})
	at, ok = slices.BinarySearchFunc(c.runs[run], name, func(e entry, name string) int {
		return strings.Compare(e.name, name)
	})
	return run, at, ok
}

// insert puts an entry where find has found no name.
func (c *children) insert(run, at int, e entry) {
	c.count++
	switch {
	case len(c.runs) == 0:
		c.runs = [][]entry{{e}}
		return
	case len(c.runs[run]) < maxRun:
	case run == len(c.runs)-1 && at == maxRun:
		c.runs = append(c.runs, []entry{e})
		return
	default:
		const half = maxRun / 2
		full := c.runs[run]
		c.runs = slices.Insert(c.runs, run+1, append(make([]entry, 0, maxRun), full[half:]...))
		clear(full[half:])
		c.runs[run] = full[:half]
		if at > half {
			run, at = run+1, at-half
		}
	}
	c.runs[run] = slices.Insert(c.runs[run], at, e)
}

func (c *children) remove(run, at int) {
	c.count--
	c.runs[run] = slices.Delete(c.runs[run], at, at+1)
	if len(c.runs[run]) == 0 {
		c.runs = slices.Delete(c.runs, run, run+1)
	}
}

// Child returns the entry of a directory, nil if there is none.
func (n *Node) Child(name string) *Node {
	run, at, ok := n.children.find(name)
	if !ok {
		return nil
	}
	return n.children.runs[run][at].node
}

// SetChild makes name an entry of the directory n, replacing another.
func (n *Node) SetChild(name string, c *Node) {
	if n.children == nil {
		n.children = &children{}
	}
	c.names++
	run, at, ok := n.children.find(name)
	if ok {
		e := &n.children.runs[run][at]
		e.node.names--
		e.node = c
		return
	}
	n.children.insert(run, at, entry{name, c})
}

// RemoveChild removes the entry name, if it is there.
func (n *Node) RemoveChild(name string) {
	run, at, ok := n.children.find(name)
	if !ok {
		return
	}
	n.children.runs[run][at].node.names--
	n.children.remove(run, at)
}

// RemoveChildren empties the directory. A copy of n that was made before keeps
// the entries.
func (n *Node) RemoveChildren() { n.children = nil }

// Len returns the number of entries of a directory.
func (n *Node) Len() int {
	if n.children == nil {
		return 0
	}
	return n.children.count
}

// Names returns the names in a directory, sorted by bytes.
func (n *Node) Names() []string {
	names := make([]string, 0, n.Len())
	for name := range n.Entries() {
		names = append(names, name)
	}
	return names
}

// Entries goes through the entries of a directory, names in byte order. None
// may be set or removed meanwhile.
func (n *Node) Entries() iter.Seq2[string, *Node] {
	return func(yield func(string, *Node) bool) {
		if n.children == nil {
			return
		}
		for _, run := range n.children.runs {
			for _, e := range run {
				if !yield(e.name, e.node) {
					return
				}
			}
		}
	}
}

// Linked reports whether n may have several names. If not, it has one at most;
// if so, some of them may be gone.
func (n *Node) Linked() bool { return n.names > 1 }
