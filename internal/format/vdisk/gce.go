package vdisk

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
)

// GCEAlignment is what the size of a disk is rounded up to in images for Compute
// Engine, in bytes, as it asks.
const GCEAlignment = 1 << 30

const (
	gceBlock = 256 << 10
	gceMost  = 64 << 40
	gceName  = "disk.raw"
)

// NewGCE writes what Google's Compute Engine takes: a tar compressed by gzip with
// the disk in it.
func NewGCE(w io.Writer, o Options) (Disk, error) {
	if err := o.check(gceMost); err != nil {
		return nil, fmt.Errorf("tar.gz image: %w", err)
	}
	g := &gce{w: bufio.NewWriterSize(w, 256<<10), size: roundUp(o.Size, GCEAlignment)}
	header, err := gceHeader(g.size, o)
	if err != nil {
		return nil, fmt.Errorf("tar.gz image: %w", err)
	}
	g.header = header
	g.press = newPress(gceBlock, newGCEPacker, g.block)
	g.blocks = newBlocks(gceBlock, g.press.put)
	return newDisk("the tar.gz image", o.Size, g), nil
}

func gceHeader(size int64, o Options) ([]byte, error) {
	h := &tar.Header{Name: gceName, Size: size, Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatGNU}
	if !o.Time.IsZero() {
		h.ModTime = o.Time
	}
	var b bytes.Buffer
	err := tar.NewWriter(&b).WriteHeader(h)
	return b.Bytes(), err
}

type gce struct {
	w      *bufio.Writer
	size   int64
	header []byte
	blocks *blocks
	press  *press

	begun bool
	next  int64 // block
	crc   uint32
	total int64 // bytes in the stream, not compressed

	zeros     []byte // a block of zeros, compressed
	zeroCRC   uint32
	zeroShift shift
}

func (g *gce) write(p []byte, off int64) error { return g.blocks.write(p, off) }

func (g *gce) block(n int64, block, packed []byte) error {
	if err := g.skip(n); err != nil {
		return err
	}
	g.next++
	g.crc = crc32.Update(g.crc, crc32.IEEETable, block)
	g.total += int64(len(block))
	_, err := g.w.Write(packed)
	return err
}

// skip writes blocks of zeros up to block n.
func (g *gce) skip(n int64) error {
	if err := g.begin(); err != nil {
		return err
	}
	for ; g.next < n; g.next++ {
		g.crc = g.zeroShift.apply(g.crc) ^ g.zeroCRC
		g.total += gceBlock
		if _, err := g.w.Write(g.zeros); err != nil {
			return err
		}
	}
	return nil
}

// begin writes the headers, if nothing is written yet.
func (g *gce) begin() error {
	if g.begun {
		return nil
	}
	g.begun = true
	k, err := newGCEPacker()
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	block := make([]byte, gceBlock)
	if err := k.pack(&packed, block); err != nil {
		return err
	}
	g.zeros, g.zeroCRC, g.zeroShift = packed.Bytes(), crc32.ChecksumIEEE(block), newShift(gceBlock)
	// RFC 1952: deflate, no flags, no time, unknown system.
	if _, err := g.w.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}); err != nil {
		return err
	}
	return g.store(g.header, false)
}

// store writes bytes that are not worth compressing, at most 65535.
func (g *gce) store(p []byte, last bool) error {
	head := make([]byte, 5) // RFC 1951, 3.2.4
	if last {
		head[0] = 1
	}
	binary.LittleEndian.PutUint16(head[1:], uint16(len(p)))
	binary.LittleEndian.PutUint16(head[3:], ^uint16(len(p)))
	g.crc = crc32.Update(g.crc, crc32.IEEETable, p)
	g.total += int64(len(p))
	if _, err := g.w.Write(head); err != nil {
		return err
	}
	_, err := g.w.Write(p)
	return err
}

func (g *gce) end() error {
	if err := g.blocks.flush(); err != nil {
		return err
	}
	if err := g.press.flush(); err != nil {
		return err
	}
	if err := g.skip(g.size / gceBlock); err != nil {
		return err
	}
	if err := g.store(make([]byte, 1024), true); err != nil { // end of the tar
		return err
	}
	tail := binary.LittleEndian.AppendUint32(nil, g.crc)
	tail = binary.LittleEndian.AppendUint32(tail, uint32(g.total))
	if _, err := g.w.Write(tail); err != nil {
		return err
	}
	return g.w.Flush()
}

// A gcePacker makes deflate blocks up to a byte boundary, none of them the last
// one of the stream.
type gcePacker struct{ w *flate.Writer }

func newGCEPacker() (packer, error) {
	w, err := flate.NewWriter(nil, deflateLevel)
	return &gcePacker{w}, err
}

func (k *gcePacker) pack(dst *bytes.Buffer, block []byte) error {
	k.w.Reset(dst)
	if _, err := k.w.Write(block); err != nil {
		return err
	}
	return k.w.Flush()
}

// A shift is the change of a CRC-32 by a number of zeros behind what it is of,
// seen as a linear map: entry i is what bit i becomes. The CRC of two parts is the
// shifted one of the first, exclusive or that of the second.
type shift [32]uint32

// newShift makes the map of n zero bytes; n is a power of 2.
func newShift(n int) shift {
	var s shift // of one zero bit
	s[0] = crc32.IEEE
	for i := 1; i < len(s); i++ {
		s[i] = 1 << (i - 1)
	}
	for bits := 8 * n; bits > 1; bits /= 2 {
		s = s.twice()
	}
	return s
}

func (s *shift) twice() shift {
	var t shift
	for i, v := range s {
		t[i] = s.apply(v)
	}
	return t
}

func (s *shift) apply(crc uint32) uint32 {
	var sum uint32
	for i := 0; crc != 0; i, crc = i+1, crc>>1 {
		if crc&1 != 0 {
			sum ^= s[i]
		}
	}
	return sum
}
