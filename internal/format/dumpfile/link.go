package dumpfile

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// links are the hard link lines of a dump. A link may come before the line it
// refers to, and may refer to another link.
type links struct {
	all    []*link
	byNode map[*tree.Node]*link  // by the stand-in that holds the place of the name
	home   map[*tree.Node]string // the path of the line of a node that links lead to
}

type link struct {
	parent *tree.Node
	name   string
	path   string
	target string
	line   int
	busy   bool       // being resolved
	node   *tree.Node // what it leads to, once it is resolved
}

// addLink takes a hard link line. Only its path and its payload count; the
// other fields must have a form that some writer makes.
func (p *parser) addLink(parent *tree.Node, name string, mode []byte) error {
	path := string(p.path)
	m, err := parseMode(mode)
	if err != nil {
		return err
	}
	if m&tree.TypeMask == tree.TypeDir {
		return fmt.Errorf("%q: a directory cannot have a hard link", path)
	}
	for _, i := range []int{fieldSize, fieldNlink, fieldUID, fieldGID, fieldRdev} {
		if string(p.fields[i]) == none {
			continue
		}
		if _, err := parseNumber(p.fields[i], 64); err != nil {
			return fmt.Errorf("field %d: %w", i+1, err)
		}
	}
	if string(p.fields[fieldMtime]) != none {
		if _, err := parseTime(p.fields[fieldMtime]); err != nil {
			return err
		}
	}
	if _, err := parseXattrs(p.fields[fieldCount:]); err != nil {
		return err
	}
	o := &p.optional
	if err := o.parse(p.fields); err != nil {
		return err
	}
	target := string(o.payload)
	if !strings.HasPrefix(target, "/") {
		return fmt.Errorf("%q: hard link to %q, which is not an absolute path", path, target)
	}
	l := &link{parent: parent, name: name, path: path, target: target, line: p.number}
	standIn := &tree.Node{Mode: m}
	parent.SetChild(name, standIn)
	p.links.all = append(p.links.all, l)
	p.links.byNode[standIn] = l
	return nil
}

// resolve makes each link a name of the node it leads to.
func (ls *links) resolve(t *tree.Tree) error {
	for _, l := range ls.all {
		if err := ls.follow(t, l); err != nil {
			return fmt.Errorf("line %d: hard link %q: %w", l.line, l.path, err)
		}
	}
	for _, l := range ls.all {
		l.parent.SetChild(l.name, l.node)
		if before(l.path, ls.home[l.node]) {
			l.node.SetPrimary(ls.home[l.node])
		}
	}
	return nil
}

// follow finds what a link leads to. It walks a chain of links once and then
// tells all of them.
func (ls *links) follow(t *tree.Tree, l *link) error {
	var chain []*link
	for l.node == nil {
		if l.busy {
			return errors.New("it leads to itself")
		}
		l.busy = true
		chain = append(chain, l)
		n := lookup(t, l.target)
		if n == nil {
			return fmt.Errorf("its target %q is missing", l.target)
		}
		if next := ls.byNode[n]; next != nil {
			l = next
			continue
		}
		switch {
		case n.IsDir():
			return fmt.Errorf("its target %q is a directory", l.target)
		case n.IsWhiteout():
			return fmt.Errorf("its target %q is a whiteout", l.target)
		}
		l.node = n
		ls.home[n] = l.target
	}
	for _, c := range chain {
		c.node = l.node
	}
	return nil
}

// before reports whether a path comes before another when a tree is walked
// depth first: a slash sorts before all other bytes.
func before(a, b string) bool {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return a[i] == '/' || b[i] != '/' && a[i] < b[i]
		}
	}
	return cmp.Less(len(a), len(b))
}
