package erofs

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// sharing is which pairs of name and value occur more than once.
type sharing struct {
	seed     maphash.Seed
	repeated map[uint64]bool // hashes of what may occur more than once
	table    []tree.Xattr
	at       map[tree.Xattr]uint32 // offset in the table
	size     int64                 // of the table
}

// hash returns the same for equal attributes. A digest and the path of its
// object, which mostly come together, have the same hash too.
func (s *sharing) hash(a attr) uint64 {
	switch a.form {
	case formMetacopy, formObject:
		return maphash.String(s.seed, a.digest.Raw())
	case formPath:
		if d, ok := objectDigest(a.value); ok {
			return maphash.String(s.seed, d.Raw())
		}
	}
	return maphash.Comparable(s.seed, a)
}

// objectDigest returns the digest that the path of an object is made of.
func objectDigest(path string) (d verity.Digest, ok bool) {
	if len(path) < 3 {
		return d, false
	}
	d, err := verity.ParseDigest(path[:2] + path[3:])
	return d, err == nil && d.ObjectPath() == path
}

// findShared fills in the table. Most attributes occur once, so they are
// counted by hash first.
func (b *builder) findShared() {
	s := &b.share
	s.seed = maphash.MakeSeed()
	hashes := make([]uint64, 0, len(b.inodes))
	for i := range b.inodes {
		object := false
		for _, a := range b.attrs(&b.inodes[i]) {
			if a.form != formObject || !object {
				hashes = append(hashes, s.hash(a))
			}
			object = object || a.form == formMetacopy
		}
	}
	slices.Sort(hashes)
	s.repeated = map[uint64]bool{}
	for i := 1; i < len(hashes); i++ {
		if hashes[i] == hashes[i-1] {
			s.repeated[hashes[i]] = true
		}
	}
	b.countShared()
	compare := compareShared
	if b.legacy() {
		compare = compareLegacy
	}
	slices.SortFunc(s.table, compare)
	s.at = make(map[tree.Xattr]uint32, len(s.table))
	for _, x := range s.table {
		s.at[x] = uint32(s.size)
		s.size += int64(b.entrySize(x.Name, len(x.Value)))
	}
}

// countShared counts exactly what may occur more than once.
func (b *builder) countShared() {
	s := &b.share
	if len(s.repeated) == 0 {
		return
	}
	count := map[tree.Xattr]int{}
	for i := range b.inodes {
		for _, a := range b.attrs(&b.inodes[i]) {
			if s.repeated[s.hash(a)] {
				count[a.xattr()]++
			}
		}
	}
	for x, n := range count {
		if n > 1 {
			s.table = append(s.table, x)
		}
	}
}

// offset returns where in the table an attribute is.
func (s *sharing) offset(a attr) (uint32, bool) {
	if len(s.table) == 0 || a.form != formPlain && !s.repeated[s.hash(a)] {
		return 0, false
	}
	at, ok := s.at[a.xattr()]
	return at, ok
}

// compareShared is the order of the table of shared attributes.
func compareShared(x, y tree.Xattr) int {
	return -cmp.Or(strings.Compare(x.Name, y.Name), cmp.Compare(len(x.Value), len(y.Value)), strings.Compare(x.Value, y.Value))
}

// entrySize returns the bytes that an attribute takes.
func (b *builder) entrySize(name string, value int) int {
	_, suffix := splitName(name, b.version)
	return (4 + len(suffix) + value + 3) &^ 3
}
