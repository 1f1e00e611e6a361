package vdisk

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/flate"
)

// Numbers of the format, as we use it.
const (
	qcow2ClusterBits = 16
	qcow2Cluster     = 1 << qcow2ClusterBits
	qcow2L2Entries   = qcow2Cluster / 8
	qcow2RefEntries  = qcow2Cluster / 2 // of a block, 16 bits each
	qcow2Most        = 64 << 40         // bytes of a disk

	qcow2Copied     = 1 << 63 // the reference count is exactly one
	qcow2Compressed = 1 << 62
	// qcow2SectorShift is where a compressed cluster's descriptor has the number
	// of further sectors.
	qcow2SectorShift = 62 - (qcow2ClusterBits - 8)
	// qcow2Window is what decoders keep of what they have decoded.
	qcow2Window = 4096
)

// NewQCOW2 writes QEMU's format, uncompressed.
func NewQCOW2(t Target, o Options) (Disk, error) {
	q, err := newQCOW2(t, o)
	if err != nil {
		return nil, err
	}
	q.blocks = newBlocks(qcow2Cluster, q.plain)
	return newDisk("the qcow2 image", o.Size, q), nil
}

// NewCompressedQCOW2 writes QEMU's format with each cluster compressed, on all
// processors. A machine may write to such an image; what it writes is not
// compressed.
func NewCompressedQCOW2(t Target, o Options) (Disk, error) {
	q, err := newQCOW2(t, o)
	if err != nil {
		return nil, err
	}
	q.press = newPress(qcow2Cluster, newQCOW2Packer, q.packed)
	q.blocks = newBlocks(qcow2Cluster, q.press.put)
	return newDisk("the qcow2 image", o.Size, q), nil
}

func newQCOW2(t Target, o Options) (*qcow2, error) {
	if err := o.check(qcow2Most); err != nil {
		return nil, fmt.Errorf("qcow2 image: %w", err)
	}
	if err := t.Truncate(0); err != nil {
		return nil, fmt.Errorf("qcow2 image: %w", err)
	}
	q := &qcow2{target: t, size: o.Size, l2: make([]byte, qcow2Cluster)}
	q.l1 = make([]byte, 8*((o.Size+qcow2Cluster*qcow2L2Entries-1)/(qcow2Cluster*qcow2L2Entries)))
	q.allocate(1) // header
	q.allocate(clusters(int64(len(q.l1))))
	return q, nil
}

// clusters returns how many clusters hold n bytes.
func clusters(n int64) int64 { return (n + qcow2Cluster - 1) / qcow2Cluster }

type qcow2 struct {
	target Target
	size   int64
	blocks *blocks
	press  *press // nil: not compressed

	l1 []byte
	l2 []byte // of the part of the disk being written
	// current is the number of l2 in l1; dirty says whether it has entries.
	current int64
	dirty   bool

	refs []uint16 // of each cluster of the file; its length is the file's
	// free is where the next compressed cluster may begin: somewhere in a cluster
	// that has some already, or 0.
	free int64
}

func (q *qcow2) write(p []byte, off int64) error { return q.blocks.write(p, off) }

// allocate appends n clusters to the file and returns their offset.
func (q *qcow2) allocate(n int64) int64 {
	off := int64(len(q.refs)) * qcow2Cluster
	for range n {
		q.refs = append(q.refs, 1)
	}
	return off
}

// plain stores a cluster as it is.
func (q *qcow2) plain(n int64, cluster []byte) error {
	off := q.allocate(1)
	if err := writeSparse(q.target, cluster, off); err != nil {
		return err
	}
	return q.set(n, uint64(off)|qcow2Copied)
}

// packed stores a cluster compressed, if it became smaller.
func (q *qcow2) packed(n int64, cluster, packed []byte) error {
	if len(packed) >= qcow2Cluster {
		return q.plain(n, cluster)
	}
	off := q.place(int64(len(packed)))
	if _, err := q.target.WriteAt(packed, off); err != nil {
		return err
	}
	first, last := off/sectorSize, (off+int64(len(packed))-1)/sectorSize
	return q.set(n, uint64(off)|uint64(last-first)<<qcow2SectorShift|qcow2Compressed)
}

// place finds room for n bytes, fewer than a cluster, and counts them.
func (q *qcow2) place(n int64) int64 {
	end := int64(len(q.refs)) * qcow2Cluster
	room := (qcow2Cluster - q.free%qcow2Cluster) % qcow2Cluster
	switch {
	case room > 0 && n <= room:
		q.refs[q.free/qcow2Cluster]++
	case room > 0 && q.free+room == end: // goes on in the next cluster
		q.refs[q.free/qcow2Cluster]++
		q.allocate(1)
	default:
		q.free = q.allocate(1)
	}
	off := q.free
	q.free += n
	return off
}

// set makes the entry of a cluster in its L2 table.
func (q *qcow2) set(n int64, entry uint64) error {
	if l1 := n / qcow2L2Entries; l1 != q.current {
		if err := q.writeL2(); err != nil {
			return err
		}
		q.current = l1
	}
	binary.BigEndian.PutUint64(q.l2[n%qcow2L2Entries*8:], entry)
	q.dirty = true
	return nil
}

func (q *qcow2) writeL2() error {
	if !q.dirty {
		return nil
	}
	off := q.allocate(1)
	if err := writeSparse(q.target, q.l2, off); err != nil {
		return err
	}
	binary.BigEndian.PutUint64(q.l1[q.current*8:], uint64(off)|qcow2Copied)
	clear(q.l2)
	q.dirty = false
	return nil
}

func (q *qcow2) end() error {
	if err := q.blocks.flush(); err != nil {
		return err
	}
	if q.press != nil {
		if err := q.press.flush(); err != nil {
			return err
		}
	}
	if err := q.writeL2(); err != nil {
		return err
	}
	if err := writeSparse(q.target, q.l1, qcow2Cluster); err != nil {
		return err
	}
	table, length, err := q.writeRefs()
	if err != nil {
		return err
	}
	// The last cluster need not have been written to its end.
	if err := q.target.Truncate(int64(len(q.refs)) * qcow2Cluster); err != nil {
		return err
	}
	_, err = q.target.WriteAt(q.header(table, length), 0)
	return err
}

// qcow2Refs returns how many clusters the reference counts of a file of used
// clusters take, which are counted too: blocks, and the table of these.
func qcow2Refs(used int64) (blocks, table int64) {
	for {
		table = clusters(8 * blocks)
		need := (used + blocks + table + qcow2RefEntries - 1) / qcow2RefEntries
		if need == blocks {
			return blocks, table
		}
		blocks = need
	}
}

// writeRefs writes the reference counts, and returns where their table is and how
// many clusters it has.
func (q *qcow2) writeRefs() (off, length int64, err error) {
	count, length := qcow2Refs(int64(len(q.refs)))
	first := q.allocate(count)
	off = q.allocate(length)
	table := make([]byte, 8*count)
	block := make([]byte, qcow2Cluster)
	for i := range count {
		at := first + i*qcow2Cluster
		binary.BigEndian.PutUint64(table[8*i:], uint64(at))
		clear(block)
		for j, r := range q.refs[i*qcow2RefEntries : min((i+1)*qcow2RefEntries, int64(len(q.refs)))] {
			binary.BigEndian.PutUint16(block[2*j:], r)
		}
		if err := writeSparse(q.target, block, at); err != nil {
			return 0, 0, err
		}
	}
	return off, length, writeSparse(q.target, table, off)
}

func (q *qcow2) header(refs, refClusters int64) []byte {
	const size = 104
	be := binary.BigEndian
	h := make([]byte, size+8) // zeros are the end of the extensions
	copy(h, "QFI\xfb")
	be.PutUint32(h[4:], 3)
	be.PutUint32(h[20:], qcow2ClusterBits)
	be.PutUint64(h[24:], uint64(q.size))
	be.PutUint32(h[36:], uint32(len(q.l1)/8))
	be.PutUint64(h[40:], qcow2Cluster)
	be.PutUint64(h[48:], uint64(refs))
	be.PutUint32(h[56:], uint32(refClusters))
	be.PutUint32(h[96:], 4) // counts of 1<<4 bits
	be.PutUint32(h[100:], size)
	return h
}

// A qcow2Packer makes a deflate stream without header.
type qcow2Packer struct{ w *flate.Writer }

func newQCOW2Packer() (packer, error) {
	w, err := flate.NewWriterWindow(nil, qcow2Window)
	return &qcow2Packer{w}, err
}

func (k *qcow2Packer) pack(dst *bytes.Buffer, block []byte) error {
	k.w.Reset(dst)
	if _, err := k.w.Write(block); err != nil {
		return err
	}
	return k.w.Close()
}
