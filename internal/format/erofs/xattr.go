package erofs

import (
	"encoding/binary"
	"math/bits"
	"strings"
)

// prefixes are the names that an index stands for. A name belongs to the first
// that it begins with; all others are stored whole, with index 0.
var prefixes = []struct {
	index byte
	name  string
}{
	{1, "user."},
	{2, "system.posix_acl_access"},
	{3, "system.posix_acl_default"},
	{4, "trusted."},
	{6, "security."},
}

// splitName is what is stored of a name. Index 5 is of version 2.
func splitName(name string, version uint32) (index byte, suffix string) {
	if rest, ok := strings.CutPrefix(name, "lustre."); ok && version == 2 {
		return 5, rest
	}
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(name, p.name); ok {
			return p.index, rest
		}
	}
	return 0, name
}

// prefixOf is the inverse of splitName.
func prefixOf(index byte, version uint32) (prefix string, ok bool) {
	switch {
	case index == 0:
		return "", true
	case index == 5 && version == 2:
		return "lustre.", true
	}
	for _, p := range prefixes {
		if p.index == index {
			return p.name, true
		}
	}
	return "", false
}

// nameFilter is h_name_filter: a set bit says that no attribute has that hash.
func nameFilter(all []attr, version uint32) uint32 {
	var present uint32
	for _, a := range all {
		index, suffix := splitName(a.name, version)
		present |= 1 << (xxh32(suffix, filterSeed+uint32(index)) & 31)
	}
	return ^present
}

// xxh32 is the hash function XXH32.
//
// Source: xxHash fast digest algorithm, specification 0.1.1, "XXH32".
func xxh32(s string, seed uint32) uint32 {
	const p1, p2, p3, p4, p5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393
	le := binary.LittleEndian
	b := []byte(s)
	var h uint32
	if len(b) >= 16 {
		v := [4]uint32{seed, seed + p2, seed, seed - p1}
		v[0] += p1
		v[0] += p2
		for ; len(b) >= 16; b = b[16:] {
			for i := range v {
				v[i] = bits.RotateLeft32(v[i]+le.Uint32(b[4*i:])*p2, 13) * p1
			}
		}
		h = bits.RotateLeft32(v[0], 1) + bits.RotateLeft32(v[1], 7) + bits.RotateLeft32(v[2], 12) + bits.RotateLeft32(v[3], 18)
	} else {
		h = seed + p5
	}
	h += uint32(len(s))
	for ; len(b) >= 4; b = b[4:] {
		h = bits.RotateLeft32(h+le.Uint32(b)*p3, 17) * p4
	}
	for _, c := range b {
		h = bits.RotateLeft32(h+uint32(c)*p5, 11) * p1
	}
	h = (h ^ h>>15) * p2
	h = (h ^ h>>13) * p3
	return h ^ h>>16
}
