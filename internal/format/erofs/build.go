package erofs

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// A builder holds the inodes of an image in their order on disk. What can be
// computed from a node is computed each time it is needed, so that an inode
// takes few bytes.
type builder struct {
	version   uint32
	inodes    []inode
	links     map[*tree.Node]*link // what may have several names
	stub      *tree.Node           // what hides an object directory
	stubs     []string             // under these names
	whiteouts bool
	hasACL    bool
	min       tree.Time // build_time of the super block
	share     sharing
	scratch   []attr // of one inode
	heads     []byte // of the entries in a block of a directory
	names     []byte

	inodesEnd int64
	dataStart int64
	blocks    int64
}

// An inode is a node that is stored. There may be millions of them.
type inode struct {
	node   *tree.Node
	parent uint32 // the inode of a directory that it has a name in
	// first is the inode of the first entry that a directory brings, those of
	// the others follow. Version 2 does not have them in this order.
	first uint32
	nid   uint32
	// What is not to be seen from the node.
	whiteouts bool // a directory with a whiteout
	blocks    bool // has data blocks
}

// A link is a node that may have several names. It is stored at its home.
type link struct {
	dir   *tree.Node
	name  string
	names uint32
	inode uint32
}

// legacy reports whether the image is of version 2.
func (b *builder) legacy() bool { return b.version == 2 }

// collect makes the inodes of a tree, with the stubs that hide the object
// directories, and brings them into their order: breadth first.
func (b *builder) collect(t *tree.Tree, v Version) error {
	c := &collector{links: map[*tree.Node]*link{}}
	if err := c.directory(t.Root); err != nil {
		return err
	}
	b.links, b.whiteouts = c.links, c.whiteouts
	switch {
	case v == V2:
		b.version = 2
	case v == V1 || v == Auto && c.whiteouts:
		b.version = 1
	}
	if !b.legacy() {
		b.makeStubs(t.Root)
	}
	if uint64(c.count)+uint64(len(b.stubs)) > math.MaxUint32 {
		return fmt.Errorf("%d inodes, at most %d are possible", c.count, uint32(math.MaxUint32))
	}
	b.inodes = make([]inode, 1, c.count+len(b.stubs))
	b.inodes[0].node = t.Root
	if b.legacy() {
		b.depthFirst(0)
	} else {
		b.breadthFirst()
	}
	b.min = t.Root.Mtime
	for i := range b.inodes {
		in := &b.inodes[i]
		if in.node.Mtime.Compare(b.min) < 0 {
			b.min = in.node.Mtime
		}
		if err := b.check(in); err != nil {
			return b.wrap(i, err)
		}
	}
	return nil
}

// breadthFirst orders the inodes: a directory's entries by name, then those of
// each directory in it.
func (b *builder) breadthFirst() {
	for i := 0; i < len(b.inodes); i++ {
		dir := b.inodes[i].node
		if !dir.IsDir() {
			continue
		}
		b.inodes[i].first = uint32(len(b.inodes))
		b.entries(i, func(name string, n *tree.Node, _ int) {
			if n == nil || n.Linked() && !n.IsDir() && n != b.stub && !b.atHome(dir, name, n) {
				return
			}
			b.inodes[i].whiteouts = b.inodes[i].whiteouts || n.IsWhiteout() && n != b.stub
			b.inodes = append(b.inodes, inode{node: n, parent: uint32(i)})
		})
	}
}

// atHome takes note of a node that may have several names, and reports whether
// this one is where it is stored.
func (b *builder) atHome(dir *tree.Node, name string, n *tree.Node) bool {
	l := b.links[n]
	if l.dir != dir || l.name != name {
		return false
	}
	l.inode = uint32(len(b.inodes))
	return true
}

// entries calls f for each entry of a directory, in byte order, with its node
// and its inode. For "." and ".." there is no node. The inodes of entries are
// right as soon as all are in their order.
func (b *builder) entries(i int, f func(name string, n *tree.Node, inode int)) {
	in := b.inodes[i]
	next := int(in.first)
	dots := []string{".", ".."}
	var stubs []string
	if i == 0 {
		stubs = b.stubs
	}
	// before brings what is not in the tree up to a name.
	before := func(name string, all bool) {
		for len(dots) > 0 && (all || dots[0] < name) {
			at := i
			if dots[0] == ".." {
				at = int(in.parent)
			}
			f(dots[0], nil, at)
			dots = dots[1:]
		}
		for len(stubs) > 0 && (all || stubs[0] < name) {
			f(stubs[0], b.stub, next)
			stubs = stubs[1:]
			next++
		}
	}
	for name, n := range in.node.Entries() {
		before(name, false)
		switch l := b.link(n); {
		case l == nil:
			f(name, n, next)
			next++
		case l.dir == in.node && l.name == name && !b.legacy():
			f(name, n, next)
			next++
		default:
			f(name, n, int(l.inode))
		}
	}
	before("", true)
}

// link returns what is known of a node with several names. In version 2, all
// nodes are treated so.
func (b *builder) link(n *tree.Node) *link {
	if !b.legacy() && (n.IsDir() || !n.Linked()) {
		return nil
	}
	return b.links[n]
}

// makeStubs makes the whiteout that hides object directories, for each that the
// root does not have.
func (b *builder) makeStubs(root *tree.Node) {
	b.stub = &tree.Node{Mode: tree.TypeChar | 0o644, UID: root.UID, GID: root.GID, Mtime: root.Mtime, Nlink: 1}
	if label, ok := root.Xattr(labelName); ok {
		b.stub.Xattrs = []tree.Xattr{{Name: labelName, Value: label}}
	}
	for i := range 256 {
		if name := fmt.Sprintf("%02x", i); root.Child(name) == nil {
			b.stubs = append(b.stubs, name)
		}
	}
}

// A collector walks a tree depth first, checks it, and finds what has several
// names.
type collector struct {
	links     map[*tree.Node]*link
	names     []string // the path of the directory that is being walked
	count     int
	whiteouts bool
}

// directory looks at a directory and all below it. Of several names of a node,
// its home is its primary name, else the first.
func (c *collector) directory(dir *tree.Node) error {
	if !dir.IsDir() {
		return errors.New("the root is not a directory")
	}
	if len(c.names) >= tree.MaxDepth {
		return fmt.Errorf("more than %d directories in each other", tree.MaxDepth)
	}
	c.count++
	for name, n := range dir.Entries() {
		if err := tree.CheckName(name); err != nil {
			return c.wrap(err)
		}
		switch {
		case n.IsDir():
			c.names = append(c.names, name)
			if err := c.directory(n); err != nil {
				return err
			}
			c.names = c.names[:len(c.names)-1]
		case n.Linked():
			if err := c.link(dir, name, n); err != nil {
				return c.wrap(err)
			}
		default:
			c.count++
			c.whiteouts = c.whiteouts || n.IsWhiteout()
		}
	}
	return nil
}

func (c *collector) link(dir *tree.Node, name string, n *tree.Node) error {
	l := c.links[n]
	switch {
	case l == nil:
		c.count++
		c.whiteouts = c.whiteouts || n.IsWhiteout()
		l = &link{dir: dir, name: name}
		c.links[n] = l
	case n.IsWhiteout():
		return fmt.Errorf("whiteout %q with several names", name)
	case n.Primary() != "" && n.Primary() == "/"+strings.Join(append(c.names, name), "/"):
		l.dir, l.name = dir, name
	}
	l.names++
	return nil
}

func (c *collector) wrap(err error) error {
	return fmt.Errorf("directory %q: %w", "/"+strings.Join(c.names, "/"), err)
}

// wrap adds to an error which inode it is about.
func (b *builder) wrap(i int, err error) error {
	name := ""
	b.entries(int(b.inodes[i].parent), func(entry string, n *tree.Node, at int) {
		if at == i && n != nil {
			name = entry
		}
	})
	if i == 0 {
		name = "/"
	}
	return fmt.Errorf("%q: %w", name, err)
}
