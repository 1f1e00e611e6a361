package erofs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// A builder holds the inodes of an image in their order on disk.
type builder struct {
	version     uint32
	inodes      []*inode
	hasACL      bool
	min         tree.Time // build_time of the super block
	sharedTable []tree.Xattr
	sharedAt    map[tree.Xattr]int // offset in the table
	inodesEnd   int64
	dataStart   int64
	blocks      int64
}

// An inode is a node as it is stored.
type inode struct {
	node    *tree.Node
	mode    uint32 // differs from node's for a whiteout
	ino     uint32
	nlink   uint32
	xattrs  []tree.Xattr // rewritten, sorted by name
	dirents []dirent     // of a directory, sorted, with . and ..

	stub      bool // hides an object directory
	whiteouts bool // a directory with a whiteout

	// The name under which a node that is no directory is stored.
	homeDir  *inode
	homeName string

	shared   []uint32 // offsets in the shared table
	unshared []tree.Xattr
	xsize    int

	size    uint64
	layout  uint16
	compact bool
	chunks  int // entries of the chunk table of an external file
	nblk    int // own data blocks
	tail    int // bytes after the extended attributes
	nid     uint64
	u       uint32 // i_u
}

type dirent struct {
	name string
	in   *inode
}

// collect makes the inodes of a tree, with the stubs that hide the object
// directories, and brings them into their order: breadth first.
func (b *builder) collect(t *tree.Tree, v Version) error {
	c := &collector{byNode: map[*tree.Node]*inode{}, legacy: v == V2}
	root := &inode{node: t.Root}
	if err := c.directory(root, root); err != nil {
		return err
	}
	switch {
	case v == V2:
		b.version = 2
		b.inodes = c.inodes
	case v == V1 || v == Auto && c.whiteouts:
		b.version = 1
		b.breadthFirst(root, c.count)
	default:
		b.breadthFirst(root, c.count)
	}
	for i, in := range b.inodes {
		in.ino = uint32(i)
		if err := b.rewrite(in); err != nil {
			return err
		}
	}
	return nil
}

// breadthFirst orders the inodes: a directory's entries by name, then those of
// each directory in it.
func (b *builder) breadthFirst(root *inode, count int) {
	b.inodes = append(make([]*inode, 0, count), root)
	for i := 0; i < len(b.inodes); i++ {
		dir := b.inodes[i]
		for _, d := range dir.dirents {
			switch {
			case d.name == "." || d.name == "..":
			case d.in.dirents != nil || d.in.homeDir == dir && d.in.homeName == d.name:
				b.inodes = append(b.inodes, d.in)
			}
		}
	}
}

// A collector walks a tree depth first.
type collector struct {
	byNode    map[*tree.Node]*inode // what is no directory
	names     []string              // the path of the directory that is being walked
	count     int
	whiteouts bool

	// Version 2 has the inodes depth first, each at its first name, and counts
	// the names.
	legacy bool
	inodes []*inode
}

// directory fills in a directory and all below it. Of several names of a node,
// its home is its primary name, else the first.
func (c *collector) directory(dir, parent *inode) error {
	if !dir.node.IsDir() {
		return errors.New("the root is not a directory")
	}
	if len(c.names) >= tree.MaxDepth {
		return fmt.Errorf("more than %d directories in each other", tree.MaxDepth)
	}
	c.add(dir)
	dir.nlink = 2
	names := dir.node.Names()
	dir.dirents = make([]dirent, 0, len(names)+2)
	dir.dirents = append(dir.dirents, dirent{".", dir}, dirent{"..", parent})
	for _, name := range names {
		if err := tree.CheckName(name); err != nil {
			return c.wrap(err)
		}
		n := dir.node.Child(name)
		if n.IsDir() {
			dir.nlink++
			in := &inode{node: n}
			c.names = append(c.names, name)
			if err := c.directory(in, dir); err != nil {
				return err
			}
			c.names = c.names[:len(c.names)-1]
			dir.dirents = append(dir.dirents, dirent{name, in})
			continue
		}
		if n.IsWhiteout() {
			dir.whiteouts, c.whiteouts = true, true
		}
		in := c.byNode[n]
		switch {
		case in == nil:
			in = &inode{node: n, homeDir: dir, homeName: name}
			if !c.legacy {
				in.nlink = n.Nlink
			}
			c.byNode[n] = in
			c.add(in)
		case n.IsWhiteout():
			return c.wrap(fmt.Errorf("whiteout %q with several names", name))
		case n.Primary() != "" && n.Primary() == "/"+strings.Join(append(c.names, name), "/"):
			in.homeDir, in.homeName = dir, name
		}
		if c.legacy {
			in.nlink++
		}
		dir.dirents = append(dir.dirents, dirent{name, in})
	}
	if dir == parent && !c.legacy {
		c.addStubs(dir)
	}
	slices.SortFunc(dir.dirents, func(x, y dirent) int { return strings.Compare(x.name, y.name) })
	return nil
}

// add counts an inode.
func (c *collector) add(in *inode) {
	c.count++
	if c.legacy {
		c.inodes = append(c.inodes, in)
	}
}

func (c *collector) wrap(err error) error {
	return fmt.Errorf("directory %q: %w", "/"+strings.Join(c.names, "/"), err)
}

// addStubs puts a whiteout into the root for each object directory.
func (c *collector) addStubs(root *inode) {
	stub := &tree.Node{Mode: tree.TypeChar | 0o644, UID: root.node.UID, GID: root.node.GID, Mtime: root.node.Mtime}
	if label, ok := root.node.Xattr(labelName); ok {
		stub.Xattrs = []tree.Xattr{{Name: labelName, Value: label}}
	}
	for i := range 256 {
		name := fmt.Sprintf("%02x", i)
		if root.node.Child(name) == nil {
			in := &inode{node: stub, stub: true, nlink: 1, homeDir: root, homeName: name}
			root.dirents = append(root.dirents, dirent{name, in})
			c.count++
		}
	}
}
