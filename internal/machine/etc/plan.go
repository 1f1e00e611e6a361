package etc

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// A Plan is a merge that has been decided: what has to be done to the /etc of
// the next image.
type Plan struct {
	next      *tree.Tree
	root      *edit // enter, or nil
	conflicts []Conflict
}

type action int

const (
	remove   action = iota // the entry goes, with all below it
	copyLeaf               // a file or symbolic link of the machine takes the name
	makeDir                // a directory like the machine's takes the name, empty but for children
	enter                  // the directory stays; metadata and entries may change
)

// An edit says what becomes of one entry of next. No edit: it stays.
type edit struct {
	act      action
	from     *tree.Node // of copyLeaf and makeDir: the machine's node
	meta     *tree.Node // of enter: the new metadata, nil to keep it
	children map[string]*edit
}

func (e *edit) set(name string, child *edit) {
	if e.children == nil {
		e.children = map[string]*edit{}
	}
	e.children[name] = child
}

func (e *edit) names() []string { return slices.Sorted(maps.Keys(e.children)) }

// Conflicts returns the conflicts that keep the plan from being applied.
func (p *Plan) Conflicts() []Conflict { return slices.Clone(p.conflicts) }

// Empty reports whether the next image's /etc stays as it is.
func (p *Plan) Empty() bool { return p.root == nil }

// String lists what the plan does, one line an entry, and then the conflicts.
func (p *Plan) String() string {
	var b strings.Builder
	if p.root != nil {
		p.root.print(&b, "")
	}
	for _, c := range p.conflicts {
		fmt.Fprintf(&b, "conflict %v\n", c)
	}
	return b.String()
}

func (e *edit) print(b *strings.Builder, path string) {
	switch {
	case e.act == remove:
		fmt.Fprintf(b, "remove %s\n", Quote(path))
	case e.act == copyLeaf:
		fmt.Fprintf(b, "carry %s\n", Quote(path))
	case e.act == makeDir:
		fmt.Fprintf(b, "carry directory %s\n", Quote(path))
	case e.meta != nil && path == "":
		b.WriteString("carry metadata of the top directory\n")
	case e.meta != nil:
		fmt.Fprintf(b, "carry metadata of %s\n", Quote(path))
	}
	for _, name := range e.names() {
		below := name
		if path != "" {
			below = path + "/" + name
		}
		e.children[name].print(b, below)
	}
}

// Result is the merged tree. It shares nodes with the trees that were merged;
// where there is a conflict, it has the version of next.
func (p *Plan) Result() *tree.Tree {
	if p.root == nil {
		return p.next
	}
	return &tree.Tree{Root: p.root.result(p.next.Root)}
}

func (e *edit) result(n *tree.Node) *tree.Node {
	var r *tree.Node
	switch e.act {
	case remove:
		return nil
	case copyLeaf:
		return e.from
	case makeDir:
		r = metaOf(e.from)
	case enter:
		r = metaOf(n)
		if e.meta != nil {
			r = metaOf(e.meta)
		}
		for _, name := range n.Names() {
			r.SetChild(name, n.Child(name))
		}
	}
	for name, child := range e.children {
		if c := child.result(r.Child(name)); c != nil {
			r.SetChild(name, c)
		} else {
			r.RemoveChild(name)
		}
	}
	return r
}
