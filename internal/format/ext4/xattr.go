package ext4

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
)

const (
	attrMagic = 0xEA020000
	// What an inode has for extended attributes, after the magic number and
	// before the zero at their end.
	inlineAttrs = inodeSize - 128 - extraSize - 4 - 4
	attrHeader  = 32 // of a block
	blockAttrs  = BlockSize - attrHeader - 4
)

// An attribute is an extended attribute in ext4's form.
type attribute struct {
	index byte // stands for the begin of the name
	name  string
	value string
}

func (a attribute) size() int {
	return 16 + (len(a.name)+3)&^3 + (len(a.value)+3)&^3
}

// attributes makes what stands in the inode after its fixed part, and the block
// of those extended attributes that do not fit there; nil for none.
func (i *Image) attributes(n *tree.Node) (inline, block []byte, err error) {
	if len(n.Xattrs) == 0 {
		return nil, nil, nil
	}
	var in, out []attribute
	inSize, outSize := 0, 0
	for _, x := range n.Xattrs {
		a, err := makeAttribute(x)
		if err != nil {
			return nil, nil, err
		}
		if size := a.size(); inSize+size <= inlineAttrs {
			in = append(in, a)
			inSize += size
		} else {
			out = append(out, a)
			outSize += size
		}
	}
	if outSize > blockAttrs {
		return nil, nil, fmt.Errorf("%d bytes of extended attributes do not fit in a block of ext4, which has room for %d", outSize, blockAttrs)
	}
	if len(in) > 0 {
		inline = make([]byte, inodeSize-128-extraSize)
		le.PutUint32(inline, attrMagic)
		putAttributes(inline[4:], 0, in)
	}
	if len(out) > 0 {
		slices.SortFunc(out, func(a, b attribute) int {
			return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(len(a.name), len(b.name)), strings.Compare(a.name, b.name))
		})
		block = make([]byte, BlockSize)
		le.PutUint32(block, attrMagic)
		le.PutUint32(block[4:], 1) // used by one inode
		le.PutUint32(block[8:], 1) // block
		le.PutUint32(block[12:], putAttributes(block, attrHeader, out))
	}
	return inline, block, nil
}

// attrBlock is the block of extended attributes with the check sum for its
// place.
func (i *Image) attrBlock(in *inode) []byte {
	_, block, _ := i.attributes(in.node)
	le.PutUint32(block[16:], checksum(i.seed, le.AppendUint64(nil, in.attr), block))
	return block
}

// putAttributes writes names from the begin of b, after skip bytes, and values
// from its end. It returns the hash of all.
func putAttributes(b []byte, skip int, all []attribute) (hash uint32) {
	at, end := skip, len(b)
	for _, a := range all {
		end -= (len(a.value) + 3) &^ 3
		e := b[at:]
		e[0], e[1] = byte(len(a.name)), a.index
		if a.value != "" {
			le.PutUint16(e[2:], uint16(end))
		}
		le.PutUint32(e[8:], uint32(len(a.value)))
		copy(b[end:], a.value)
		copy(e[16:], a.name)
		h := a.hash(b[end : end+(len(a.value)+3)&^3])
		le.PutUint32(e[12:], h)
		hash = hash<<16 ^ hash>>16 ^ h
		at += 16 + (len(a.name)+3)&^3
	}
	return hash
}

// hash is over the name and the padded value.
func (a attribute) hash(value []byte) (h uint32) {
	for k := range len(a.name) {
		h = h<<5 ^ h>>27 ^ uint32(a.name[k])
	}
	for ; len(value) > 0; value = value[4:] {
		h = h<<16 ^ h>>16 ^ le.Uint32(value)
	}
	return h
}

func makeAttribute(x tree.Xattr) (attribute, error) {
	switch x.Name {
	case "system.posix_acl_access", "system.posix_acl_default":
		index := byte(2)
		if x.Name == "system.posix_acl_default" {
			index = 3
		}
		acl, err := makeACL(x.Value)
		if err != nil {
			return attribute{}, fmt.Errorf("%s: %w", x.Name, err)
		}
		return attribute{index, "", acl}, nil
	}
	for _, p := range []struct {
		prefix string
		index  byte
	}{{"user.", 1}, {"trusted.", 4}, {"security.", 6}} {
		if name, ok := strings.CutPrefix(x.Name, p.prefix); ok && name != "" {
			return attribute{p.index, name, x.Value}, nil
		}
	}
	return attribute{}, fmt.Errorf("ext4 has no extended attribute %q", x.Name)
}

// makeACL turns an ACL from the form of the system calls into the shorter one
// on disk: only named users and groups have an ID.
func makeACL(value string) (string, error) {
	v := []byte(value)
	if len(v) < 4 || (len(v)-4)%8 != 0 || le.Uint32(v) != 2 {
		return "", fmt.Errorf("an access control list of %d bytes is malformed", len(v))
	}
	acl := le32(1)
	for v = v[4:]; len(v) > 0; v = v[8:] {
		switch le.Uint16(v) {
		case 0x02, 0x08: // a named user, a named group
			acl = append(acl, v[:8]...)
		case 0x01, 0x04, 0x10, 0x20: // owner, group, mask, others
			acl = append(acl, v[:4]...)
		default:
			return "", fmt.Errorf("an access control list has an entry of unknown kind %d", le.Uint16(v))
		}
	}
	return string(acl), nil
}
