package erofs

import (
	"bufio"
	"encoding/binary"
	"io"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// Write writes the image of a tree, front to back; to have its digest too, let
// w pass it on to a verity.Hash. The tree is not changed. It must keep the
// invariants of package tree, and Node.Nlink is stored as it is, but for version
// 2. Work is proportional to the tree; memory is about 40 bytes for a name.
func Write(w io.Writer, t *tree.Tree, o Options) error {
	b := &builder{}
	if err := b.collect(t, o.Version); err != nil {
		return err
	}
	b.findShared()
	if err := b.placeAll(); err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<16)
	e := &emitter{w: out}
	if err := b.emit(e); err != nil {
		return err
	}
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
	buf []byte // what is put together before it is written
}

// bytes writes p. It may be e.buf.
func (e *emitter) bytes(p []byte) {
	if e.err == nil {
		_, e.err = e.w.Write(p)
	}
	e.pos += int64(len(p))
}

var zeros [blockSize]byte

// padTo writes zeros up to the offset.
func (e *emitter) padTo(pos int64) {
	for e.pos < pos {
		e.bytes(zeros[:min(pos-e.pos, blockSize)])
	}
}

func (b *builder) emit(e *emitter) error {
	e.bytes(b.head())
	pos, block := int64(firstInode), b.dataStart/blockSize
	for i := range b.inodes {
		if e.err != nil {
			return e.err
		}
		// The same as before, as it depends on what comes before only.
		l, at, end, err := b.place(i, pos)
		if err != nil {
			return err
		}
		e.padTo(at)
		if l.nblk > 0 && l.format == layoutChunks {
			// The format of the chunks takes the lower half. The kernel does
			// not look here for a table; such files have over 8000 TiB.
			l.u |= uint32(block) &^ 0xffff
		} else if l.nblk > 0 {
			l.u = uint32(block)
		}
		block += int64(l.nblk)
		b.emitInode(e, i, &l)
		pos = end
	}
	e.padTo(b.inodesEnd)
	for _, x := range b.share.table {
		e.bytes(b.appendAttr(e.buf[:0], attr{name: x.Name, value: x.Value}))
	}
	e.padTo(b.dataStart)
	for i := range b.inodes {
		if b.inodes[i].blocks {
			if err := b.emitBlocks(e, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// head returns header and super block.
func (b *builder) head() []byte {
	head := make([]byte, firstInode)
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
	if !b.legacy() {
		le.PutUint64(s[24:], uint64(b.min.Sec))
		le.PutUint32(s[32:], b.min.Nsec)
	}
	le.PutUint32(s[36:], uint32(b.blocks))
	le.PutUint32(s[44:], uint32(b.xattrBase()/blockSize))
	return head
}

// xattrBase is where the places of shared attributes count from.
func (b *builder) xattrBase() int64 {
	if b.legacy() {
		return 0
	}
	return b.inodesEnd / blockSize * blockSize
}

// emitInode writes an inode, its attributes and its tail.
func (b *builder) emitInode(e *emitter, i int, l *layout) {
	le := binary.LittleEndian
	var h [extendSize]byte
	n := b.inodes[i].node
	ino := uint32(i)
	if b.legacy() {
		ino = b.inodes[i].nid
	}
	if l.xsize > 0 {
		le.PutUint16(h[2:], uint16((l.xsize-xattrHeader)/4+1))
	}
	le.PutUint16(h[4:], uint16(l.mode))
	le.PutUint32(h[16:], l.u)
	le.PutUint32(h[20:], ino)
	if l.compact {
		le.PutUint16(h[0:], l.format<<1)
		le.PutUint16(h[6:], uint16(l.nlink))
		le.PutUint32(h[8:], uint32(l.size))
		le.PutUint16(h[24:], uint16(n.UID))
		le.PutUint16(h[26:], uint16(n.GID))
		e.buf = append(e.buf[:0], h[:compactSize]...)
	} else {
		le.PutUint16(h[0:], l.format<<1|1)
		le.PutUint64(h[8:], l.size)
		le.PutUint32(h[24:], n.UID)
		le.PutUint32(h[28:], n.GID)
		le.PutUint64(h[32:], uint64(n.Mtime.Sec))
		if !b.legacy() {
			le.PutUint32(h[40:], n.Mtime.Nsec)
		}
		le.PutUint32(h[44:], l.nlink)
		e.buf = append(e.buf[:0], h[:]...)
	}
	if l.xsize > 0 {
		e.buf = b.appendAttrs(e.buf, &b.inodes[i])
	}
	if l.tail > 0 {
		e.buf = b.appendTail(e.buf, i, l)
	}
	e.bytes(e.buf)
}

// appendAttrs appends the extended attributes of an inode: the places of the
// shared ones, then the others.
func (b *builder) appendAttrs(buf []byte, in *inode) []byte {
	le := binary.LittleEndian
	all := b.attrs(in)
	start := len(buf)
	buf = le.AppendUint32(buf, nameFilter(all, b.version))
	buf = append(buf, 0, 0, 0, 0, 0, 0, 0, 0)
	shared := 0
	own := all[:0]
	for _, a := range all {
		at, ok := b.share.offset(a)
		if !ok || shared == maxShared && !b.legacy() {
			own = append(own, a)
			continue
		}
		shared++
		buf = le.AppendUint32(buf, uint32((b.inodesEnd-b.xattrBase()+int64(at))/4))
	}
	buf[start+4] = byte(shared)
	for _, a := range own {
		buf = b.appendAttr(buf, a)
	}
	return buf
}

func (b *builder) appendAttr(buf []byte, a attr) []byte {
	index, suffix := splitName(a.name, b.version)
	size := a.size()
	buf = append(buf, byte(len(suffix)), index, byte(size), byte(size>>8))
	buf = append(buf, suffix...)
	buf = a.appendValue(buf)
	return append(buf, zeros[:-(len(suffix)+size)&3]...)
}

// appendTail appends what follows the extended attributes of an inode: the last
// piece of a directory or of a file's content, a link text, a chunk table.
func (b *builder) appendTail(buf []byte, i int, l *layout) []byte {
	n := b.inodes[i].node
	switch {
	case n.IsDir():
		blocks := 0
		b.dirBlocks(i, func(block []byte) {
			if blocks == l.nblk {
				buf = append(buf, block...)
			}
			blocks++
		})
	case l.chunks > 0:
		for range l.chunks {
			buf = append(buf, 0xff, 0xff, 0xff, 0xff)
		}
	case n.IsSymlink():
		buf = append(buf, n.Target...)
	default:
		buf = append(buf, n.Content[len(n.Content)-l.tail:]...)
	}
	return buf
}

// emitBlocks writes the data blocks of an inode.
func (b *builder) emitBlocks(e *emitter, i int) error {
	l, err := b.measure(i)
	if err != nil {
		return b.wrap(i, err)
	}
	n := b.inodes[i].node
	switch {
	case n.IsDir():
		blocks := 0
		b.dirBlocks(i, func(block []byte) {
			if blocks < l.nblk {
				e.bytes(block)
				e.padTo(roundUp(e.pos, blockSize))
			}
			blocks++
		})
		return nil
	case l.chunks > 0:
		for range maxChunks {
			e.bytes([]byte{0xff, 0xff, 0xff, 0xff})
		}
	case n.IsSymlink():
		e.bytes([]byte(n.Target))
	default:
		e.bytes(n.Content[:len(n.Content)-l.tail])
	}
	e.padTo(roundUp(e.pos, blockSize))
	return nil
}

// dirBlocks puts the entries of a directory into blocks and calls f for each;
// the last one has no padding.
func (b *builder) dirBlocks(i int, f func(block []byte)) {
	heads, names := b.heads[:0], b.names[:0]
	flush := func() {
		for at := 0; at < len(heads); at += direntSize {
			offset := binary.LittleEndian.Uint16(heads[at+8:])
			binary.LittleEndian.PutUint16(heads[at+8:], offset+uint16(len(heads)))
		}
		heads = append(heads, names...)
		f(heads)
		heads, names = heads[:0], names[:0]
	}
	b.entries(i, func(name string, n *tree.Node, at int) {
		if len(heads)+len(names)+direntSize+len(name) > blockSize {
			flush()
		}
		heads = binary.LittleEndian.AppendUint64(heads, uint64(b.inodes[at].nid))
		heads = binary.LittleEndian.AppendUint16(heads, uint16(len(names)))
		heads = append(heads, b.kind(n), 0)
		names = append(names, name...)
	})
	flush()
	b.heads, b.names = heads, names
}

// kind returns the type of an entry; "." and ".." have no node.
func (b *builder) kind(n *tree.Node) byte {
	switch {
	case n == nil:
		return kindDir
	case n.IsWhiteout() && n != b.stub && !b.legacy():
		return kindRegular
	}
	return kindOf(n.Mode)
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
