package ext4

import "github.com/bootc-go/bootc/internal/format/tree"

// dirTail is the room for the check sum at the end of a block of a directory.
const dirTail = 12

// directory makes the blocks of a directory, one after the other in the same
// memory, and returns how many there are. It only counts when emit is nil.
func (i *Image) directory(in *inode, emit func(block []byte) error) (count uint64, err error) {
	d := dirWriter{emit: emit}
	if emit != nil {
		d.block = make([]byte, BlockSize)
		d.seed = i.inodeSeed(i.numbers[in.node])
	}
	d.add(".", i.numbers[in.node], 2)
	d.add("..", in.parent, 2)
	if in.node == i.lostFound {
		d.finish()
		for d.count < lostFoundBlocks {
			d.finish()
		}
		return d.count, d.err
	}
	if in.parent == rootInode && i.numbers[in.node] == rootInode {
		d.add("lost+found", lostFoundInode, 2)
	}
	for name, n := range in.node.Entries() {
		d.add(name, i.numbers[n], fileType(n))
	}
	d.finish()
	return d.count, d.err
}

func fileType(n *tree.Node) byte {
	switch n.Type() {
	case tree.TypeRegular:
		return 1
	case tree.TypeDir:
		return 2
	case tree.TypeChar:
		return 3
	case tree.TypeBlock:
		return 4
	case tree.TypeFifo:
		return 5
	case tree.TypeSocket:
		return 6
	case tree.TypeSymlink:
		return 7
	}
	return 0
}

// A dirWriter packs entries into blocks.
type dirWriter struct {
	emit  func([]byte) error
	block []byte
	seed  uint32
	used  int // of the block
	last  int // where the last entry of the block begins
	count uint64
	err   error
}

func (d *dirWriter) add(name string, number uint32, kind byte) {
	need := (8 + len(name) + 3) &^ 3
	if d.used+need > BlockSize-dirTail {
		d.finish()
	}
	if d.emit != nil {
		e := d.block[d.used:]
		le.PutUint32(e, number)
		le.PutUint16(e[4:], uint16(need))
		e[6], e[7] = byte(len(name)), kind
		copy(e[8:], name)
	}
	d.last = d.used
	d.used += need
}

// finish ends a block: its last entry reaches to the check sum.
func (d *dirWriter) finish() {
	d.count++
	if d.emit != nil && d.err == nil {
		le.PutUint16(d.block[d.last+4:], uint16(BlockSize-dirTail-d.last))
		tail := d.block[BlockSize-dirTail:]
		tail[4], tail[7] = dirTail, 0xDE
		le.PutUint32(tail[8:], checksum(d.seed, d.block[:BlockSize-dirTail]))
		d.err = d.emit(d.block)
		clear(d.block)
	}
	d.used, d.last = 0, 0
}
