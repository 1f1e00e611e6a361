package erofs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// xattrs reads the extended attributes of an inode, as they are stored.
func (d *decoder) xattrs(in *raw, at, size uint64) error {
	b, err := d.bytes(at, size)
	if err == nil {
		err = d.spend(size)
	}
	if err != nil {
		return err
	}
	shared := int(b[4])
	b = b[xattrHeader:]
	if 4*shared > len(b) {
		return fmt.Errorf("%d shared attributes in %d bytes", shared, len(b))
	}
	all := make([]tree.Xattr, 0, shared+2)
	for range shared {
		x, err := d.sharedXattr(binary.LittleEndian.Uint32(b))
		if err != nil {
			return err
		}
		all = append(all, x)
		b = b[4:]
	}
	for len(b) > 0 {
		x, n, err := d.xattr(b)
		if err != nil {
			return err
		}
		all = append(all, x)
		b = b[n:]
	}
	d.note(in.node, in.size, all, shared)
	sortXattrs(all)
	in.node.Xattrs = all
	return tree.CheckXattrs(all)
}

func sortXattrs(all []tree.Xattr) {
	slices.SortFunc(all, func(x, y tree.Xattr) int { return strings.Compare(x.Name, y.Name) })
}

func (d *decoder) sharedXattr(id uint32) (tree.Xattr, error) {
	if x, ok := d.shared[id]; ok {
		return x, nil
	}
	at := d.xattrBase + 4*uint64(id)
	if at > uint64(len(d.data)) {
		return tree.Xattr{}, fmt.Errorf("shared attribute at offset %d lies outside of the image", at)
	}
	x, _, err := d.xattr(d.data[at:])
	if err == nil {
		d.shared[id] = x
	}
	return x, err
}

// xattr reads the entry that b begins with, and returns its size.
func (d *decoder) xattr(b []byte) (x tree.Xattr, size int, err error) {
	if len(b) < 4 {
		return x, 0, errors.New("truncated extended attribute")
	}
	nameEnd := 4 + int(b[0])
	valueEnd := nameEnd + int(binary.LittleEndian.Uint16(b[2:]))
	size = (valueEnd + 3) &^ 3
	if size > len(b) {
		return x, 0, fmt.Errorf("extended attribute of %d bytes, there are %d", size, len(b))
	}
	prefix, ok := prefixOf(b[1], d.version)
	if !ok {
		return x, 0, fmt.Errorf("extended attribute with a name of kind %d", b[1])
	}
	if err := d.spend(uint64(len(prefix) + valueEnd - 4)); err != nil {
		return x, 0, err
	}
	return tree.Xattr{Name: prefix + string(b[4:nameEnd]), Value: string(b[nameEnd:valueEnd])}, size, nil
}
