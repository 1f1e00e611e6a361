package ext4

import "encoding/binary"

// journalBlocks is the size of the journal, as mke2fs chooses it.
func journalBlocks(blocks uint64) uint64 {
	for _, s := range []struct{ below, size uint64 }{
		{32 << 10, 1024}, {256 << 10, 4096}, {512 << 10, 8192}, {4096 << 10, 16384}, {8192 << 10, 32768},
		{16384 << 10, 65536}, {32768 << 10, 131072},
	} {
		if blocks < s.below {
			return s.size
		}
	}
	return 262144
}

// journalSuper is the first block of the journal: an empty one.
func (i *Image) journalSuper() []byte {
	b := make([]byte, BlockSize)
	be := binary.BigEndian
	be.PutUint32(b[0x00:], 0xC03B3998)
	be.PutUint32(b[0x04:], 4) // a super block of version 2
	be.PutUint32(b[0x0C:], BlockSize)
	be.PutUint32(b[0x10:], uint32(journalBlocks(i.geo.blocks)))
	be.PutUint32(b[0x14:], 1) // where the log begins
	be.PutUint32(b[0x18:], 1) // and its first number
	be.PutUint32(b[0x40:], 1) // used by one file system
	return b
}
