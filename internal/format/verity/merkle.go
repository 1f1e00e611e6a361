package verity

// MetadataAlign is the boundary after the end of a file at which ext4 and f2fs
// keep its Merkle tree.
const MetadataAlign = 65536

// DescriptorSize is the size of a descriptor without signature.
const DescriptorSize = 256

// A Merkle tells where the blocks of a Merkle tree stand in a file system that
// keeps them: the top level first.
type Merkle struct {
	starts []int64 // of the levels, in blocks, the lowest level first
	blocks int64
}

// NewMerkle lays out the tree of a file of the given size. A file of one block
// has none.
func NewMerkle(a Algorithm, size int64) Merkle {
	var counts []int64
	for n := (size + BlockSize - 1) / BlockSize; n > 1; {
		perBlock := int64(BlockSize / a.Size())
		n = (n + perBlock - 1) / perBlock
		counts = append(counts, n)
	}
	m := Merkle{starts: make([]int64, len(counts))}
	for level := len(counts) - 1; level >= 0; level-- {
		m.starts[level] = m.blocks
		m.blocks += counts[level]
	}
	return m
}

// Blocks returns the number of blocks of the tree.
func (m Merkle) Blocks() int64 { return m.blocks }

// Keep makes x copy the blocks of the tree into to, which has m.Blocks() blocks,
// as they are complete. After Reset it must be called again.
func (x *Hash) Keep(m Merkle, to []byte) {
	next := append([]int64(nil), m.starts...)
	x.keep = func(level int, block []byte) {
		copy(to[next[level]*BlockSize:], block)
		next[level]++
	}
}
