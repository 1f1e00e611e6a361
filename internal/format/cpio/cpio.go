// Package cpio writes archives of the kind that the kernel unpacks into its
// initramfs: of small files as a whole ([Bytes]), or around the contents of one large
// file that others put into it.
//
// The latter is for a file whose contents come from elsewhere and have holes: [New] says
// where they begin, [Archive.WriteStart] and [Archive.WriteEnd] write what is around
// them. The same options give the same bytes.
//
// Source: Documentation/driver-api/early-userspace/buffer-format.rst of the Linux
// kernel ("newc").
package cpio

import (
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strings"
)

// An Archive has one file, and the directories above it.
type Archive struct {
	name string
	size int64
	time uint32
}

// New makes the archive of a file by its path, without a slash in front. Its size
// is in bytes; time, in seconds since 1970, is that of all: what cannot be said
// becomes what is next to it.
func New(name string, size, time int64) (*Archive, error) {
	if name != path.Clean(name) || strings.HasPrefix(name, "/") || strings.HasPrefix(name, ".") {
		return nil, fmt.Errorf("cpio archive: the name %q is no path below the top", name)
	}
	if size < 0 || size > math.MaxUint32 {
		return nil, fmt.Errorf("cpio archive: %s has %d bytes, at most %d", name, size, uint32(math.MaxUint32))
	}
	return &Archive{name, size, uint32(min(max(time, 0), math.MaxUint32))}, nil
}

// Start is where the contents of the file begin, in bytes.
func (a *Archive) Start() int64 { return int64(len(a.start())) }

// Size is the size of the archive in bytes.
func (a *Archive) Size() int64 { return a.Start() + a.size + int64(len(a.end())) }

// WriteStart writes what is before the contents.
func (a *Archive) WriteStart(w io.WriterAt) error {
	_, err := w.WriteAt(a.start(), 0)
	return err
}

// WriteEnd writes what is behind the contents.
func (a *Archive) WriteEnd(w io.WriterAt) error {
	_, err := w.WriteAt(a.end(), a.Start()+a.size)
	return err
}

// unit is what the archive has whole ones of, in bytes, as cpio(1) makes it.
const unit = 512

func (a *Archive) start() []byte {
	var b []byte
	inode := uint32(1)
	for at, c := range a.name {
		if c == '/' {
			b = append(b, member{name: a.name[:at], inode: inode, mode: 0o040755, links: 2, time: a.time}.header()...)
			inode++
		}
	}
	return append(b, member{name: a.name, inode: inode, mode: 0o100644, links: 1, time: a.time, size: uint32(a.size)}.header()...)
}

// trailer is the member that ends an archive.
func trailer() []byte { return member{name: "TRAILER!!!", links: 1}.header() }

func (a *Archive) end() []byte {
	padding := make([]byte, -a.size&3)
	b := slices.Concat(padding, trailer())
	whole := a.Start() + a.size + int64(len(b))
	return append(b, make([]byte, -whole&(unit-1))...)
}

// A Member is a small file or a directory of root's, made in 1970.
type Member struct {
	Name string // its path, without a slash in front
	Mode uint32 // type and permissions, as in stat(2)
	Data []byte
}

// Bytes is an archive of members, in their order: directories come before what is in
// them. It has a multiple of 4 bytes.
func Bytes(all []Member) []byte {
	var b []byte
	for i, m := range all {
		h := member{name: m.Name, inode: uint32(i + 1), mode: m.Mode, links: 1, size: uint32(len(m.Data))}.header()
		b = append(append(b, h...), m.Data...)
		b = append(b, make([]byte, -len(b)&3)...)
	}
	return append(b, trailer()...)
}

// A member is a file or a directory in an archive, without its contents.
type member struct {
	name                           string
	inode, mode, links, time, size uint32
}

// header makes what is before the contents of a member, whole units of 4 bytes.
func (m member) header() []byte {
	b := []byte("070701")
	for _, field := range []uint32{
		m.inode, m.mode, 0, 0, m.links, m.time, m.size, 0, 0, 0, 0, uint32(len(m.name) + 1), 0,
	} {
		b = fmt.Appendf(b, "%08X", field)
	}
	b = append(append(b, m.name...), 0)
	return append(b, make([]byte, -len(b)&3)...)
}
