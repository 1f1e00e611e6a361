package vdisk

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/klauspost/compress/zlib"
)

// Numbers of the format, as we use it. Offsets and lengths in sectors are
// "sectors" in their names.
const (
	vmdkGrain        = 64 << 10
	vmdkGrainSectors = vmdkGrain / sectorSize
	vmdkEntries      = 512 // of a grain table
	vmdkTableSize    = 4 * vmdkEntries
	vmdkOverhead     = 128      // sectors before the first grain
	vmdkMost         = 62 << 40 // bytes of a disk, of VMware's products
	vmdkDescriptor   = 20       // sectors

	vmdkFlags = 1<<0 | 1<<16 | 1<<17 // newline test valid, compressed grains, markers
)

// Types of markers.
const (
	vmdkEnd       = 0
	vmdkTable     = 1
	vmdkDirectory = 2
	vmdkFooter    = 3
)

// NewVMDK writes VMware's format as a stream: streamOptimized, as in an OVA.
func NewVMDK(w io.Writer, o Options) (Disk, error) {
	v, err := newVMDK(w, o)
	if err != nil {
		return nil, fmt.Errorf("vmdk image: %w", err)
	}
	return newDisk("the vmdk image", o.Size, v), nil
}

func newVMDK(w io.Writer, o Options) (*vmdk, error) {
	if err := o.check(vmdkMost); err != nil {
		return nil, err
	}
	if o.Name == "" {
		o.Name = "disk.vmdk"
	}
	if len(o.Name) > 255 || strings.ContainsAny(o.Name, "\"/\\") || strings.ContainsFunc(o.Name, func(r rune) bool { return r < ' ' }) {
		return nil, fmt.Errorf("name %q of the extent", o.Name)
	}
	v := &vmdk{w: bufio.NewWriterSize(w, 256<<10), options: o, table: make([]byte, vmdkTableSize)}
	tables := (o.Size + vmdkGrain*vmdkEntries - 1) / (vmdkGrain * vmdkEntries)
	v.directory = make([]byte, roundUp(4*tables, sectorSize))
	v.press = newPress(vmdkGrain, newVMDKPacker, v.grain)
	v.blocks = newBlocks(vmdkGrain, v.press.put)
	return v, nil
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }

type vmdk struct {
	w       *bufio.Writer
	options Options
	blocks  *blocks
	press   *press
	sectors int64 // written
	grains  int64 // written

	directory []byte
	table     []byte // of the part of the disk being written
	// current is the number of table in directory; dirty says whether it has
	// entries.
	current int64
	dirty   bool
}

func (v *vmdk) write(p []byte, off int64) error { return v.blocks.write(p, off) }

// grain writes one, which follows its marker immediately.
func (v *vmdk) grain(n int64, _, packed []byte) error {
	if n/vmdkEntries != v.current {
		if err := v.writeTable(); err != nil {
			return err
		}
		v.current = n / vmdkEntries
	}
	if err := v.begin(); err != nil {
		return err
	}
	at, err := v.here()
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(v.table[n%vmdkEntries*4:], at)
	v.dirty = true
	v.grains++
	var marker [12]byte
	binary.LittleEndian.PutUint64(marker[:], uint64(n*vmdkGrainSectors))
	binary.LittleEndian.PutUint32(marker[8:], uint32(len(packed)))
	return v.put(marker[:], packed)
}

// begin writes the header, if nothing is written yet.
func (v *vmdk) begin() error {
	if v.sectors > 0 {
		return nil
	}
	head := make([]byte, vmdkOverhead*sectorSize)
	copy(head, v.header(math.MaxUint64)) // the directory is found by the footer
	copy(head[sectorSize:], v.descriptor())
	return v.put(head)
}

// here returns the next sector's number.
func (v *vmdk) here() (uint32, error) {
	if v.sectors > math.MaxUint32 {
		return 0, errors.New("the file is larger than 2 TiB")
	}
	return uint32(v.sectors), nil
}

// put writes parts one behind the other, up to the end of a sector.
func (v *vmdk) put(parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
		if _, err := v.w.Write(p); err != nil {
			return err
		}
	}
	var fill [sectorSize]byte
	end := int(roundUp(int64(n), sectorSize))
	v.sectors += int64(end / sectorSize)
	_, err := v.w.Write(fill[:end-n])
	return err
}

// marked writes what is not a grain, and returns the sector behind its marker.
func (v *vmdk) marked(kind uint32, data []byte) (uint32, error) {
	var marker [sectorSize]byte
	binary.LittleEndian.PutUint64(marker[:], uint64(len(data)/sectorSize))
	binary.LittleEndian.PutUint32(marker[12:], kind)
	if err := v.put(marker[:]); err != nil {
		return 0, err
	}
	at, err := v.here()
	if err != nil {
		return 0, err
	}
	return at, v.put(data)
}

func (v *vmdk) writeTable() error {
	if !v.dirty {
		return nil
	}
	at, err := v.marked(vmdkTable, v.table)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(v.directory[v.current*4:], at)
	clear(v.table)
	v.dirty = false
	return nil
}

func (v *vmdk) end() error {
	if err := v.blocks.flush(); err != nil {
		return err
	}
	if err := v.press.flush(); err != nil {
		return err
	}
	if err := v.begin(); err != nil {
		return err
	}
	if err := v.writeTable(); err != nil {
		return err
	}
	at, err := v.marked(vmdkDirectory, v.directory)
	if err != nil {
		return err
	}
	if _, err := v.marked(vmdkFooter, v.header(uint64(at))); err != nil {
		return err
	}
	if _, err := v.marked(vmdkEnd, nil); err != nil {
		return err
	}
	return v.w.Flush()
}

// header makes the header, or the footer, which is the same but knows where the
// directory is.
func (v *vmdk) header(directory uint64) []byte {
	le := binary.LittleEndian
	h := make([]byte, sectorSize)
	copy(h, "KDMV")
	le.PutUint32(h[4:], 3)
	le.PutUint32(h[8:], vmdkFlags)
	le.PutUint64(h[12:], uint64(v.options.Size/sectorSize))
	le.PutUint64(h[20:], vmdkGrainSectors)
	le.PutUint64(h[28:], 1) // descriptor
	le.PutUint64(h[36:], vmdkDescriptor)
	le.PutUint32(h[44:], vmdkEntries)
	le.PutUint64(h[56:], directory)
	le.PutUint64(h[64:], vmdkOverhead)
	copy(h[73:], "\n \r\n") // destroyed by a transfer as text
	le.PutUint16(h[77:], 1) // deflate
	return h
}

func (v *vmdk) descriptor() string {
	const heads, sectors = 255, 63
	// 0xffffffff means no parent and 0xfffffffe a new disk.
	cid := binary.BigEndian.Uint32(v.options.ID[:]) &^ (1 << 31)
	return fmt.Sprintf(`# Disk DescriptorFile
version=1
CID=%08x
parentCID=ffffffff
createType="streamOptimized"

# Extent description
RW %d SPARSE "%s"

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "4"
ddb.geometry.cylinders = "%d"
ddb.geometry.heads = "%d"
ddb.geometry.sectors = "%d"
ddb.adapterType = "lsilogic"
`, cid, v.options.Size/sectorSize, v.options.Name,
		min(max(v.options.Size/sectorSize/(heads*sectors), 1), math.MaxUint16), heads, sectors)
}

// A vmdkPacker makes a zlib stream.
type vmdkPacker struct{ w *zlib.Writer }

func newVMDKPacker() (packer, error) {
	w, err := zlib.NewWriterLevel(nil, deflateLevel)
	return &vmdkPacker{w}, err
}

func (k *vmdkPacker) pack(dst *bytes.Buffer, block []byte) error {
	k.w.Reset(dst)
	if _, err := k.w.Write(block); err != nil {
		return err
	}
	return k.w.Close()
}
