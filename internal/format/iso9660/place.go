package iso9660

import "encoding/binary"

// TellPlace writes into a boot image where it stands on the medium, in bytes, for
// loaders that the BIOS has read the begin of only: the "boot information table" at
// bytes 8 to 63, as mkisofs(8) writes it.
func TellPlace(image []byte, at int64) {
	le := binary.LittleEndian
	clear(image[8:64])
	le.PutUint32(image[8:], primaryAt)
	le.PutUint32(image[12:], uint32(at/SectorSize))
	le.PutUint32(image[16:], uint32(len(image)))
	var sum uint32
	for k := 64; k < len(image); k += 4 {
		var word [4]byte // what is behind the end is zero
		copy(word[:], image[k:])
		sum += le.Uint32(word[:])
	}
	le.PutUint32(image[20:], sum)
}
