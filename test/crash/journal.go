package crash

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The journal of ext4, as jbd2 replays it when the file system is mounted after
// a power cut. Numbers are big-endian.
//
// Source: Documentation/filesystems/ext4/journal.rst of the Linux kernel.
const (
	journalMagic = 0xc03b3998

	blockDescriptor = 1
	blockCommit     = 2
	blockSuperV2    = 4
	blockRevoke     = 5

	journalRevoke = 1 << 0
	journal64Bit  = 1 << 1
	journalCsumV3 = 1 << 4

	tagEscaped  = 1
	tagSameUUID = 2
	tagLast     = 8

	tagSize = 16
)

// castagnoli is the CRC-32C of the kernel, which does not invert.
func castagnoli(crc uint32, p []byte) uint32 {
	return ^crc32.Update(^crc, crc32.MakeTable(crc32.Castagnoli), p)
}

// A journal is replayed in three passes over the same blocks: how far it is
// good, what was revoked, and the writing.
type journal struct {
	v       *Volume
	blocks  []int64 // of the file, where they are in the file system
	seed    uint32
	first   uint32 // block of the log
	start   uint32
	seq     uint32
	revoked map[int64]uint32
}

// replayJournal brings a file system up to date from the blocks of its journal.
// It returns how many blocks were written.
func replayJournal(v *Volume, blocks []int64) (int, error) {
	j := &journal{v: v, blocks: blocks, revoked: map[int64]uint32{}}
	super, err := j.block(0)
	if err != nil {
		return 0, err
	}
	if binary.BigEndian.Uint32(super) != journalMagic || binary.BigEndian.Uint32(super[4:]) != blockSuperV2 {
		return 0, errors.New("journal: no superblock")
	}
	if got := binary.BigEndian.Uint32(super[0x28:]); got&^(journalRevoke|journal64Bit|journalCsumV3) != 0 {
		return 0, fmt.Errorf("journal: unknown features %#x", got)
	} else if got&journalCsumV3 == 0 {
		if binary.BigEndian.Uint32(super[0x1c:]) != 0 {
			return 0, errors.New("journal: without check sums")
		}
		return 0, nil // it was never used
	}
	sum := binary.BigEndian.Uint32(super[0xfc:])
	binary.BigEndian.PutUint32(super[0xfc:], 0)
	if castagnoli(^uint32(0), super[:1024]) != sum {
		return 0, errors.New("journal: check sum of its superblock")
	}
	j.seed = castagnoli(^uint32(0), super[0x30:0x40])
	j.first, j.seq, j.start = binary.BigEndian.Uint32(super[0x14:]), binary.BigEndian.Uint32(super[0x18:]), binary.BigEndian.Uint32(super[0x1c:])
	if n := binary.BigEndian.Uint32(super[0x10:]); int(n) < len(blocks) {
		j.blocks = blocks[:n]
	}
	if j.start == 0 {
		return 0, nil
	}
	end, err := j.walk(j.seq+1<<30, nil)
	if err != nil {
		return 0, err
	}
	n := 0
	_, err = j.walk(end, func(seq uint32, to int64, at uint32, escaped bool) error {
		if last, ok := j.revoked[to]; ok && int32(seq-last) <= 0 {
			return nil
		}
		n++
		return j.write(to, at, escaped)
	})
	return n, err
}

func (j *journal) block(at uint32) ([]byte, error) {
	if int(at) >= len(j.blocks) {
		return nil, fmt.Errorf("journal: block %d of %d", at, len(j.blocks))
	}
	return j.v.bytes(j.blocks[at]*blockSize, blockSize)
}

func (j *journal) next(at uint32) uint32 {
	if at++; int(at) == len(j.blocks) {
		return j.first
	}
	return at
}

// walk goes through the transactions before end, the number of one, and returns
// the number of the first that is not complete. Without do it collects what is
// revoked.
func (j *journal) walk(end uint32, do func(seq uint32, to int64, at uint32, escaped bool) error) (uint32, error) {
	at, seq := j.start, j.seq
	revoked := map[int64]uint32{}
	for steps := 0; seq != end && steps <= len(j.blocks); steps++ {
		b, err := j.block(at)
		if err != nil {
			return seq, err
		}
		if binary.BigEndian.Uint32(b) != journalMagic || binary.BigEndian.Uint32(b[8:]) != seq {
			return seq, nil
		}
		switch kind := binary.BigEndian.Uint32(b[4:]); kind {
		case blockDescriptor:
			if !j.tailGood(b) {
				return seq, nil
			}
			if at, err = j.tags(b, at, seq, do); err != nil {
				return seq, err
			}
		case blockRevoke:
			if !j.tailGood(b) {
				return seq, nil
			}
			if n := binary.BigEndian.Uint32(b[12:]); n <= blockSize-4 {
				for i := uint32(16); i+8 <= n; i += 8 {
					revoked[int64(binary.BigEndian.Uint64(b[i:]))] = seq
				}
			}
		case blockCommit:
			if !j.commitGood(b) {
				return seq, nil
			}
			if do == nil {
				for to, n := range revoked {
					j.revoked[to] = n
				}
			}
			clear(revoked)
			seq++
		default:
			return seq, nil
		}
		at = j.next(at)
	}
	return seq, nil
}

// tags goes through the blocks of a descriptor and returns where the last of
// them is.
func (j *journal) tags(b []byte, at, seq uint32, do func(uint32, int64, uint32, bool) error) (uint32, error) {
	for i := 12; i+tagSize <= blockSize-4; {
		to := int64(binary.BigEndian.Uint32(b[i:])) | int64(binary.BigEndian.Uint32(b[i+8:]))<<32
		flags, sum := binary.BigEndian.Uint32(b[i+4:]), binary.BigEndian.Uint32(b[i+12:])
		i += tagSize
		if flags&tagSameUUID == 0 {
			i += 16
		}
		at = j.next(at)
		if do != nil {
			data, err := j.block(at)
			if err != nil {
				return at, err
			}
			var number [4]byte
			binary.BigEndian.PutUint32(number[:], seq)
			if castagnoli(castagnoli(j.seed, number[:]), data) != sum {
				return at, fmt.Errorf("journal: check sum of block %d, in a transaction that was committed", at)
			}
			if err := do(seq, to, at, flags&tagEscaped != 0); err != nil {
				return at, err
			}
		}
		if flags&tagLast != 0 {
			break
		}
	}
	return at, nil
}

// tailGood checks the sum at the end of a block.
func (j *journal) tailGood(b []byte) bool {
	sum := binary.BigEndian.Uint32(b[blockSize-4:])
	binary.BigEndian.PutUint32(b[blockSize-4:], 0)
	return castagnoli(j.seed, b) == sum
}

func (j *journal) commitGood(b []byte) bool {
	sum := binary.BigEndian.Uint32(b[16:])
	binary.BigEndian.PutUint32(b[16:], 0)
	return castagnoli(j.seed, b) == sum
}

func (j *journal) write(to int64, at uint32, escaped bool) error {
	if !escaped {
		return j.v.copySectors(to*blockSize/sectorSize, j.blocks[at]*blockSize/sectorSize, blockSize/sectorSize)
	}
	data, err := j.block(at)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(data, journalMagic)
	j.v.write(to*blockSize, data)
	return nil
}
