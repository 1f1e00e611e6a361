package vdisk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"unicode/utf16"
)

// Numbers of the format, as we use it. The sections are those of MS-VHDX.
const (
	vhdxMost  = 64 << 40 // bytes of a disk
	vhdxMiB   = 1 << 20  // to which regions and blocks are aligned
	vhdxBlock = 1 << 20
	// vhdxChunk is how many blocks are followed by an entry for a sector bitmap,
	// which only disks with a parent have: 2.5.1.1.
	vhdxChunk = 1 << 23 * sectorSize / vhdxBlock

	vhdxHeader   = 64 << 10 // two, 64 KiB apart
	vhdxRegions  = 192 << 10
	vhdxPart     = 64 << 10 // size of the parts of the header section
	vhdxLog      = 1 << 20
	vhdxMetadata = 2 << 20
	vhdxTable    = 3 << 20

	vhdxEntry = 32 // bytes, of the region table and of the metadata table

	vhdxZero    = 2 // states of a block: 2.5.1.1
	vhdxPresent = 6
)

// GUIDs of regions and metadata, as they stand on disk: 2.2.3.2, 2.6.2.
const (
	vhdxTableID         = "\x66\x77\xc2\x2d\x23\xf6\x00\x42\x9d\x64\x11\x5e\x9b\xfd\x4a\x08"
	vhdxMetadataID      = "\x06\xa2\x7c\x8b\x90\x47\x9a\x4b\xb8\xfe\x57\x5f\x05\x0f\x88\x6e"
	vhdxFileParameters  = "\x37\x67\xa1\xca\x36\xfa\x43\x4d\xb3\xb6\x33\xf0\xaa\x44\xe7\x6b"
	vhdxDiskSize        = "\x24\x42\xa5\x2f\x1b\xcd\x76\x48\xb2\x11\x5d\xbe\xd8\x3b\xf4\xb8"
	vhdxPage83          = "\xab\x12\xca\xbe\xe6\xb2\x23\x45\x93\xef\xc3\x09\xe0\x00\xc7\x46"
	vhdxLogicalSectors  = "\x1d\xbf\x41\x81\x6f\xa9\x09\x47\xba\x47\xf2\x33\xa8\xfa\xab\x5f"
	vhdxPhysicalSectors = "\xc7\x48\xa3\xcd\x5d\x44\x71\x44\x9c\xc9\xe9\x88\x52\x51\xc5\x56"
)

// NewVHDX writes Hyper-V's format with the blocks only that are not zero.
func NewVHDX(t Target, o Options) (Disk, error) {
	if err := o.check(vhdxMost); err != nil {
		return nil, fmt.Errorf("vhdx image: %w", err)
	}
	if err := t.Truncate(0); err != nil {
		return nil, fmt.Errorf("vhdx image: %w", err)
	}
	v := &vhdx{target: t, options: o}
	count := (o.Size + vhdxBlock - 1) / vhdxBlock
	v.table = make([]byte, roundUp(8*(count+(count-1)/vhdxChunk), vhdxMiB))
	for n := range count {
		v.set(n, vhdxZero)
	}
	v.next = vhdxTable + int64(len(v.table))
	v.blocks = newBlocks(vhdxBlock, v.block)
	return newDisk("the vhdx image", o.Size, v), nil
}

type vhdx struct {
	target  Target
	options Options
	blocks  *blocks
	table   []byte
	next    int64 // end of the file
}

// set makes the entry of block n, counting the entries of bitmaps before it.
func (v *vhdx) set(n int64, entry uint64) {
	binary.LittleEndian.PutUint64(v.table[8*(n+n/vhdxChunk):], entry)
}

func (v *vhdx) write(p []byte, off int64) error { return v.blocks.write(p, off) }

func (v *vhdx) block(n int64, block []byte) error {
	if err := writeSparse(v.target, block, v.next); err != nil {
		return err
	}
	v.set(n, uint64(v.next)|vhdxPresent) // in MiB, which begin at bit 20
	v.next += vhdxBlock
	return nil
}

func (v *vhdx) end() error {
	if err := v.blocks.flush(); err != nil {
		return err
	}
	if err := v.target.Truncate(v.next); err != nil {
		return err
	}
	if err := writeSparse(v.target, v.table, vhdxTable); err != nil {
		return err
	}
	if err := writeSparse(v.target, v.metadata(), vhdxMetadata); err != nil {
		return err
	}
	return writeSparse(v.target, v.head(), 0)
}

// head makes the header section: 2.2.
func (v *vhdx) head() []byte {
	le := binary.LittleEndian
	h := make([]byte, vhdxRegions+2*vhdxPart)
	copy(h, "vhdxfile")
	for i, u := range utf16.Encode([]rune("bootc")) {
		le.PutUint16(h[8+2*i:], u)
	}
	for i := range 2 {
		p := h[vhdxHeader+i*vhdxPart:][:4096]
		copy(p, "head")
		le.PutUint64(p[8:], uint64(i+1)) // sequence number
		file, data := v.options.ID, v.options.ID
		file[15] ^= 1
		data[15] ^= 2
		copy(p[16:], file[:])
		copy(p[32:], data[:])
		le.PutUint16(p[66:], 1) // version
		le.PutUint32(p[68:], vhdxMiB)
		le.PutUint64(p[72:], vhdxLog)
		vhdxSum(p)
	}
	for i := range 2 {
		p := h[vhdxRegions+i*vhdxPart:][:vhdxPart]
		copy(p, "regi")
		le.PutUint32(p[8:], 2)
		vhdxRegion(p[16:], vhdxTableID, vhdxTable, len(v.table))
		vhdxRegion(p[16+vhdxEntry:], vhdxMetadataID, vhdxMetadata, vhdxMiB)
		vhdxSum(p)
	}
	return h
}

func vhdxRegion(p []byte, id string, off int64, length int) {
	copy(p, id)
	binary.LittleEndian.PutUint64(p[16:], uint64(off))
	binary.LittleEndian.PutUint32(p[24:], uint32(length))
	binary.LittleEndian.PutUint32(p[28:], 1) // required
}

// vhdxSum puts the check sum of a part, whose field for it is 0.
func vhdxSum(p []byte) {
	binary.LittleEndian.PutUint32(p[4:], crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)))
}

// metadata makes the metadata region: its table, and the items 64 KiB behind.
func (v *vhdx) metadata() []byte {
	le := binary.LittleEndian
	const required, ofDisk = 4, 2
	items := []struct {
		id    string
		flags uint32
		value []byte
	}{
		{vhdxFileParameters, required, le.AppendUint64(nil, vhdxBlock)}, // no parent, not fixed
		{vhdxDiskSize, required | ofDisk, le.AppendUint64(nil, uint64(v.options.Size))},
		{vhdxPage83, required | ofDisk, v.options.ID[:]},
		{vhdxLogicalSectors, required | ofDisk, le.AppendUint32(nil, sectorSize)},
		{vhdxPhysicalSectors, required | ofDisk, le.AppendUint32(nil, 4096)},
	}
	m := make([]byte, vhdxPart)
	copy(m, "metadata")
	le.PutUint16(m[10:], uint16(len(items)))
	for i, item := range items {
		e := m[vhdxEntry*(i+1):]
		copy(e, item.id)
		le.PutUint32(e[16:], uint32(len(m)))
		le.PutUint32(e[20:], uint32(len(item.value)))
		le.PutUint32(e[24:], item.flags)
		m = append(m, item.value...)
	}
	return m
}
