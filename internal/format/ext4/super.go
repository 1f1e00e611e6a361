package ext4

const (
	// Compatible features: journal, extended attributes, indexed directories.
	compatible = 0x04 | 0x08 | 0x20
	// Incompatible ones: file types in directories, extents, 64 bits, flexible
	// groups.
	incompatible = 0x02 | 0x40 | 0x80 | 0x200
	// Those that a kernel without may read: sparse copies of the super block,
	// large and huge files, any number of subdirectories, large inodes, check
	// sums, fs-verity.
	readOnly = 0x01 | 0x02 | 0x08 | 0x20 | 0x40 | 0x400 | 0x8000
)

// Flags of a group.
const (
	inodesUnused  = 1 // the bitmap of inodes is not written
	blocksUnused  = 2 // nor that of blocks
	tableIsZeroed = 4
)

// superBlock makes the super block as a group has it.
func (i *Image) superBlock(group int) []byte {
	b := make([]byte, 1024)
	g := &i.geo
	inodes := uint32(g.groups * g.groupInodes)
	free := g.blocks - i.space.used()
	le.PutUint32(b[0x00:], inodes)
	putSplit(b[0x04:], b[0x150:], g.blocks)
	putSplit(b[0x08:], b[0x154:], g.blocks/20)
	putSplit(b[0x0C:], b[0x158:], free)
	le.PutUint32(b[0x10:], inodes-uint32(len(i.inodes)))
	le.PutUint32(b[0x18:], 2) // 1024 << 2 is the size of a block,
	le.PutUint32(b[0x1C:], 2) // and of a cluster
	le.PutUint32(b[0x20:], groupBlocks)
	le.PutUint32(b[0x24:], groupBlocks)
	le.PutUint32(b[0x28:], uint32(g.groupInodes))
	le.PutUint16(b[0x36:], 0xFFFF) // no check after a number of mounts
	le.PutUint16(b[0x38:], magic)
	le.PutUint16(b[0x3A:], 1)                                                   // clean
	le.PutUint16(b[0x3C:], 1)                                                   // after errors: go on
	for at, high := range map[int]int{0x30: 0x274, 0x40: 0x277, 0x108: 0x276} { // written, checked, made
		le.PutUint32(b[at:], uint32(i.o.Time))
		b[high] = byte(i.o.Time >> 32)
	}
	le.PutUint32(b[0x4C:], 1) // revision with the fields that follow
	le.PutUint32(b[0x54:], lostFoundInode)
	le.PutUint16(b[0x58:], inodeSize)
	le.PutUint16(b[0x5A:], uint16(group))
	le.PutUint32(b[0x5C:], compatible)
	le.PutUint32(b[0x60:], incompatible)
	le.PutUint32(b[0x64:], readOnly)
	copy(b[0x68:0x78], i.o.UUID[:])
	copy(b[0x78:0x88], i.o.Label)
	le.PutUint32(b[0xE0:], journalInode)
	copy(b[0xEC:0xFC], i.o.HashSeed[:])
	b[0xFC] = 1 // directories would be hashed with half MD4,
	b[0xFD] = 1 // and the journal's inode is repeated:
	journal := i.inodes[journalInode-1]
	journal.encodeExtents(b[0x10C : 0x10C+60])
	le.PutUint32(b[0x10C+64:], uint32(i.size(journal)))
	le.PutUint16(b[0xFE:], descSize)
	le.PutUint32(b[0x100:], 0x04|0x08) // mounted with user_xattr and acl
	le.PutUint16(b[0x15C:], extraSize)
	le.PutUint16(b[0x15E:], extraSize)
	le.PutUint32(b[0x160:], 2) // names are hashed as unsigned characters
	b[0x174] = byte(g.flexLog)
	b[0x175] = 1 // CRC-32C
	le.PutUint32(b[0x3FC:], checksum(^uint32(0), b[:0x3FC]))
	return b
}

// descriptors makes the table of group descriptors.
func (i *Image) descriptors() []byte {
	b := make([]byte, i.geo.descBlocks*BlockSize)
	for group := range i.geo.groups {
		i.descriptor(b[group*descSize:][:descSize], group)
	}
	return b
}

func (i *Image) descriptor(d []byte, group int) {
	g := &i.geo
	start, size := uint64(group)*groupBlocks, g.size(group)
	used := i.space.inGroup(start, size, nil)
	inodes := i.usedInodes(group)
	putSplit(d[0x00:], d[0x20:], g.blockBitmap(group))
	putSplit(d[0x04:], d[0x24:], g.inodeBitmap(group))
	putSplit(d[0x08:], d[0x28:], g.table(group))
	putSplit16(d[0x0C:], d[0x2C:], uint32(size-used))
	putSplit16(d[0x0E:], d[0x2E:], uint32(g.groupInodes-inodes))
	putSplit16(d[0x10:], d[0x30:], i.dirs[group])
	putSplit16(d[0x1C:], d[0x32:], uint32(g.groupInodes-inodes))
	flags := uint16(tableIsZeroed)
	if bitmap := i.blockBitmap(group); bitmap == nil {
		flags |= blocksUnused
	} else {
		putSplit16(d[0x18:], d[0x38:], checksum(i.seed, bitmap))
	}
	if bitmap := i.inodeBitmap(group); bitmap == nil {
		flags |= inodesUnused
	} else {
		putSplit16(d[0x1A:], d[0x3A:], checksum(i.seed, bitmap[:g.groupInodes/8]))
	}
	le.PutUint16(d[0x12:], flags)
	le.PutUint16(d[0x1E:], uint16(checksum(i.seed, le32(uint32(group)), d)))
}

// usedInodes is how many inodes of a group are in use. They are its first.
func (i *Image) usedInodes(group int) int {
	return min(max(len(i.inodes)-group*i.geo.groupInodes, 0), i.geo.groupInodes)
}

// blockBitmap makes the bitmap of a group; nil where the kernel can make it: it
// holds nothing but copies of super block and descriptors. The last group always
// has one.
func (i *Image) blockBitmap(group int) []byte {
	start, size := uint64(group)*groupBlocks, i.geo.size(group)
	if group < i.geo.groups-1 && i.space.inGroup(start, size, nil) == i.geo.superSpan(group).blocks {
		return nil
	}
	b := make([]byte, BlockSize)
	i.space.inGroup(start, size, func(from, blocks uint64) { setBits(b, int(from), int(blocks)) })
	setBits(b, int(size), groupBlocks-int(size))
	return b
}

// inodeBitmap makes the bitmap of a group; nil where no inode is in use.
func (i *Image) inodeBitmap(group int) []byte {
	used := i.usedInodes(group)
	if used == 0 {
		return nil
	}
	b := make([]byte, BlockSize)
	setBits(b, 0, used)
	setBits(b, i.geo.groupInodes, 8*BlockSize-i.geo.groupInodes)
	return b
}

func setBits(b []byte, from, n int) {
	for k := from; k < from+n; k++ {
		if k&7 == 0 && k+8 <= from+n {
			b[k>>3] = 0xFF
			k += 7
			continue
		}
		b[k>>3] |= 1 << (k & 7)
	}
}
