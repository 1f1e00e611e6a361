package crash

import (
	"fmt"
	"io"
)

// A Disk is the content of a disk by the numbers of its sectors in a [Store].
// What is written to it can be taken back.
type Disk struct {
	store *Store
	at    []uint32
	undo  []undone
	keeps bool
	read  digest // of all sectors that were read
	quiet bool   // what is read does not count, for it has been counted
}

type undone struct {
	sector int64
	id     uint32
}

// NewDisk returns an empty disk with a number of sectors. Its goroutine's own
// contents go to a store beside the given one.
func NewDisk(s *Store, sectors int64) *Disk {
	return &Disk{store: s.own(), at: make([]uint32, sectors)}
}

// set gives sectors their contents.
func (d *Disk) set(first int64, ids []uint32) {
	for i, id := range ids {
		d.put(first+int64(i), id)
	}
}

func (d *Disk) put(sector int64, id uint32) {
	if d.keeps {
		d.undo = append(d.undo, undone{sector, d.at[sector]})
	}
	d.at[sector] = id
}

// hold makes release take back whatever is written from now on.
func (d *Disk) hold() { d.keeps, d.undo = true, d.undo[:0] }

func (d *Disk) release() {
	d.takeBack(0)
	d.keeps = false
}

// takeBack takes back all but the first n writes since hold.
func (d *Disk) takeBack(n int) {
	for i := len(d.undo) - 1; i >= n; i-- {
		d.at[d.undo[i].sector] = d.undo[i].id
	}
	d.undo = d.undo[:n]
}

// Size returns the size in bytes.
func (d *Disk) Size() int64 { return int64(len(d.at)) * sectorSize }

// ReadAt implements [io.ReaderAt].
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	return (&Volume{d, 0, int64(len(d.at))}).ReadAt(p, off)
}

// WriteTo writes the sectors from, …, to-1 at their places of a file, which is
// empty: what is zero is left out.
func (d *Disk) WriteTo(w io.WriterAt, from, to int64) error {
	for s := from; s < to; s++ {
		if d.at[s] == 0 {
			continue
		}
		end := s + 1
		run := append([]byte(nil), d.store.Sector(d.at[s])...)
		for end < to && d.at[end] != 0 && end-s < 2048 {
			run = append(run, d.store.Sector(d.at[end])...)
			end++
		}
		if _, err := w.WriteAt(run, (s-from)*sectorSize); err != nil {
			return err
		}
		s = end - 1
	}
	return nil
}

// A Volume is a partition of a disk. What is read of it counts for whether two
// states of the disk are distinct.
type Volume struct {
	d            *Disk
	first, count int64 // sectors
}

// sectors returns the numbers of some sectors.
func (v *Volume) sectors(first, n int64) ([]uint32, error) {
	if first < 0 || n < 0 || first+n > v.count {
		return nil, fmt.Errorf("sectors %d to %d of %d", first, first+n-1, v.count)
	}
	ids := v.d.at[v.first+first : v.first+first+n]
	if !v.d.quiet {
		for _, id := range ids {
			v.d.read.add(v.d.store.mark(id))
		}
	}
	return ids, nil
}

// ReadAt implements [io.ReaderAt].
func (v *Volume) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= v.count*sectorSize {
		return 0, io.EOF
	}
	n := int64(len(p))
	short := off+n > v.count*sectorSize
	if short {
		n = v.count*sectorSize - off
	}
	first := off / sectorSize
	ids, err := v.sectors(first, (off+n+sectorSize-1)/sectorSize-first)
	if err != nil {
		return 0, err
	}
	done, skip := 0, off%sectorSize
	for _, id := range ids {
		done += copy(p[done:n], v.d.store.Sector(id)[skip:])
		skip = 0
	}
	if short {
		return done, io.EOF
	}
	return done, nil
}

// again reads what was read before, of which something may be remembered: so it
// does not count whether it is.
func (v *Volume) again(read func() error) error {
	v.d.quiet = true
	defer func() { v.d.quiet = false }()
	return read()
}

// bytes reads n bytes at a place.
func (v *Volume) bytes(off, n int64) ([]byte, error) {
	p := make([]byte, n)
	_, err := v.ReadAt(p, off)
	return p, err
}

// write changes bytes; both ends are those of sectors.
func (v *Volume) write(off int64, p []byte) {
	for i := 0; i < len(p); i += sectorSize {
		v.d.put(v.first+off/sectorSize+int64(i/sectorSize), v.d.store.Add(p[i:i+sectorSize]))
	}
}

// copySectors copies n sectors within the volume.
func (v *Volume) copySectors(to, from, n int64) error {
	if to < 0 || to+n > v.count {
		return fmt.Errorf("sectors %d to %d of %d", to, to+n-1, v.count)
	}
	ids, err := v.sectors(from, n)
	if err != nil {
		return err
	}
	for i, id := range ids {
		v.d.put(v.first+to+int64(i), id)
	}
	return nil
}
