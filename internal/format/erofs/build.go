package erofs

import (
	"cmp"
	"fmt"
	"math/bits"
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
	parent  *inode       // of a directory

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

// collect brings the nodes into breadth-first order, with the stubs that hide
// the object directories, and rewrites what overlayfs would misread.
func (b *builder) collect(t *tree.Tree) error {
	homes := findHomes(t)
	stored := map[*tree.Node]*inode{}
	root := &inode{node: t.Root}
	b.add(root)
	for i := 0; i < len(b.inodes); i++ {
		dir := b.inodes[i]
		if !dir.node.IsDir() {
			continue
		}
		if dir == root {
			root.parent = root
			b.addStubs(root)
		}
		dir.nlink = 2
		whiteouts := false
		for _, name := range dir.node.Names() {
			if err := checkName(name); err != nil {
				return err
			}
			n := dir.node.Child(name)
			if n.IsDir() {
				dir.nlink++
			} else if home, ok := homes[n]; ok && home != (place{dir.node, name}) {
				dir.dirents = append(dir.dirents, dirent{name, nil}) // in: later, from stored
				continue
			}
			in := &inode{node: n, parent: dir}
			stored[n] = in
			whiteouts = whiteouts || n.IsWhiteout()
			dir.dirents = append(dir.dirents, dirent{name, in})
		}
		if err := b.rewrite(dir, whiteouts); err != nil {
			return err
		}
		dir.dirents = append(dir.dirents, dirent{".", dir}, dirent{"..", dir.parent})
		slices.SortFunc(dir.dirents, func(x, y dirent) int { return strings.Compare(x.name, y.name) })
		for _, d := range dir.dirents {
			if d.in != nil && d.name != "." && d.name != ".." {
				b.add(d.in)
			}
		}
	}
	return b.finish(stored)
}

func (b *builder) add(in *inode) {
	in.ino = uint32(len(b.inodes))
	b.inodes = append(b.inodes, in)
}

// finish rewrites what is not a directory and resolves further names.
func (b *builder) finish(stored map[*tree.Node]*inode) error {
	for _, in := range b.inodes {
		if in.node.IsDir() {
			for i, d := range in.dirents {
				if d.in == nil {
					in.dirents[i].in = stored[in.node.Child(d.name)]
				}
			}
			continue
		}
		if in.mode != 0 {
			continue // a stub
		}
		in.nlink = in.node.Nlink
		if err := b.rewrite(in, false); err != nil {
			return err
		}
	}
	return nil
}

// A place is a name in a directory.
type place struct {
	dir  *tree.Node
	name string
}

// findHomes finds, for each node with several names, the one under which it is
// stored: Node.Primary, else the first in depth-first order.
func findHomes(t *tree.Tree) map[*tree.Node]place {
	first := map[*tree.Node]place{}
	several := map[*tree.Node]place{}
	var walk func(path string, dir *tree.Node)
	walk = func(path string, dir *tree.Node) {
		for _, name := range dir.Names() {
			n := dir.Child(name)
			if n.IsDir() {
				walk(path+name+"/", n)
				continue
			}
			here := place{dir, name}
			home, seen := first[n]
			if !seen {
				first[n] = here
				home = here
			} else if _, ok := several[n]; !ok {
				several[n] = home
			}
			if n.Primary == path+name && seen {
				several[n] = here
			}
		}
	}
	walk("/", t.Root)
	return several
}

func checkName(name string) error {
	if name == "" || len(name) > tree.MaxName || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("name %q of %d bytes cannot be stored", name, len(name))
	}
	return nil
}

// addStubs puts a whiteout into the root for each object directory.
func (b *builder) addStubs(root *inode) {
	stub := &tree.Node{Mode: tree.TypeChar | 0o644, UID: root.node.UID, GID: root.node.GID, Mtime: root.node.Mtime}
	var xattrs []tree.Xattr
	if label, ok := root.node.Xattr("security.selinux"); ok {
		xattrs = []tree.Xattr{{Name: "security.selinux", Value: label}}
	}
	for i := range 256 {
		name := fmt.Sprintf("%02x", i)
		if root.node.Child(name) == nil {
			in := &inode{node: stub, mode: stub.Mode, nlink: 1, xattrs: xattrs, parent: root}
			root.dirents = append(root.dirents, dirent{name, in})
		}
	}
}

// rewrite sets what is stored for a node: mode and extended attributes.
func (b *builder) rewrite(in *inode, whiteouts bool) error {
	n := in.node
	in.mode = n.Mode
	copied := &tree.Node{}
	for _, x := range n.Xattrs {
		name := x.Name
		if rest, ok := strings.CutPrefix(name, "trusted.overlay."); ok {
			name = "trusted.overlay.overlay." + rest
		}
		copied.SetXattr(name, x.Value)
	}
	if n.IsRegular() && n.Size > 0 && n.Content == nil {
		copied.SetXattr("trusted.overlay.metacopy", metacopy(n))
		if p := payload(n); p != "" {
			copied.SetXattr("trusted.overlay.redirect", "/"+p)
		}
	}
	if n.IsWhiteout() {
		in.mode = tree.TypeRegular | n.Perm()
		copied.SetXattr("trusted.overlay.overlay.whiteout", "")
		copied.SetXattr("user.overlay.whiteout", "")
	}
	if whiteouts {
		copied.SetXattr("trusted.overlay.overlay.whiteouts", "")
		copied.SetXattr("user.overlay.whiteouts", "")
		if b.version >= 1 {
			copied.SetXattr("trusted.overlay.overlay.opaque", "x")
			copied.SetXattr("user.overlay.opaque", "x")
		}
	}
	if in.ino == 0 {
		copied.SetXattr("trusted.overlay.opaque", "y")
	}
	total := 12
	for _, x := range copied.Xattrs {
		if x.Name == "system.posix_acl_access" || x.Name == "system.posix_acl_default" {
			b.hasACL = true
		}
		_, suffix := splitName(x.Name)
		if len(suffix) > 255 || len(x.Value) > 65535 {
			return fmt.Errorf("extended attribute %q: name of %d bytes, value of %d bytes", x.Name, len(suffix), len(x.Value))
		}
		total += len(suffix) + len(x.Value) + 7
	}
	if total > maxXattrBytes {
		return fmt.Errorf("extended attributes of %d bytes, at most %d can be stored", total, maxXattrBytes)
	}
	in.xattrs = copied.Xattrs
	return nil
}

func metacopy(n *tree.Node) string {
	if n.Object.IsZero() {
		return ""
	}
	sum := n.Object.Bytes()
	return string([]byte{0, byte(4 + len(sum)), 0, byte(n.Object.Algorithm())}) + string(sum)
}

func payload(n *tree.Node) string {
	if n.Payload != "" || n.Object.IsZero() {
		return n.Payload
	}
	return n.Object.ObjectPath()
}

// shareXattrs finds the pairs of name and value that occur more than once.
func (b *builder) shareXattrs() {
	count := map[tree.Xattr]int{}
	for _, in := range b.inodes {
		for _, x := range in.xattrs {
			count[x]++
			if count[x] == 2 {
				b.sharedTable = append(b.sharedTable, x)
			}
		}
	}
	slices.SortFunc(b.sharedTable, func(x, y tree.Xattr) int {
		return -cmp.Or(strings.Compare(x.Name, y.Name), cmp.Compare(len(x.Value), len(y.Value)), strings.Compare(x.Value, y.Value))
	})
	b.sharedAt = map[tree.Xattr]int{}
	offset := 0
	for _, x := range b.sharedTable {
		b.sharedAt[x] = offset
		offset += entrySize(x)
	}
}

func entrySize(x tree.Xattr) int {
	_, suffix := splitName(x.Name)
	return (4 + len(suffix) + len(x.Value) + 3) &^ 3
}

func (b *builder) findMinTime() {
	b.min = b.inodes[0].node.Mtime
	for _, in := range b.inodes {
		if in.node.Mtime.Compare(b.min) < 0 {
			b.min = in.node.Mtime
		}
	}
}

// measure works out how much room an inode takes.
func (in *inode) measure(b *builder) error {
	for _, x := range in.xattrs {
		if offset, ok := b.sharedAt[x]; ok && len(in.shared) < maxShared {
			in.shared = append(in.shared, uint32(offset))
			in.xsize += 4
		} else {
			in.unshared = append(in.unshared, x)
			in.xsize += entrySize(x)
		}
	}
	if in.xsize > 0 {
		in.xsize += 12
	}
	if err := in.measureContent(); err != nil {
		return err
	}
	n := in.node
	in.compact = n.Mtime == b.min && in.nlink <= 0xffff && n.UID <= 0xffff && n.GID <= 0xffff && in.size <= 0xffffffff
	return nil
}

func (in *inode) measureContent() error {
	n := in.node
	switch {
	case in.dirents != nil:
		blocks := in.dirBlocks()
		last := 0
		for _, d := range blocks[len(blocks)-1] {
			last += 12 + len(d.name)
		}
		in.nblk, in.tail = len(blocks)-1, last
		in.size = uint64(in.nblk)*blockSize + uint64(last)
		if last > maxTail {
			in.nblk++
			in.tail = 0
			in.size = uint64(in.nblk) * blockSize
		}
	case n.IsSymlink():
		if len(n.Target) == 0 || len(n.Target) > maxTarget {
			return fmt.Errorf("symbolic link with a text of %d bytes, it must have 1 to %d", len(n.Target), maxTarget)
		}
		in.tail, in.size = len(n.Target), uint64(len(n.Target))
	case n.IsRegular() && n.Content != nil:
		in.size = uint64(len(n.Content))
		in.nblk, in.tail = len(n.Content)/blockSize, len(n.Content)%blockSize
		if in.tail > maxTail {
			in.nblk++
			in.tail = 0
		}
	case n.IsRegular() && n.Size > 0:
		in.size = n.Size
		return in.measureChunks()
	case n.Type() == tree.TypeChar && !n.IsWhiteout(), n.Type() == tree.TypeBlock:
		in.u = n.Rdev
	}
	if in.tail > 0 {
		in.layout = layoutInline
	}
	return nil
}

func (in *inode) measureChunks() error {
	bit := max(bits.Len64(max(in.size-1, 1)), 12)
	bit = min(bit, 43)
	chunks := (in.size-1)>>bit + 1
	if chunks > 1024 {
		return fmt.Errorf("file of %d bytes is too large for the format", in.size)
	}
	in.chunks, in.tail = int(chunks), 4*int(chunks)
	in.layout, in.u = layoutChunks, uint32(bit-12)
	return nil
}

// dirBlocks cuts the entries of a directory into blocks.
func (in *inode) dirBlocks() [][]dirent {
	var blocks [][]dirent
	start, used := 0, 0
	for i, d := range in.dirents {
		need := 12 + len(d.name)
		if used+need > blockSize {
			blocks = append(blocks, in.dirents[start:i])
			start, used = i, 0
		}
		used += need
	}
	return append(blocks, in.dirents[start:])
}

// place gives each inode its offset, then each data block its number.
func (b *builder) place() {
	pos := int64(firstInode)
	for _, in := range b.inodes {
		pos = roundUp(pos, slotSize)
		header := compactSize
		if !in.compact {
			header = extendSize
		}
		fixed := int64(header + in.xsize)
		if in.node.IsSymlink() {
			total := fixed + int64(in.tail)
			crosses := pos/blockSize != (pos+total-1)/blockSize
			if total >= blockSize {
				in.nblk, in.tail, in.layout = 1, 0, layoutPlain
			}
			if crosses {
				pos = roundUp(pos, blockSize)
			}
		} else if room := blockSize - (pos+fixed)%blockSize; room < int64(in.tail) {
			pad := roundUp(room, slotSize)
			if int64(in.tail) <= blockSize-(pos+fixed+pad)%blockSize {
				pos += pad
			} else {
				in.nblk++
				in.tail = 0
				if in.layout == layoutInline {
					in.layout = layoutPlain
				}
				pos = roundUp(pos, blockSize)
			}
		}
		in.nid = uint64(pos / slotSize)
		pos += fixed + int64(in.tail)
	}
	b.inodesEnd = roundUp(pos, slotSize)
	table := int64(0)
	for _, x := range b.sharedTable {
		table += int64(entrySize(x))
	}
	b.dataStart = roundUp(b.inodesEnd+table, blockSize)
	block := b.dataStart / blockSize
	for _, in := range b.inodes {
		if in.nblk > 0 {
			if in.layout == layoutChunks {
				in.u |= uint32(block) &^ 0xffff
			} else {
				in.u = uint32(block)
			}
			block += int64(in.nblk)
		}
	}
	b.blocks = block
}

func roundUp(x, n int64) int64 { return (x + n - 1) / n * n }
