package vdisk

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// VHDAlignment is what the size of a disk is rounded up to in VHD images, in
// bytes: Azure takes no other.
const VHDAlignment = 1 << 20

// Numbers of the format, as we use it. It is big-endian.
const (
	vhdMost       = 2040 << 30 // bytes of a disk
	vhdBlock      = 2 << 20
	vhdBitmap     = vhdBlock / sectorSize / 8
	vhdHeaderSize = 1024
	vhdTable      = sectorSize + vhdHeaderSize // offset of the allocation table

	vhdFixed   = 2
	vhdDynamic = 3
	vhdVersion = 0x00010000
)

// NewFixedVHD writes Microsoft's older format without compaction, which Azure
// takes: the disk itself, with holes where pages are zero, and a footer.
func NewFixedVHD(t Target, o Options) (Disk, error) {
	v, err := newVHD(t, o)
	if err != nil {
		return nil, err
	}
	return newDisk("the vhd image", o.Size, &fixedVHD{v}), nil
}

// NewDynamicVHD writes Microsoft's older format with the blocks only that are
// not zero.
func NewDynamicVHD(t Target, o Options) (Disk, error) {
	v, err := newVHD(t, o)
	if err != nil {
		return nil, err
	}
	d := &dynamicVHD{vhd: v}
	d.table = make([]byte, roundUp(4*d.count(), sectorSize))
	for i := range d.table {
		d.table[i] = 0xff // no block
	}
	d.next = vhdTable + int64(len(d.table))
	d.blocks = newBlocks(vhdBlock, d.block)
	return newDisk("the vhd image", o.Size, d), nil
}

func newVHD(t Target, o Options) (vhd, error) {
	if err := o.check(vhdMost); err != nil {
		return vhd{}, fmt.Errorf("vhd image: %w", err)
	}
	o.Size = roundUp(o.Size, VHDAlignment)
	if err := t.Truncate(0); err != nil {
		return vhd{}, fmt.Errorf("vhd image: %w", err)
	}
	return vhd{t, o}, nil
}

// A vhd is what both kinds have.
type vhd struct {
	target  Target
	options Options
}

func (v *vhd) footer(kind uint32) []byte {
	be := binary.BigEndian
	f := make([]byte, sectorSize)
	copy(f, "conectix")
	be.PutUint32(f[8:], 2) // reserved, always set
	be.PutUint32(f[12:], vhdVersion)
	be.PutUint64(f[16:], math.MaxUint64) // offset of the header
	if kind == vhdDynamic {
		be.PutUint64(f[16:], sectorSize)
	}
	be.PutUint32(f[24:], vhdTime(v.options.Time))
	copy(f[28:], "win ") // creator whose sizes count, see docs/formats
	be.PutUint32(f[32:], 0x000a0000)
	copy(f[36:], "Wi2k")
	be.PutUint64(f[40:], uint64(v.options.Size)) // original
	be.PutUint64(f[48:], uint64(v.options.Size)) // current
	cylinders, heads, sectors := vhdGeometry(v.options.Size / sectorSize)
	be.PutUint16(f[56:], uint16(cylinders))
	f[58], f[59] = uint8(heads), uint8(sectors)
	be.PutUint32(f[60:], kind)
	copy(f[68:], v.options.ID[:])
	be.PutUint32(f[64:], vhdSum(f))
	return f
}

// vhdTime counts seconds since the year 2000, as far as it goes.
func vhdTime(t time.Time) uint32 {
	const year2000 = 946684800
	return uint32(min(max(t.Unix()-year2000, 0), math.MaxUint32))
}

// vhdSum is the check sum of a structure whose field for it is 0.
func vhdSum(p []byte) uint32 {
	var sum uint32
	for _, b := range p {
		sum += uint32(b)
	}
	return ^sum
}

// vhdGeometry finds the geometry of a disk of n sectors, by the rule of the
// specification's appendix. It covers the disk's whole cylinders, of the largest
// disks a part only.
func vhdGeometry(n int64) (cylinders, heads, sectors int64) {
	n = min(n, 65535*16*255)
	if n >= 65535*16*63 {
		return n / 255 / 16, 16, 255
	}
	heads, sectors = max((n/17+1023)/1024, 4), 17
	for _, more := range []int64{31, 63} {
		if heads > 16 || n/sectors >= heads*1024 {
			heads, sectors = 16, more
		}
	}
	return n / sectors / heads, heads, sectors
}

type fixedVHD struct{ vhd }

func (v *fixedVHD) write(p []byte, off int64) error { return writeSparse(v.target, p, off) }

func (v *fixedVHD) end() error {
	_, err := v.target.WriteAt(v.footer(vhdFixed), v.options.Size)
	return err
}

type dynamicVHD struct {
	vhd
	blocks *blocks
	table  []byte
	next   int64 // end of the file
}

// count returns how many blocks the disk has.
func (v *dynamicVHD) count() int64 { return (v.options.Size + vhdBlock - 1) / vhdBlock }

func (v *dynamicVHD) write(p []byte, off int64) error { return v.blocks.write(p, off) }

// block appends a block, behind a bitmap which says that all of its sectors are
// there.
func (v *dynamicVHD) block(n int64, block []byte) error {
	var bitmap [vhdBitmap]byte
	for i := range bitmap {
		bitmap[i] = 0xff
	}
	if _, err := v.target.WriteAt(bitmap[:], v.next); err != nil {
		return err
	}
	if err := writeSparse(v.target, block, v.next+vhdBitmap); err != nil {
		return err
	}
	binary.BigEndian.PutUint32(v.table[4*n:], uint32(v.next/sectorSize))
	v.next += vhdBitmap + vhdBlock
	return nil
}

func (v *dynamicVHD) end() error {
	if err := v.blocks.flush(); err != nil {
		return err
	}
	footer := v.footer(vhdDynamic)
	if _, err := v.target.WriteAt(footer, v.next); err != nil {
		return err
	}
	head := append(append(footer, v.header()...), v.table...)
	_, err := v.target.WriteAt(head, 0)
	return err
}

func (v *dynamicVHD) header() []byte {
	be := binary.BigEndian
	h := make([]byte, vhdHeaderSize)
	copy(h, "cxsparse")
	be.PutUint64(h[8:], math.MaxUint64) // no further structure
	be.PutUint64(h[16:], vhdTable)
	be.PutUint32(h[24:], vhdVersion)
	be.PutUint32(h[28:], uint32(v.count()))
	be.PutUint32(h[32:], vhdBlock)
	be.PutUint32(h[36:], vhdSum(h))
	return h
}
