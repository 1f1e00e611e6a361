package erofs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// maxNames bounds how many names of attributes are kept to be found again.
const maxNames = 1 << 12

// xattrs reads the extended attributes of an inode, as they are stored. What
// leads overlayfs to an object is not a part of the list. The list is valid
// until the next inode is read; a directory has its own.
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
	all, total, listed := d.list[:0], xattrHeader, 0
	add := func(x rawXattr) error {
		total += len(x.name) + len(x.value) + 7
		object := &in.metacopy
		switch x.name {
		case redirectName:
			object = &in.redirect
		case metacopyName:
		default:
			if x.text == "" {
				x.text = string(x.value)
			}
			all = append(all, tree.Xattr{Name: x.name, Value: x.text})
			return nil
		}
		if object.ok {
			return fmt.Errorf("extended attribute %q twice", x.name)
		}
		*object = optional{x.value, true}
		return nil
	}
	for range shared {
		x, err := d.sharedXattr(binary.LittleEndian.Uint32(b))
		if err == nil {
			err = add(x)
		}
		if err != nil {
			return err
		}
		b = b[4:]
	}
	for listed = len(all); len(b) > 0; {
		x, n, err := d.xattr(b)
		if err == nil {
			err = add(x)
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	if total > tree.MaxXattrs {
		return fmt.Errorf("extended attributes of %d bytes, at most %d are possible", total, tree.MaxXattrs)
	}
	d.list = all
	d.note(in.node, in.size, all, listed)
	sortXattrs(all)
	in.node.Xattrs = all
	if in.node.IsDir() {
		in.node.Xattrs = slices.Clone(all)
	}
	return tree.CheckXattrs(all)
}

func sortXattrs(all []tree.Xattr) {
	slices.SortFunc(all, func(x, y tree.Xattr) int { return strings.Compare(x.Name, y.Name) })
}

// A rawXattr is an attribute whose value lies in the image. Of a shared one
// there is a copy.
type rawXattr struct {
	name  string
	value []byte
	text  string
}

func (d *decoder) sharedXattr(id uint32) (rawXattr, error) {
	if x, ok := d.shared[id]; ok {
		return x, nil
	}
	at := d.xattrBase + 4*uint64(id)
	if at > uint64(len(d.data)) {
		return rawXattr{}, fmt.Errorf("shared attribute at offset %d lies outside of the image", at)
	}
	x, _, err := d.xattr(d.data[at:])
	if err == nil {
		x.text = string(x.value)
		d.shared[id] = x
	}
	return x, err
}

// xattr reads the entry that b begins with, and returns its size.
func (d *decoder) xattr(b []byte) (x rawXattr, size int, err error) {
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
	return rawXattr{name: d.name(prefix, b[4:nameEnd]), value: b[nameEnd:valueEnd]}, size, nil
}

// name returns the name of an attribute; of most images there are few.
func (d *decoder) name(prefix string, suffix []byte) string {
	d.key = append(append(d.key[:0], prefix...), suffix...)
	if name, ok := d.names[string(d.key)]; ok {
		return name
	}
	name := string(d.key)
	if len(d.names) < maxNames {
		d.names[name] = name
	}
	return name
}
