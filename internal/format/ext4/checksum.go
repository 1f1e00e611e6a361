package ext4

import (
	"encoding/binary"
	"hash/crc32"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is CRC-32C without the inversions at begin and end, as ext4 uses it.
func checksum(seed uint32, parts ...[]byte) uint32 {
	for _, p := range parts {
		seed = ^crc32.Update(^seed, castagnoli, p)
	}
	return seed
}

var le = binary.LittleEndian

func le32(v uint32) []byte { return le.AppendUint32(nil, v) }

// putSplit writes a number whose halves stand apart.
func putSplit(low, high []byte, v uint64) {
	le.PutUint32(low, uint32(v))
	le.PutUint32(high, uint32(v>>32))
}

func putSplit16(low, high []byte, v uint32) {
	le.PutUint16(low, uint16(v))
	le.PutUint16(high, uint16(v>>16))
}
