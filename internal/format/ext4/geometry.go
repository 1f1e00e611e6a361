package ext4

import "fmt"

const (
	groupBlocks    = 8 * BlockSize // a bitmap is one block
	inodeSize      = 256
	inodesPerBlock = BlockSize / inodeSize
	descSize       = 64
	maxGroupInodes = 8 * BlockSize
	// With one inode for each 16 KiB, as mke2fs does it.
	usualGroupInodes = groupBlocks * BlockSize / 16384
	maxFlexLog       = 4
	// What a last group has room for at least, beside its own metadata.
	minLastGroup = 50
)

// An extent is a run of blocks of the file system.
type extent struct{ start, blocks uint64 }

func (e extent) end() uint64 { return e.start + e.blocks }

// A geometry says where the metadata of the groups are.
type geometry struct {
	blocks      uint64
	groups      int
	descBlocks  uint64 // of the table of group descriptors
	groupInodes int
	flexLog     int // groups that keep their metadata together, as a power of two
}

// newGeometry divides a file system that is to hold a number of inodes.
func newGeometry(size int64, inodes int) (geometry, error) {
	g := geometry{blocks: uint64(max(size, 0)) / BlockSize, groupInodes: usualGroupInodes}
	if g.blocks > 1<<32-1 {
		return g, fmt.Errorf("a file system of %d GiB is too large, at most 16 TiB can be written", size>>30)
	}
	for {
		g.groups = int((g.blocks + groupBlocks - 1) / groupBlocks)
		if g.groups == 0 {
			return g, fmt.Errorf("a file system of %d bytes is too small", size)
		}
		g.descBlocks = (uint64(g.groups)*descSize + BlockSize - 1) / BlockSize
		if inodes > g.groups*maxGroupInodes {
			return g, fmt.Errorf("%d files need a file system of more than %d MiB", inodes, size>>20)
		}
		if want := (inodes*5/4 + g.groups - 1) / g.groups; want > g.groupInodes {
			g.groupInodes = min((want+inodesPerBlock-1)/inodesPerBlock*inodesPerBlock, maxGroupInodes)
		}
		g.chooseFlex()
		if g.lastFits() {
			return g, nil
		}
		g.blocks = uint64(g.groups-1) * groupBlocks
	}
}

// chooseFlex takes as many groups together as have room for their metadata in
// the first of them.
func (g *geometry) chooseFlex() {
	for g.flexLog = maxFlexLog; g.flexLog > 0; g.flexLog-- {
		if 1+g.descBlocks+g.metadata(1<<g.flexLog) <= groupBlocks {
			return
		}
	}
}

// metadata is the size of the bitmaps and inode tables of some groups.
func (g *geometry) metadata(groups int) uint64 {
	return uint64(groups) * (2 + g.tableBlocks())
}

// tableBlocks is the size of the inode table of a group.
func (g *geometry) tableBlocks() uint64 { return uint64(g.groupInodes / inodesPerBlock) }

// lastFits reports whether there is room for the metadata that the last group
// has to hold.
func (g *geometry) lastFits() bool {
	last := g.groups - 1
	need := uint64(minLastGroup)
	if hasSuper(last) {
		need += 1 + g.descBlocks
	}
	if first := g.flexFirst(last); first == last {
		need += g.metadata(1)
	}
	return g.blocks-uint64(last)*groupBlocks >= need
}

// flexFirst returns the first group of those that keep their metadata with the
// given one.
func (g *geometry) flexFirst(group int) int { return group &^ (1<<g.flexLog - 1) }

// hasSuper reports whether a group has a copy of the super block and of the
// group descriptors: 0, 1, and the powers of 3, 5 and 7.
func hasSuper(group int) bool {
	if group <= 1 {
		return true
	}
	for _, base := range []int{3, 5, 7} {
		n := base
		for n < group {
			n *= base
		}
		if n == group {
			return true
		}
	}
	return false
}

// superSpan is where a group has super block and descriptors; empty for most.
func (g *geometry) superSpan(group int) extent {
	e := extent{start: uint64(group) * groupBlocks}
	if hasSuper(group) {
		e.blocks = 1 + g.descBlocks
	}
	return e
}

// flexSpan is where the metadata of all groups stand that begin with first.
func (g *geometry) flexSpan(first int) extent {
	n := min(1<<g.flexLog, g.groups-first)
	return extent{g.superSpan(first).end(), g.metadata(n)}
}

// blockBitmap, inodeBitmap and table are where a group has those.
func (g *geometry) blockBitmap(group int) uint64 {
	first := g.flexFirst(group)
	return g.flexSpan(first).start + uint64(group-first)
}

func (g *geometry) inodeBitmap(group int) uint64 {
	first := g.flexFirst(group)
	n := min(1<<g.flexLog, g.groups-first)
	return g.flexSpan(first).start + uint64(n+group-first)
}

func (g *geometry) table(group int) uint64 {
	first := g.flexFirst(group)
	n := min(1<<g.flexLog, g.groups-first)
	return g.flexSpan(first).start + uint64(2*n) + uint64(group-first)*g.tableBlocks()
}

// reserved lists what is not for files, ascending.
func (g *geometry) reserved() []extent {
	var all []extent
	for group := range g.groups {
		e := g.superSpan(group)
		if g.flexFirst(group) == group {
			e.blocks += g.flexSpan(group).blocks
		}
		if e.blocks > 0 {
			all = append(all, e)
		}
	}
	return all
}

// size is how many blocks a group has; the last may have fewer.
func (g *geometry) size(group int) uint64 {
	return min(groupBlocks, g.blocks-uint64(group)*groupBlocks)
}
