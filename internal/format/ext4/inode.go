package ext4

import (
	"errors"
	"fmt"
	"math"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// Numbers of inodes.
const (
	rootInode      = 2
	journalInode   = 8
	lostFoundInode = 11
)

const (
	maxExtent     = 32768 // blocks
	inlineExtents = 4
	leafExtents   = (BlockSize - 12 - 4) / 12
	// A directory with more subdirectories has a link count of 1.
	maxLinks = 65000
	// A shorter symbolic link stands in the inode.
	inlineTarget = 60
)

const lostFoundBlocks = 4

// An inode is what is known of one before it is written.
type inode struct {
	node   *tree.Node // nil for the journal
	links  uint32
	parent uint32 // of a directory
	sealed bool
	attr   uint64   // the block of extended attributes, 0 for none
	runs   []run    // where its contents are, ascending, without holes
	leaves []uint64 // blocks of extents, when there are more than fit in the inode
}

// A run is a part of a file that is contiguous. It has at most maxExtent blocks.
type run struct {
	logical uint32 // the block in the file
	blocks  uint32
	start   uint64
}

// number gives every node of the tree an inode.
func (i *Image) number(t *tree.Tree) error {
	if t.Root.Child("lost+found") != nil {
		return errors.New("the tree has a /lost+found, which the file system makes itself")
	}
	i.lostFound = &tree.Node{Mode: tree.TypeDir | 0o700, Mtime: tree.Time{Sec: i.o.Time}}
	i.inodes = make([]*inode, lostFoundInode)
	i.inodes[rootInode-1] = &inode{node: t.Root, links: 3, parent: rootInode}
	i.inodes[journalInode-1] = &inode{links: 1}
	i.inodes[lostFoundInode-1] = &inode{node: i.lostFound, links: 2, parent: rootInode}
	i.numbers = map[*tree.Node]uint32{t.Root: rootInode, i.lostFound: lostFoundInode}
	return i.numberBelow("/", t.Root)
}

func (i *Image) numberBelow(path string, dir *tree.Node) error {
	parent := i.numbers[dir]
	for name, n := range dir.Entries() {
		if number, ok := i.numbers[n]; ok {
			in := i.inodes[number-1]
			if in.links++; n.IsDir() || in.links > maxLinks {
				return fmt.Errorf("%s%s: %d names are more than ext4 can have for one file", path, name, in.links)
			}
			continue
		}
		if len(i.inodes) == math.MaxUint32 {
			return errors.New("there are more files than ext4 can have")
		}
		in := &inode{node: n, links: 1, parent: parent}
		in.sealed = n.IsRegular() && i.o.Seal != nil && i.o.Seal(path+name)
		if err := i.check(in); err != nil {
			return fmt.Errorf("%s%s: %w", path, name, err)
		}
		i.inodes = append(i.inodes, in)
		i.numbers[n] = uint32(len(i.inodes))
		if !n.IsDir() {
			continue
		}
		in.links = 2
		i.inodes[parent-1].links++
		if err := i.numberBelow(path+name+"/", n); err != nil {
			return err
		}
	}
	return nil
}

// check refuses what an inode cannot say.
func (i *Image) check(in *inode) error {
	n := in.node
	switch n.Type() {
	case tree.TypeRegular:
		if n.Size > (math.MaxUint32-verity.MetadataAlign)*BlockSize {
			return fmt.Errorf("a file of %d bytes is too large for ext4", n.Size)
		}
		if in.sealed && n.Object.IsZero() {
			return errors.New("a file with fs-verity has no digest")
		}
	case tree.TypeSymlink:
		if len(n.Target) >= BlockSize || n.Target == "" {
			return fmt.Errorf("a symbolic link of %d bytes: ext4 takes 1 to %d", len(n.Target), BlockSize-1)
		}
	}
	_, _, err := i.attributes(n)
	return err
}

// place gives blocks to every inode, in the order of their numbers.
func (i *Image) place() error {
	i.dirs = make([]uint32, i.geo.groups)
	for at, in := range i.inodes {
		if in == nil {
			continue
		}
		in.attr, in.runs, in.leaves = 0, nil, nil
		if in.node != nil && in.node.IsDir() {
			i.dirs[at/i.geo.groupInodes]++
		}
		if err := i.placeInode(in); err != nil {
			return err
		}
	}
	return nil
}

func (i *Image) placeInode(in *inode) error {
	if in.node != nil {
		if _, block, err := i.attributes(in.node); err != nil {
			return err
		} else if len(block) > 0 {
			e, err := i.space.take(1)
			if err != nil {
				return err
			}
			in.attr = e[0].start
		}
	}
	if err := i.take(in, 0, i.dataBlocks(in)); err != nil {
		return err
	}
	if in.sealed {
		if err := i.take(in, metadataBlock(in.node.Size), i.metadataBlocks(in)); err != nil {
			return err
		}
	}
	return i.placeLeaves(in)
}

// take gives blocks to a part of a file.
func (i *Image) take(in *inode, logical, blocks uint64) error {
	if blocks == 0 {
		return nil
	}
	got, err := i.space.take(blocks)
	if err != nil {
		return err
	}
	for _, e := range got {
		for e.blocks > 0 {
			n := min(e.blocks, maxExtent)
			in.runs = append(in.runs, run{uint32(logical), uint32(n), e.start})
			logical += n
			e = extent{e.start + n, e.blocks - n}
		}
	}
	return nil
}

func (i *Image) placeLeaves(in *inode) error {
	if len(in.runs) <= inlineExtents {
		return nil
	}
	n := (len(in.runs) + leafExtents - 1) / leafExtents
	if n > inlineExtents {
		return fmt.Errorf("a file of %d bytes is in too many pieces", in.node.Size)
	}
	got, err := i.space.take(uint64(n))
	for _, e := range got {
		for k := range e.blocks {
			in.leaves = append(in.leaves, e.start+k)
		}
	}
	return err
}

// dataBlocks is the size of what an inode contains, fs-verity aside.
func (i *Image) dataBlocks(in *inode) uint64 {
	n := in.node
	switch {
	case n == nil:
		return journalBlocks(i.geo.blocks)
	case n == i.lostFound:
		return lostFoundBlocks
	case n.IsDir():
		count, _ := i.directory(in, nil)
		return count
	case n.IsSymlink() && len(n.Target) >= inlineTarget:
		return 1
	case n.IsRegular() && (len(n.Content) > 0 || !n.Object.IsZero()):
		return blocks(n.Size)
	}
	return 0
}

func blocks(size uint64) uint64 { return (size + BlockSize - 1) / BlockSize }

// metadataBlock is where in a file its Merkle tree begins.
func metadataBlock(size uint64) uint64 {
	return (size + verity.MetadataAlign - 1) / verity.MetadataAlign * (verity.MetadataAlign / BlockSize)
}

// metadataBlocks is the size of Merkle tree and descriptor.
func (i *Image) metadataBlocks(in *inode) uint64 {
	n := in.node
	return uint64(verity.NewMerkle(n.Object.Algorithm(), int64(n.Size)).Blocks()) + 1
}

// size is what stat(2) shows.
func (i *Image) size(in *inode) uint64 {
	n := in.node
	switch {
	case n == nil:
		return journalBlocks(i.geo.blocks) * BlockSize
	case n.IsDir():
		var total uint64
		for _, r := range in.runs {
			total += uint64(r.blocks) * BlockSize
		}
		return total
	case n.IsSymlink():
		return uint64(len(n.Target))
	case n.IsRegular():
		return n.Size
	}
	return 0
}
