package storage

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

// A magic is what marks a disk as in use by a format: bytes at an offset from
// the start, or from the end if the offset is negative.
type magic struct {
	name   string
	offset int64
	bytes  string
}

// magics are the formats that people keep data in. Partition tables are among
// them; a FAT has no single mark, so two of its variants are listed.
var magics = []magic{
	{"a GPT partition table", 512, "EFI PART"},
	{"a GPT partition table", 4096, "EFI PART"},
	{"a GPT partition table", -512, "EFI PART"},
	{"a GPT partition table", -4096, "EFI PART"},
	{"an MBR partition table or boot sector", 510, "\x55\xaa"},
	{"an ext file system", 1024 + 56, "\x53\xef"},
	{"an XFS file system", 0, "XFSB"},
	{"a Btrfs file system", 64<<10 + 64, "_BHRfS_M"},
	{"an F2FS file system", 1024, "\x10\x20\xf5\xf2"},
	{"an EROFS file system", 1024, "\xe2\xe1\xf5\xe0"},
	{"a squashfs file system", 0, "hsqs"},
	{"an ISO 9660 file system", 32<<10 + 1, "CD001"},
	{"an NTFS file system", 3, "NTFS    "},
	{"an exFAT file system", 3, "EXFAT   "},
	{"a FAT file system", 82, "FAT32   "},
	{"a FAT file system", 54, "FAT1"},
	{"a bcachefs file system", 4096 + 24, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"},
	{"a LUKS volume", 0, "LUKS\xba\xbe"},
	{"an LVM volume", 0, "LABELONE"},
	{"an LVM volume", 512, "LABELONE"},
	{"an LVM volume", 1024, "LABELONE"},
	{"an LVM volume", 1536, "LABELONE"},
	{"a RAID member", 0, "\xfc\x4e\x2b\xa9"},
	{"a RAID member", 4096, "\xfc\x4e\x2b\xa9"},
	{"a RAID member", -8192, "\xfc\x4e\x2b\xa9"},
	{"a RAID member", -65536, "\xfc\x4e\x2b\xa9"},
	{"swap space", 4096 - 10, "SWAPSPACE2"},
	{"swap space", 65536 - 10, "SWAPSPACE2"},
}

// Signatures names what is on a disk of the given size, in no fixed order,
// each thing once.
func Signatures(r io.ReaderAt, size int64) ([]string, error) {
	var found []string
	for _, m := range magics {
		at := m.offset
		if at < 0 {
			at += size
		}
		if at < 0 || at+int64(len(m.bytes)) > size {
			continue
		}
		buf := make([]byte, len(m.bytes))
		if _, err := r.ReadAt(buf, at); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if string(buf) == m.bytes && !slices.Contains(found, m.name) {
			found = append(found, m.name)
		}
	}
	zfs, err := hasZFS(r, size)
	if zfs {
		found = append(found, "a ZFS volume")
	}
	return found, err
}

// hasZFS looks for an uberblock in the first label of a ZFS volume, which is a
// ring of 128 places of 1 KiB, 128 KiB from the start.
func hasZFS(r io.ReaderAt, size int64) (bool, error) {
	const start, length, step, uberblock = 128 << 10, 128 << 10, 1 << 10, 0x00bab10c
	if size < start+length {
		return false, nil
	}
	ring := make([]byte, length)
	if _, err := r.ReadAt(ring, start); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	for at := 0; at < length; at += step {
		word := ring[at : at+8]
		if binary.LittleEndian.Uint64(word) == uberblock || binary.BigEndian.Uint64(word) == uberblock {
			return true, nil
		}
	}
	return false, nil
}
