package tree

import (
	"encoding/binary"
	"slices"
)

// maxInterned bounds how many lists an Interner keeps.
const maxInterned = 1 << 12

// An Interner makes equal lists of extended attributes one list, as nodes with
// the same label have. The zero value is ready.
type Interner struct {
	lists map[string][]Xattr
	key   []byte
}

// Xattrs returns a list that is equal to the given one, which it does not keep.
func (in *Interner) Xattrs(list []Xattr) []Xattr {
	if len(list) == 0 {
		return nil
	}
	in.key = in.key[:0]
	for _, x := range list {
		in.key = append(append(in.key, x.Name...), 0)
		in.key = binary.LittleEndian.AppendUint32(in.key, uint32(len(x.Value)))
		in.key = append(in.key, x.Value...)
	}
	if same, ok := in.lists[string(in.key)]; ok {
		return same
	}
	list = slices.Clone(list)
	if in.lists == nil {
		in.lists = map[string][]Xattr{}
	}
	if len(in.lists) < maxInterned {
		in.lists[string(in.key)] = list
	}
	return list
}
