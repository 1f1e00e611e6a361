package crash

import (
	"bytes"
	"hash/maphash"
	"math/bits"
)

const sectorSize = 512

// A Store keeps each content of a sector once, under a number. Two sectors are
// the same if their numbers are, so that what is known of a file can be kept by
// the numbers of its sectors. Number 0 is the sector of zeros.
//
// A Store may be read by several goroutines as long as nobody adds to it.
type Store struct {
	base  *Store // may be nil; its numbers come first
	first uint32
	seed  maphash.Seed
	index map[uint64][]uint32
	data  []byte
}

// NewStore returns a store with the sector of zeros.
func NewStore() *Store {
	s := &Store{seed: maphash.MakeSeed(), index: map[uint64][]uint32{}}
	s.Add(make([]byte, sectorSize))
	return s
}

// own returns a store for one goroutine that begins with what s has.
func (s *Store) own() *Store {
	return &Store{base: s, first: uint32(s.count()), seed: s.seed, index: map[uint64][]uint32{}}
}

func (s *Store) count() int { return int(s.first) + len(s.data)/sectorSize }

// Add returns the number of a sector's content.
func (s *Store) Add(sector []byte) uint32 {
	h := maphash.Bytes(s.seed, sector)
	for at := s; at != nil; at = at.base {
		for _, id := range at.index[h] {
			if bytes.Equal(at.Sector(id), sector) {
				return id
			}
		}
	}
	id := uint32(s.count())
	s.data = append(s.data, sector...)
	s.index[h] = append(s.index[h], id)
	return id
}

// Sector returns the content with a number. It must not be changed.
func (s *Store) Sector(id uint32) []byte {
	if id < s.first {
		return s.base.Sector(id)
	}
	at := int(id-s.first) * sectorSize
	return s.data[at : at+sectorSize : at+sectorSize]
}

// mark is a number for a content that is the same in all stores with one base.
func (s *Store) mark(id uint32) uint64 {
	if s.base != nil && id >= s.first {
		return maphash.Bytes(s.seed, s.Sector(id))
	}
	return uint64(id)
}

// A digest is a sum over the numbers of sectors, and over what is made of them.
// Two that are equal stand for equal contents, but for a chance of 2^-64.
type digest uint64

func (d *digest) add(x uint64) {
	*d = digest((bits.RotateLeft64(uint64(*d), 29) ^ x) * 0x9e3779b97f4a7c15)
	*d ^= *d >> 32
}

func (d *digest) addString(s string) {
	d.add(uint64(len(s)))
	for i := 0; i < len(s); i += 8 {
		var x uint64
		for _, c := range []byte(s[i:min(i+8, len(s))]) {
			x = x<<8 | uint64(c)
		}
		d.add(x)
	}
}
