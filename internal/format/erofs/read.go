package erofs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
)

const (
	// maxImage is the size of the largest image that is read.
	maxImage = 1 << 30
	// maxVersion is the newest version that is read.
	maxVersion = 2
)

// Read reads the tree that an image was written from; Node.Nlink is as it is
// stored. Anything that no writer makes is an error. Images of up to 1 GiB are
// read.
func Read(r io.ReaderAt, size int64) (*tree.Tree, error) { return (&decoder{}).read(r, size) }

func (d *decoder) read(r io.ReaderAt, size int64) (*tree.Tree, error) {
	switch {
	case size < firstInode || size%blockSize != 0:
		return nil, fmt.Errorf("%d bytes are no composefs image", size)
	case size > maxImage:
		return nil, fmt.Errorf("image of %d bytes, at most %d are read", size, maxImage)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, size), data); err != nil {
		return nil, err
	}
	// What is copied out of a true image overlaps only in the names of shared
	// attributes, of which the prefix is not stored: at most 24 bytes for 4.
	d.data, d.budget = data, 8*uint64(size)
	d.nodes, d.shared, d.names = map[uint64]*tree.Node{}, map[uint32]rawXattr{}, map[string]string{}
	root, err := d.super()
	if err != nil {
		return nil, err
	}
	t, err := d.tree(root)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", "/"+strings.Join(d.path, "/"), err)
	}
	return t, nil
}

// A decoder reads an image that is in memory.
type decoder struct {
	data      []byte
	budget    uint64 // bytes that may still be copied out of data
	version   uint32
	xattrBase uint64    // of the shared attributes
	time      tree.Time // of compact inodes
	nodes     map[uint64]*tree.Node
	shared    map[uint32]rawXattr
	names     map[string]string // of attributes
	interner  tree.Interner
	list      []tree.Xattr // of one inode
	key       []byte
	block     []tree.Node           // made in advance
	path      []string              // where the decoder is; left as it is after an error
	stored    map[*tree.Node]stored // for Inspect
}

// super checks header and super block, and returns the root's number.
func (d *decoder) super() (root uint64, err error) {
	le := binary.LittleEndian
	h, s := d.data[:headerSize], d.data[superOffset:]
	d.version = le.Uint32(h[12:])
	switch {
	case le.Uint32(h[0:]) != headerMagic:
		return 0, errors.New("the image has no composefs header")
	case le.Uint32(h[4:]) != 1:
		return 0, fmt.Errorf("header version %d is not known", le.Uint32(h[4:]))
	case le.Uint32(h[8:])&^flagHasACL != 0 || !isZero(h[16:]):
		return 0, errors.New("the composefs header has fields that are not known")
	case d.version > maxVersion:
		return 0, fmt.Errorf("composefs version %d is not known", d.version)
	case le.Uint32(s[0:]) != superMagic:
		return 0, errors.New("the image has no EROFS super block")
	case s[12] != 12:
		return 0, fmt.Errorf("blocks of 2^%d bytes, not of 2^12", s[12])
	case le.Uint32(s[8:])&^7 != 0 || le.Uint32(s[80:])&^4 != 0:
		return 0, fmt.Errorf("EROFS features %#x, %#x are not known", le.Uint32(s[8:]), le.Uint32(s[80:]))
	case s[13] != 0 || le.Uint32(s[40:]) != 0 || !isZero(s[84:superSize]):
		return 0, errors.New("the super block has fields that composefs does not use")
	}
	d.time = tree.Time{Sec: int64(le.Uint64(s[24:])), Nsec: le.Uint32(s[32:])}
	d.xattrBase = uint64(le.Uint32(s[44:])) * blockSize
	return uint64(le.Uint16(s[14:])), nil
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// bytes returns a range of the image.
func (d *decoder) bytes(at, n uint64) ([]byte, error) {
	size := uint64(len(d.data))
	if at > size || n > size-at {
		return nil, fmt.Errorf("%d bytes at offset %d lie outside of the image", n, at)
	}
	return d.data[at : at+n], nil
}

// spend takes from the budget. In a true image nothing lies upon another
// thing; this bounds what a false one can blow up.
func (d *decoder) spend(n uint64) error {
	if n > d.budget {
		return errors.New("the image holds more than it has bytes")
	}
	d.budget -= n
	return nil
}

// A raw inode is what is needed to read the content of a node.
type raw struct {
	node   *tree.Node
	nid    uint64
	layout uint16
	size   uint64
	u      uint32
	tailAt uint64

	// What leads overlayfs to an object.
	metacopy, redirect optional
}

// An optional is the value of an attribute that may not be there. It lies in
// the image.
type optional struct {
	value []byte
	ok    bool
}

// newNode returns a node from a block of many: each on its own would take a
// little more.
func (d *decoder) newNode() *tree.Node {
	if len(d.block) == 0 {
		d.block = make([]tree.Node, 64)
	}
	n := &d.block[0]
	d.block = d.block[1:]
	return n
}

// inode reads an inode with its extended attributes.
func (d *decoder) inode(nid uint64) (in raw, err error) {
	if nid > uint64(len(d.data))/slotSize {
		return in, fmt.Errorf("inode %d lies outside of the image", nid)
	}
	at := nid * slotSize
	b, err := d.bytes(at, compactSize)
	if err != nil {
		return in, err
	}
	le := binary.LittleEndian
	format := le.Uint16(b[0:])
	icount := uint64(le.Uint16(b[2:]))
	n := d.newNode()
	n.Mode = uint32(le.Uint16(b[4:]))
	in = raw{node: n, nid: nid, layout: format >> 1, u: le.Uint32(b[16:])}
	if format&1 == 0 {
		at += compactSize
		in.size, n.Nlink = uint64(le.Uint32(b[8:])), uint32(le.Uint16(b[6:]))
		n.UID, n.GID, n.Mtime = uint32(le.Uint16(b[24:])), uint32(le.Uint16(b[26:])), d.time
	} else {
		if b, err = d.bytes(at, extendSize); err != nil {
			return in, err
		}
		at += extendSize
		in.size, n.Nlink = le.Uint64(b[8:]), le.Uint32(b[44:])
		n.UID, n.GID = le.Uint32(b[24:]), le.Uint32(b[28:])
		n.Mtime = tree.Time{Sec: int64(le.Uint64(b[32:])), Nsec: le.Uint32(b[40:])}
	}
	if n.Mtime.Nsec >= 1e9 {
		return in, fmt.Errorf("time with %d nanoseconds", n.Mtime.Nsec)
	}
	if icount > 0 {
		size := xattrHeader + (icount-1)*4
		if err := d.xattrs(&in, at, size); err != nil {
			return in, err
		}
		at += size
	} else {
		d.note(n, in.size, nil, 0)
	}
	in.tailAt = at
	return in, nil
}

// all returns the content that is in the image.
func (d *decoder) all(in *raw) ([]byte, error) {
	if err := d.spend(in.size); err != nil {
		return nil, err
	}
	blocks := in.size
	switch in.layout {
	case layoutPlain:
	case layoutInline:
		blocks = in.size / blockSize * blockSize
	default:
		return nil, fmt.Errorf("data layout %d is not known", in.layout)
	}
	tail, err := d.bytes(in.tailAt, in.size-blocks)
	if err != nil || blocks == 0 {
		return tail, err
	}
	head, err := d.bytes(uint64(in.u)*blockSize, blocks)
	if err != nil || len(tail) == 0 {
		return head, err
	}
	return append(append(make([]byte, 0, in.size), head...), tail...), nil
}
