package erofs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

const (
	maxImage = 1 << 30 // bytes of an image that is read
	maxDepth = 2048    // directories in each other
)

// Read reads the tree that an image was written from. Anything that no writer
// makes is an error; memory is bounded by the size of the image, which may be
// up to 1 GiB.
func Read(r io.ReaderAt, size int64) (*tree.Tree, error) {
	switch {
	case size < firstInode || size%blockSize != 0:
		return nil, fmt.Errorf("image of %d bytes is no composefs image", size)
	case size > maxImage:
		return nil, fmt.Errorf("image of %d bytes, at most %d are read", size, maxImage)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, size), data); err != nil {
		return nil, err
	}
	d := &decoder{data: data, nodes: map[uint64]*tree.Node{}}
	if err := d.super(); err != nil {
		return nil, err
	}
	root, err := d.inode(d.root)
	if err != nil {
		return nil, err
	}
	if !root.node.IsDir() {
		return nil, errors.New("the root is not a directory")
	}
	t := &tree.Tree{Root: root.node}
	d.nodes[d.root] = root.node
	if err := d.directory("", root, 0); err != nil {
		return nil, err
	}
	restore(t, d.version)
	t.CountLinks()
	return t, nil
}

type decoder struct {
	data      []byte
	version   uint32
	root      uint64
	xattrBase uint64
	time      tree.Time
	nodes     map[uint64]*tree.Node // by nid
	names     int                   // directory entries met
}

// super checks header and super block.
func (d *decoder) super() error {
	le := binary.LittleEndian
	h, s := d.data[:headerSize], d.data[superOffset:]
	d.version = le.Uint32(h[12:])
	switch {
	case le.Uint32(h[0:]) != headerMagic || le.Uint32(h[4:]) != 1:
		return errors.New("no composefs header")
	case d.version > 2:
		return fmt.Errorf("composefs version %d is not supported", d.version)
	case le.Uint32(s[0:]) != superMagic:
		return errors.New("no EROFS super block")
	case s[12] != 12 || s[13] != 0:
		return errors.New("blocks that are not of 4096 bytes")
	case le.Uint32(s[8:])&^7 != 0 || le.Uint32(s[80:])&^4 != 0:
		return errors.New("unknown EROFS features")
	case le.Uint32(s[40:]) != 0:
		return errors.New("metadata at an unknown place")
	}
	d.root = uint64(le.Uint16(s[14:]))
	d.time = tree.Time{Sec: int64(le.Uint64(s[24:])), Nsec: le.Uint32(s[32:])}
	d.xattrBase = uint64(le.Uint32(s[44:])) * blockSize
	return nil
}

// bytes returns a range of the image.
func (d *decoder) bytes(at, n uint64) ([]byte, error) {
	size := uint64(len(d.data))
	if at > size || n > size-at {
		return nil, fmt.Errorf("%d bytes at offset %d lie outside of the image", n, at)
	}
	return d.data[at : at+n], nil
}

// A raw inode is what is needed to read the content of a node.
type raw struct {
	node   *tree.Node
	layout uint16
	size   uint64
	u      uint32
	tailAt uint64
}

func (d *decoder) inode(nid uint64) (*raw, error) {
	if nid > uint64(len(d.data))/slotSize {
		return nil, fmt.Errorf("inode %d lies outside of the image", nid)
	}
	at := nid * slotSize
	b, err := d.bytes(at, compactSize)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	format := le.Uint16(b[0:])
	icount := uint64(le.Uint16(b[2:]))
	n := &tree.Node{Mode: uint32(le.Uint16(b[4:]))}
	in := &raw{node: n, layout: format >> 1, u: le.Uint32(b[16:])}
	header := uint64(compactSize)
	if format&1 == 0 {
		in.size = uint64(le.Uint32(b[8:]))
		n.Nlink, n.UID, n.GID, n.Mtime = uint32(le.Uint16(b[6:])), uint32(le.Uint16(b[24:])), uint32(le.Uint16(b[26:])), d.time
	} else {
		header = extendSize
		if b, err = d.bytes(at, extendSize); err != nil {
			return nil, err
		}
		in.size = le.Uint64(b[8:])
		n.UID, n.GID, n.Nlink = le.Uint32(b[24:]), le.Uint32(b[28:]), le.Uint32(b[44:])
		n.Mtime = tree.Time{Sec: int64(le.Uint64(b[32:])), Nsec: le.Uint32(b[40:])}
	}
	xsize := uint64(0)
	if icount > 0 {
		xsize = 12 + (icount-1)*4
	}
	in.tailAt = at + header + xsize
	if icount > 0 {
		if err := d.xattrs(n, at+header, xsize); err != nil {
			return nil, fmt.Errorf("inode %d: %w", nid, err)
		}
	}
	if err := d.content(in); err != nil {
		return nil, fmt.Errorf("inode %d: %w", nid, err)
	}
	return in, nil
}

// content reads what a node that is no directory holds.
func (d *decoder) content(in *raw) error {
	n := in.node
	switch n.Type() {
	case tree.TypeDir:
		if in.layout != layoutPlain && in.layout != layoutInline {
			return fmt.Errorf("directory with layout %d", in.layout)
		}
		return nil
	case tree.TypeSymlink:
		if in.size == 0 || in.size > maxTarget {
			return fmt.Errorf("symbolic link of %d bytes", in.size)
		}
		text, err := d.all(in)
		n.Target = string(text)
		if strings.IndexByte(n.Target, 0) >= 0 {
			return errors.New("symbolic link with a NUL byte")
		}
		return err
	case tree.TypeRegular:
		n.Size = in.size
		if in.layout == layoutChunks {
			return d.external(in)
		}
		text, err := d.all(in)
		n.Content = append([]byte{}, text...)
		return err
	case tree.TypeChar, tree.TypeBlock:
		n.Rdev = in.u
	case tree.TypeFifo, tree.TypeSocket:
	default:
		return fmt.Errorf("unknown file type %o", n.Mode)
	}
	return nil
}

// all returns the content that is in the image.
func (d *decoder) all(in *raw) ([]byte, error) {
	if in.size > uint64(len(d.data)) {
		return nil, fmt.Errorf("content of %d bytes lies outside of the image", in.size)
	}
	switch in.layout {
	case layoutPlain:
		return d.bytes(uint64(in.u)*blockSize, in.size)
	case layoutInline:
		blocks := in.size / blockSize * blockSize
		head, err := d.bytes(uint64(in.u)*blockSize, blocks)
		if blocks == 0 {
			head, err = nil, nil
		}
		if err != nil {
			return nil, err
		}
		tail, err := d.bytes(in.tailAt, in.size-blocks)
		if err != nil || blocks == 0 {
			return tail, err
		}
		return append(append([]byte{}, head...), tail...), nil
	}
	return nil, fmt.Errorf("unknown layout %d", in.layout)
}

// external reads what overlayfs needs to find the content of a file.
func (d *decoder) external(in *raw) error {
	n := in.node
	bit := in.u&31 + 12
	chunks := uint64(0)
	if in.size > 0 {
		chunks = (in.size-1)>>bit + 1
	}
	if in.u&^uint32(31)&0xffff != 0 || chunks == 0 || chunks > 1024 {
		return fmt.Errorf("chunk table with %d entries and format %#x", chunks, in.u)
	}
	at := in.tailAt
	if in.u>>16 != 0 {
		return errors.New("chunk table in a block of its own")
	}
	table, err := d.bytes(at, 4*chunks)
	if err != nil {
		return err
	}
	for _, b := range table {
		if b != 0xff {
			return errors.New("a chunk that is not a hole")
		}
	}
	meta, ok := n.Xattr("trusted.overlay.metacopy")
	if !ok {
		return errors.New("external file without trusted.overlay.metacopy")
	}
	if n.Object, err = parseMetacopy(meta); err != nil {
		return err
	}
	redirect, _ := n.Xattr("trusted.overlay.redirect")
	if p := strings.TrimPrefix(redirect, "/"); p != n.Object.ObjectPath() {
		n.Payload = p
	}
	n.RemoveXattr("trusted.overlay.metacopy")
	n.RemoveXattr("trusted.overlay.redirect")
	return nil
}

func parseMetacopy(s string) (verity.Digest, error) {
	if s == "" {
		return verity.Digest{}, nil
	}
	if len(s) < 4 || s[0] != 0 || int(s[1]) != len(s) || s[2] != 0 {
		return verity.Digest{}, errors.New("malformed trusted.overlay.metacopy")
	}
	return verity.MakeDigest(verity.Algorithm(s[3]), []byte(s[4:]))
}

// xattrs reads the extended attributes of an inode.
func (d *decoder) xattrs(n *tree.Node, at, size uint64) error {
	b, err := d.bytes(at, size)
	if err != nil {
		return err
	}
	if size < 12 {
		return errors.New("extended attributes without a header")
	}
	shared := int(b[4])
	b = b[12:]
	if 4*shared > len(b) {
		return errors.New("more shared attributes than there is room for")
	}
	for range shared {
		id := uint64(binary.LittleEndian.Uint32(b))
		b = b[4:]
		rest := d.data[min(d.xattrBase+4*id, uint64(len(d.data))):]
		x, _, err := parseXattr(rest)
		if err != nil {
			return err
		}
		n.SetXattr(x.Name, x.Value)
	}
	for len(b) > 0 {
		x, rest, err := parseXattr(b)
		if err != nil {
			return err
		}
		n.SetXattr(x.Name, x.Value)
		b = rest
	}
	return nil
}

func parseXattr(b []byte) (tree.Xattr, []byte, error) {
	if len(b) < 4 {
		return tree.Xattr{}, nil, errors.New("truncated extended attribute")
	}
	nameLen, valueLen := int(b[0]), int(binary.LittleEndian.Uint16(b[2:]))
	size := (4 + nameLen + valueLen + 3) &^ 3
	name, ok := joinName(b[1], string(b[4:min(4+nameLen, len(b))]))
	if size > len(b) || !ok || name == "" || strings.IndexByte(name, 0) >= 0 {
		return tree.Xattr{}, nil, errors.New("malformed extended attribute")
	}
	return tree.Xattr{Name: name, Value: string(b[4+nameLen : 4+nameLen+valueLen])}, b[size:], nil
}

// directory reads the entries of a directory and all below it.
func (d *decoder) directory(path string, in *raw, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%q: more than %d directories in each other", path, maxDepth)
	}
	content, err := d.all(in)
	if err != nil {
		return fmt.Errorf("directory %q: %w", path, err)
	}
	last := ""
	for len(content) > 0 {
		block := content[:min(len(content), blockSize)]
		content = content[len(block):]
		entries, err := parseBlock(block)
		if err != nil {
			return fmt.Errorf("directory %q: %w", path, err)
		}
		for _, e := range entries {
			if e.name <= last {
				return fmt.Errorf("directory %q: names are not in order", path)
			}
			last = e.name
			if e.name == "." || e.name == ".." {
				continue
			}
			if err := d.entry(path, in.node, e, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *decoder) entry(path string, dir *tree.Node, e rawDirent, depth int) error {
	if d.names++; d.names > len(d.data)/12 {
		return errors.New("more names than there is room for")
	}
	here := path + "/" + e.name
	if n := d.nodes[e.nid]; n != nil {
		if n.IsDir() {
			return fmt.Errorf("%q: a directory with two names", here)
		}
		dir.SetChild(e.name, n)
		return nil
	}
	in, err := d.inode(e.nid)
	if err != nil {
		return fmt.Errorf("%q: %w", here, err)
	}
	if direntType(in.node.Mode) != e.kind {
		return fmt.Errorf("%q: the type in the directory is not that of the inode", here)
	}
	d.nodes[e.nid] = in.node
	dir.SetChild(e.name, in.node)
	if in.node.IsDir() {
		return d.directory(here, in, depth+1)
	}
	return nil
}

type rawDirent struct {
	name string
	nid  uint64
	kind byte
}

// parseBlock reads one block of a directory.
func parseBlock(b []byte) ([]rawDirent, error) {
	le := binary.LittleEndian
	if len(b) < 12 {
		return nil, errors.New("truncated block")
	}
	first := int(le.Uint16(b[8:]))
	if first < 12 || first%12 != 0 || first > len(b) {
		return nil, fmt.Errorf("first name at offset %d", first)
	}
	n := first / 12
	all := make([]rawDirent, n)
	for i := range all {
		h := b[12*i:]
		start, end := int(le.Uint16(h[8:])), len(b)
		if i+1 < n {
			end = int(le.Uint16(h[12+8:]))
		}
		if start < first || start > end || end > len(b) {
			return nil, errors.New("a name lies outside of the block")
		}
		name := string(b[start:end])
		if i+1 == n {
			name, _, _ = strings.Cut(name, "\x00")
		}
		if name != "." && name != ".." {
			if err := checkName(name); err != nil {
				return nil, err
			}
		}
		all[i] = rawDirent{name, le.Uint64(h[0:]), h[10]}
	}
	return all, nil
}

// restore takes back what the writer rewrote.
func restore(t *tree.Tree, version uint32) {
	t.Root.RemoveXattr("trusted.overlay.opaque")
	for _, name := range t.Root.Names() {
		if n := t.Root.Child(name); len(name) == 2 && n.IsWhiteout() && strings.Trim(name, "0123456789abcdef") == "" {
			t.Root.RemoveChild(name)
		}
	}
	seen := map[*tree.Node]bool{}
	t.Walk(func(_ string, n *tree.Node) error {
		if !seen[n] {
			seen[n] = true
			restoreNode(n, version)
		}
		return nil
	})
}

func restoreNode(n *tree.Node, version uint32) {
	for _, x := range append([]tree.Xattr(nil), n.Xattrs...) {
		if rest, ok := strings.CutPrefix(x.Name, "trusted.overlay.overlay."); ok {
			n.RemoveXattr(x.Name)
			n.SetXattr("trusted.overlay."+rest, x.Value)
		}
	}
	if _, ok := n.Xattr("trusted.overlay.whiteout"); ok && n.IsRegular() && n.Size == 0 {
		n.RemoveXattr("trusted.overlay.whiteout")
		n.RemoveXattr("user.overlay.whiteout")
		n.Mode = tree.TypeChar | n.Perm()
		n.Content = nil
	}
	if _, ok := n.Xattr("trusted.overlay.whiteouts"); ok && n.IsDir() {
		n.RemoveXattr("trusted.overlay.whiteouts")
		n.RemoveXattr("user.overlay.whiteouts")
		if version >= 1 {
			n.RemoveXattr("trusted.overlay.opaque")
			n.RemoveXattr("user.overlay.opaque")
		}
	}
}
