package erofs

import (
	"bufio"
	"encoding/binary"
	"io"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// Write writes the image of a tree, front to back; to have its digest too, let
// w pass it on to a verity.Hash. The tree is not changed. It must keep the
// invariants of package tree, and Node.Nlink is stored as it is. Work and
// memory are proportional to the tree.
func Write(w io.Writer, t *tree.Tree, o Options) error {
	b := &builder{}
	if err := b.collect(t, o.Version); err != nil {
		return err
	}
	b.shareXattrs()
	b.findMinTime()
	for _, in := range b.inodes {
		if err := in.measure(b); err != nil {
			return err
		}
	}
	b.place()
	out := bufio.NewWriterSize(w, 1<<16)
	e := &emitter{w: out}
	b.emit(e)
	if e.err != nil {
		return e.err
	}
	return out.Flush()
}

// An emitter writes and counts; it remembers the first error.
type emitter struct {
	w   *bufio.Writer
	pos int64
	err error
}

func (e *emitter) bytes(p []byte) {
	if e.err == nil {
		_, e.err = e.w.Write(p)
	}
	e.pos += int64(len(p))
}

func (e *emitter) string(s string) {
	if e.err == nil {
		_, e.err = e.w.WriteString(s)
	}
	e.pos += int64(len(s))
}

var zeros [blockSize]byte

// padTo writes zeros up to the offset.
func (e *emitter) padTo(pos int64) {
	for e.pos < pos {
		e.bytes(zeros[:min(pos-e.pos, blockSize)])
	}
}

func (b *builder) emit(e *emitter) {
	var head [firstInode]byte
	le := binary.LittleEndian
	le.PutUint32(head[0:], headerMagic)
	le.PutUint32(head[4:], 1)
	if b.hasACL && !b.legacy() {
		le.PutUint32(head[8:], flagHasACL)
	}
	le.PutUint32(head[12:], b.version)
	s := head[superOffset:]
	le.PutUint32(s[0:], superMagic)
	le.PutUint32(s[8:], 6)
	s[12] = 12
	le.PutUint16(s[14:], uint16(b.inodes[0].nid))
	le.PutUint64(s[16:], uint64(len(b.inodes)))
	le.PutUint64(s[24:], uint64(b.min.Sec))
	le.PutUint32(s[32:], b.min.Nsec)
	le.PutUint32(s[36:], uint32(b.blocks))
	le.PutUint32(s[44:], uint32(b.xattrBase()/blockSize))
	e.bytes(head[:])
	for _, in := range b.inodes {
		b.emitInode(e, in)
	}
	e.padTo(b.inodesEnd)
	for _, x := range b.sharedTable {
		b.emitXattr(e, x)
	}
	e.padTo(b.dataStart)
	for _, in := range b.inodes {
		b.emitBlocks(e, in)
	}
}

func (b *builder) emitInode(e *emitter, in *inode) {
	e.padTo(int64(in.nid) * slotSize)
	le := binary.LittleEndian
	var h [extendSize]byte
	n := in.node
	format := in.layout << 1
	icount := uint16(0)
	if in.xsize > 0 {
		icount = uint16((in.xsize-xattrHeader)/4 + 1)
	}
	le.PutUint16(h[2:], icount)
	le.PutUint16(h[4:], uint16(in.mode))
	if in.compact {
		le.PutUint16(h[0:], format)
		le.PutUint16(h[6:], uint16(in.nlink))
		le.PutUint32(h[8:], uint32(in.size))
		le.PutUint32(h[16:], in.u)
		le.PutUint32(h[20:], in.ino)
		le.PutUint16(h[24:], uint16(n.UID))
		le.PutUint16(h[26:], uint16(n.GID))
		e.bytes(h[:compactSize])
	} else {
		le.PutUint16(h[0:], format|1)
		le.PutUint64(h[8:], in.size)
		le.PutUint32(h[16:], in.u)
		le.PutUint32(h[20:], in.ino)
		le.PutUint32(h[24:], n.UID)
		le.PutUint32(h[28:], n.GID)
		le.PutUint64(h[32:], uint64(n.Mtime.Sec))
		if !b.legacy() {
			le.PutUint32(h[40:], n.Mtime.Nsec)
		}
		le.PutUint32(h[44:], in.nlink)
		e.bytes(h[:])
	}
	if in.xsize > 0 {
		b.emitXattrs(e, in)
	}
	if in.tail > 0 {
		in.emitTail(e)
	}
}

func (b *builder) emitXattrs(e *emitter, in *inode) {
	var h [xattrHeader]byte
	binary.LittleEndian.PutUint32(h[0:], nameFilter(in.xattrs, b.version))
	h[4] = byte(len(in.shared))
	e.bytes(h[:])
	for _, off := range in.shared {
		var id [4]byte
		binary.LittleEndian.PutUint32(id[:], uint32((b.inodesEnd-b.xattrBase()+int64(off))/4))
		e.bytes(id[:])
	}
	for _, x := range in.unshared {
		b.emitXattr(e, x)
	}
}

// xattrBase is where the places of shared attributes count from.
func (b *builder) xattrBase() int64 {
	if b.legacy() {
		return 0
	}
	return b.inodesEnd / blockSize * blockSize
}

func (b *builder) emitXattr(e *emitter, x tree.Xattr) {
	index, suffix := splitName(x.Name, b.version)
	var h [4]byte
	h[0], h[1] = byte(len(suffix)), index
	binary.LittleEndian.PutUint16(h[2:], uint16(len(x.Value)))
	e.bytes(h[:])
	e.string(suffix)
	e.string(x.Value)
	if pad := -(len(suffix) + len(x.Value)) & 3; pad > 0 {
		e.bytes(zeros[:pad])
	}
}

// emitTail writes what follows the extended attributes of an inode: the last
// piece of a directory or of a file's content, a link text, a chunk table.
func (in *inode) emitTail(e *emitter) {
	switch {
	case in.dirents != nil:
		var last []dirent
		in.dirBlocks(func(block []dirent) { last = block })
		emitDirents(e, last)
	case in.chunks > 0:
		for range in.chunks {
			e.bytes([]byte{0xff, 0xff, 0xff, 0xff})
		}
	case in.node.IsSymlink():
		e.string(in.node.Target)
	default:
		e.bytes(in.node.Content[len(in.node.Content)-in.tail:])
	}
}

func (b *builder) emitBlocks(e *emitter, in *inode) {
	if in.nblk == 0 {
		return
	}
	end := e.pos + int64(in.nblk)*blockSize
	switch {
	case in.dirents != nil:
		in.dirBlocks(func(block []dirent) {
			if e.pos < end {
				next := e.pos + blockSize
				emitDirents(e, block)
				e.padTo(next)
			}
		})
	case in.chunks > 0:
		for range maxChunks {
			e.bytes([]byte{0xff, 0xff, 0xff, 0xff})
		}
	case in.node.IsSymlink():
		e.string(in.node.Target)
	default:
		e.bytes(in.node.Content[:len(in.node.Content)-in.tail])
	}
	e.padTo(end)
}

func emitDirents(e *emitter, block []dirent) {
	nameOff := direntSize * len(block)
	for _, d := range block {
		var h [direntSize]byte
		binary.LittleEndian.PutUint64(h[0:], d.in.nid)
		binary.LittleEndian.PutUint16(h[8:], uint16(nameOff))
		h[10] = kindOf(d.in.mode)
		e.bytes(h[:])
		nameOff += len(d.name)
	}
	for _, d := range block {
		e.string(d.name)
	}
}

// The types of directory entries.
const (
	kindRegular = 1 + iota
	kindDir
	kindChar
	kindBlock
	kindFifo
	kindSocket
	kindSymlink
)

// kindOf returns the type of a mode, 0 if it has none.
func kindOf(mode uint32) byte {
	switch mode & tree.TypeMask {
	case tree.TypeRegular:
		return kindRegular
	case tree.TypeDir:
		return kindDir
	case tree.TypeChar:
		return kindChar
	case tree.TypeBlock:
		return kindBlock
	case tree.TypeFifo:
		return kindFifo
	case tree.TypeSocket:
		return kindSocket
	case tree.TypeSymlink:
		return kindSymlink
	}
	return 0
}
