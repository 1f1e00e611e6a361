package ext4

import (
	"fmt"
	"io"
)

// Write writes the file system. Writes ascend and do not overlap; what is not
// written must read as zeros.
func (i *Image) Write(w io.WriterAt) error {
	out := &output{w: w}
	meta := metadata{i: i, out: out, reserved: i.geo.reserved()}
	contents := i.readAhead()
	defer contents.stop()
	for at, in := range i.inodes {
		if in == nil {
			continue
		}
		p := &placer{out: out, meta: &meta, runs: in.runs}
		if err := i.writeInode(p, uint32(at+1), contents); err != nil {
			return err
		}
	}
	if err := meta.before(i.geo.blocks); err != nil {
		return err
	}
	return out.flush()
}

// writeInode writes all blocks of an inode.
func (i *Image) writeInode(p *placer, number uint32, contents *readAhead) error {
	in := i.inodes[number-1]
	if in.attr != 0 {
		if err := p.at(in.attr, i.attrBlock(in)); err != nil {
			return err
		}
	}
	if err := i.writeData(p, in, contents); err != nil {
		return err
	}
	for k, leaf := range in.leaves {
		if err := p.at(leaf, i.leaf(number, k)); err != nil {
			return err
		}
	}
	return nil
}

func (i *Image) writeData(p *placer, in *inode, contents *readAhead) error {
	switch n := in.node; {
	case n == nil:
		return p.write(i.journalSuper())
	case n.IsDir():
		_, err := i.directory(in, p.write)
		return err
	case n.IsSymlink() && len(in.runs) > 0:
		return p.write(padded([]byte(n.Target)))
	case n.IsRegular() && len(in.runs) > 0:
		if err := i.writeFile(p, in, contents); err != nil {
			return fmt.Errorf("writing a file of %d bytes (%v): %w", n.Size, n.Object, err)
		}
	}
	return nil
}

// padded fills up to a multiple of BlockSize.
func padded(b []byte) []byte {
	return append(b, make([]byte, -len(b)&(BlockSize-1))...)
}

// A placer writes one inode's contents to its blocks, from the first to the
// last.
type placer struct {
	out  *output
	meta *metadata
	runs []run
	done uint64 // of the first of runs
}

// write writes the next blocks.
func (p *placer) write(b []byte) error {
	for len(b) > 0 {
		r := p.runs[0]
		n := min(uint64(len(b))/BlockSize, uint64(r.blocks)-p.done)
		if err := p.at(r.start+p.done, b[:n*BlockSize]); err != nil {
			return err
		}
		b = b[n*BlockSize:]
		if p.done += n; p.done == uint64(r.blocks) {
			p.runs, p.done = p.runs[1:], 0
		}
	}
	return nil
}

// at writes blocks at their place, after the metadata of groups before them.
func (p *placer) at(block uint64, b []byte) error {
	if err := p.meta.before(block); err != nil {
		return err
	}
	return p.out.write(block, b)
}

// metadata writes super blocks, descriptors, bitmaps and inode tables when it is
// their turn.
type metadata struct {
	i        *Image
	out      *output
	reserved []extent
}

func (m *metadata) before(block uint64) error {
	for len(m.reserved) > 0 && m.reserved[0].start < block {
		group := int(m.reserved[0].start / groupBlocks)
		m.reserved = m.reserved[1:]
		if err := m.group(group); err != nil {
			return err
		}
	}
	return nil
}

func (m *metadata) group(group int) error {
	i, g := m.i, &m.i.geo
	if hasSuper(group) {
		first := make([]byte, BlockSize)
		if group == 0 {
			copy(first[1024:], i.superBlock(group))
		} else {
			copy(first, i.superBlock(group))
		}
		if err := m.out.write(uint64(group)*groupBlocks, append(first, i.descriptors()...)); err != nil {
			return err
		}
	}
	if g.flexFirst(group) != group {
		return nil
	}
	end := min(group+1<<g.flexLog, g.groups)
	for k := group; k < end; k++ {
		if err := m.out.write(g.blockBitmap(k), i.blockBitmap(k)); err != nil {
			return err
		}
	}
	for k := group; k < end; k++ {
		if err := m.out.write(g.inodeBitmap(k), i.inodeBitmap(k)); err != nil {
			return err
		}
	}
	for k := group; k < end; k++ {
		if err := m.table(k); err != nil {
			return err
		}
	}
	return nil
}

// table writes the inodes of a group that are in use.
func (m *metadata) table(group int) error {
	first := group * m.i.geo.groupInodes
	for used := m.i.usedInodes(group); used > 0; {
		n := min(used, 64*inodesPerBlock)
		b := make([]byte, (n+inodesPerBlock-1)/inodesPerBlock*BlockSize)
		for k := range n {
			m.i.encode(b[k*inodeSize:][:inodeSize], uint32(first+k+1))
		}
		at := m.i.geo.table(group) + uint64(first%m.i.geo.groupInodes/inodesPerBlock)
		if err := m.out.write(at, b); err != nil {
			return err
		}
		first += n
		used -= n
	}
	return nil
}

// An output gathers adjacent blocks into larger writes.
type output struct {
	w     io.WriterAt
	start uint64
	buf   []byte
}

const outputSize = 1 << 20

func (o *output) write(block uint64, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	next := o.start + uint64(len(o.buf))/BlockSize
	if block < next {
		return fmt.Errorf("internal error: block %d comes after %d", block, next)
	}
	if block != next || len(o.buf)+len(b) > outputSize {
		if err := o.flush(); err != nil {
			return err
		}
		o.start = block
	}
	if len(b) >= outputSize {
		_, err := o.w.WriteAt(b, int64(block)*BlockSize)
		o.start += uint64(len(b)) / BlockSize
		return err
	}
	if o.buf == nil {
		o.buf = make([]byte, 0, outputSize)
	}
	o.buf = append(o.buf, b...)
	return nil
}

func (o *output) flush() error {
	if len(o.buf) == 0 {
		return nil
	}
	_, err := o.w.WriteAt(o.buf, int64(o.start)*BlockSize)
	o.start += uint64(len(o.buf)) / BlockSize
	o.buf = o.buf[:0]
	return err
}
