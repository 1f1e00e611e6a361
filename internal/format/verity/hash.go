package verity

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"hash"
)

// BlockSize is the size of Merkle tree blocks, in bytes.
const BlockSize = 4096

// A Hash computes the fs-verity digest of what is written to it.
type Hash struct {
	algorithm Algorithm
	h         hash.Hash
	wide      bool // several blocks at a time are hashed by hashBlocks
	size      uint64
	block     []byte   // the data block under way, less than full
	levels    [][]byte // hashes not yet hashed upwards, lowest level first
	sum       [64]byte
	keep      func(level int, block []byte) // gets the blocks of the tree; may be nil
}

// New returns a Hash for SHA256 or SHA512.
func New(a Algorithm) *Hash {
	x := &Hash{algorithm: a, h: sha512.New(), block: make([]byte, 0, BlockSize)}
	if a == SHA256 {
		x.h = sha256.New()
	} else {
		x.wide = wide()
	}
	return x
}

// Reset makes x as new.
func (x *Hash) Reset() {
	x.size, x.block, x.levels, x.keep = 0, x.block[:0], x.levels[:0], nil
}

// Write adds data. It never fails.
func (x *Hash) Write(p []byte) (int, error) {
	n := len(p)
	x.size += uint64(n)
	if len(x.block) > 0 {
		k := min(BlockSize-len(x.block), len(p))
		x.block, p = append(x.block, p[:k]...), p[k:]
		if len(x.block) == BlockSize {
			x.push(0, x.block)
			x.block = x.block[:0]
		}
	}
	for x.wide && len(p) >= 2*BlockSize {
		k := min(len(p)/BlockSize, maxLanes)
		x.pushAll(p[:k*BlockSize])
		p = p[k*BlockSize:]
	}
	for ; len(p) >= BlockSize; p = p[BlockSize:] {
		x.push(0, p[:BlockSize])
	}
	x.block = append(x.block, p...)
	return n, nil
}

// pushAll hashes several data blocks into the lowest level.
func (x *Hash) pushAll(blocks []byte) {
	var sums [maxLanes * sha512.Size]byte
	for rest := hashBlocks(sums[:0], blocks); len(rest) > 0; rest = rest[sha512.Size:] {
		x.room(0)
		x.levels[0] = append(x.levels[0], rest[:sha512.Size]...)
	}
}

// push hashes a block into a level.
func (x *Hash) push(level int, block []byte) {
	if level > 0 && x.keep != nil {
		x.keep(level-1, block)
	}
	x.room(level)
	x.h.Reset()
	x.h.Write(block)
	x.levels[level] = x.h.Sum(x.levels[level])
}

// room makes room for a hash in a level. One that is full goes up first, so that
// no level ever holds more than a block.
func (x *Hash) room(level int) {
	if level == len(x.levels) {
		x.grow()
	}
	if len(x.levels[level]) == BlockSize {
		x.push(level+1, x.levels[level])
		x.levels[level] = x.levels[level][:0]
	}
}

// grow adds an empty level, in the room of one from before Reset if there is.
func (x *Hash) grow() {
	n := len(x.levels)
	if n == cap(x.levels) {
		x.levels = append(x.levels, make([]byte, 0, BlockSize))
		return
	}
	x.levels = x.levels[:n+1]
	if x.levels[n] == nil {
		x.levels[n] = make([]byte, 0, BlockSize)
	}
	x.levels[n] = x.levels[n][:0]
}

// Sum returns the digest of what was written. Reset must follow before more is
// written.
func (x *Hash) Sum() Digest {
	_, sum := x.Descriptor()
	return sum
}

// Descriptor is Sum that also returns the descriptor, of which the digest is the
// hash.
func (x *Hash) Descriptor() ([DescriptorSize]byte, Digest) {
	var root []byte
	if x.size > 0 {
		root = x.root()
	}
	var d [DescriptorSize]byte
	d[0], d[1], d[2] = 1, byte(x.algorithm), 12
	binary.LittleEndian.PutUint64(d[8:], x.size)
	copy(d[16:80], root)
	x.h.Reset()
	x.h.Write(d[:])
	sum, err := MakeDigest(x.algorithm, x.h.Sum(x.sum[:0]))
	if err != nil {
		panic("internal error: " + err.Error())
	}
	return d, sum
}

// root hashes what is left up to the one hash of the last level.
func (x *Hash) root() []byte {
	if len(x.block) > 0 {
		x.push(0, padded(x.block))
	}
	for level := 0; ; level++ {
		if level == len(x.levels)-1 && len(x.levels[level]) == x.algorithm.Size() {
			return x.levels[level]
		}
		x.push(level+1, padded(x.levels[level]))
	}
}

// padded fills up a block with zeros, in place: it has room for BlockSize.
func padded(p []byte) []byte {
	n := len(p)
	p = p[:BlockSize]
	clear(p[n:])
	return p
}

// Sum returns the digest of data.
func Sum(a Algorithm, data []byte) Digest {
	x := New(a)
	x.Write(data)
	return x.Sum()
}
