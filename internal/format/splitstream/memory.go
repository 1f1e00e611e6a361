package splitstream

import (
	"hash/maphash"
	"io"

	"github.com/bootc-go/bootc/internal/format/verity"
)

// pages holds bytes that are only appended to. It never needs room for more
// than it has, as a slice does that grows.
type pages [][]byte

const pageSize = 256 << 10

// Write appends p. It never fails.
func (b *pages) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		last := len(*b) - 1
		if last < 0 || len((*b)[last]) == cap((*b)[last]) {
			*b = append(*b, make([]byte, 0, pageSize))
			continue
		}
		page := (*b)[last]
		k := min(len(p), cap(page)-len(page))
		(*b)[last], p = append(page, p[:k]...), p[k:]
	}
	return n, nil
}

func (b pages) size() (n uint64) {
	for _, p := range b {
		n += uint64(len(p))
	}
	return n
}

func (b pages) write(out io.Writer) error {
	for _, p := range b {
		if _, err := out.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// A digestSet numbers digests in the order of their first use. A layer may
// have millions: beside the list it takes 5 to 11 bytes for each, where a map
// takes more than a hundred.
type digestSet struct {
	all   []verity.Digest
	table []uint32 // 1 + the number of a digest, at or after the place of its hash
	seed  maphash.Seed
}

func newDigestSet() digestSet {
	return digestSet{table: make([]uint32, 64), seed: maphash.MakeSeed()}
}

// add returns the number of a digest.
func (s *digestSet) add(d verity.Digest) int {
	at := s.find(d)
	if i := s.table[at]; i != 0 {
		return int(i - 1)
	}
	s.all = append(s.all, d)
	s.table[at] = uint32(len(s.all))
	if 4*len(s.all) > 3*len(s.table) {
		s.table = make([]uint32, 2*len(s.table))
		for i, d := range s.all {
			s.table[s.find(d)] = uint32(i + 1)
		}
	}
	return len(s.all) - 1
}

// find returns the place of a digest in the table, a free one if it is new.
func (s *digestSet) find(d verity.Digest) int {
	mask := uint64(len(s.table) - 1)
	for at := maphash.Comparable(s.seed, d) & mask; ; at = (at + 1) & mask {
		if i := s.table[at]; i == 0 || s.all[i-1] == d {
			return int(at)
		}
	}
}
