// Package uki reads unified kernel images: PE files that carry a kernel, an
// initrd, a command line and an os-release text in sections of their own.
//
// It reads no more of PE than the section table, and trusts nothing in it: a
// section that leaves the file is an error, texts are bounded. It does not check
// signatures.
//
// Of several sections with one name the first counts, which is the one of the
// image's main profile.
//
// Sources: UAPI.5 Unified Kernel Image; PE Format, "Section Table (Section
// Headers)", https://learn.microsoft.com/en-us/windows/win32/debug/pe-format.
package uki

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Sizes and places of the PE headers.
const (
	dosHeaderSize     = 64
	peOffsetAt        = 0x3c // in the DOS header
	coffHeaderSize    = 20
	sectionHeaderSize = 40
	maxHeaderOffset   = 1 << 20
	maxSections       = 256
	maxText           = 1 << 20 // of the sections that are read as text
)

// An Image gives the sections of a unified kernel image.
type Image struct {
	r        io.ReaderAt
	sections []section
}

// section is one row of the section table.
type section struct {
	name   string
	offset int64
	raw    int64
	size   int64 // what the file holds of the section's virtual size
}

// Open reads the section table. r must stay readable for as long as the image
// is used.
func Open(r io.ReaderAt) (*Image, error) {
	i, err := open(r)
	if err != nil {
		return nil, fmt.Errorf("not a unified kernel image: %w", err)
	}
	return i, nil
}

func open(r io.ReaderAt) (*Image, error) {
	h, err := readHeaders(r)
	if err != nil {
		return nil, err
	}
	i := &Image{r: r, sections: h.sections}
	if i.section(".linux") == nil {
		return nil, errors.New("it has no section .linux")
	}
	return i, nil
}

// headers are those of a PE file.
type headers struct {
	machine  uint16
	optional []byte
	sections []section
}

func readHeaders(r io.ReaderAt) (*headers, error) {
	dos, err := readAt(r, 0, dosHeaderSize)
	if err != nil {
		return nil, err
	}
	if dos[0] != 'M' || dos[1] != 'Z' {
		return nil, errors.New("it does not begin with MZ")
	}
	at := int64(binary.LittleEndian.Uint32(dos[peOffsetAt:]))
	if at > maxHeaderOffset {
		return nil, fmt.Errorf("PE header at offset %d", at)
	}
	head, err := readAt(r, at, 4+coffHeaderSize)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(head[:4], []byte("PE\x00\x00")) {
		return nil, errors.New("it has no PE signature")
	}
	n := int(binary.LittleEndian.Uint16(head[4+2:]))
	if n > maxSections {
		return nil, fmt.Errorf("%d sections where %d are allowed", n, maxSections)
	}
	optional := int(binary.LittleEndian.Uint16(head[4+16:]))
	rest, err := readAt(r, at+4+coffHeaderSize, optional+n*sectionHeaderSize)
	if err != nil {
		return nil, err
	}
	h := &headers{machine: binary.LittleEndian.Uint16(head[4:]), optional: rest[:optional]}
	for table := rest[optional:]; len(table) > 0; table = table[sectionHeaderSize:] {
		h.sections = append(h.sections, parseSection(table))
	}
	return h, nil
}

func parseSection(b []byte) section {
	virtual, raw := binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[16:])
	return section{
		name:   string(bytes.TrimRight(b[:8], "\x00")),
		offset: int64(binary.LittleEndian.Uint32(b[20:])),
		raw:    int64(raw),
		// The raw size is rounded up to the file's alignment.
		size: int64(min(virtual, raw)),
	}
}

func readAt(r io.ReaderAt, offset int64, size int) ([]byte, error) {
	b := make([]byte, size)
	if n, err := r.ReadAt(b, offset); n < size {
		if err == io.EOF {
			err = fmt.Errorf("it ends before its headers do, at offset %d", offset+int64(n))
		}
		return nil, err
	}
	return b, nil
}

func (i *Image) section(name string) *section {
	for n := range i.sections {
		if i.sections[n].name == name {
			return &i.sections[n]
		}
	}
	return nil
}

// Section returns the content of a section, without what pads it in the file,
// and nil if there is none. A file that ends too early gives
// [io.ErrUnexpectedEOF] when it is read.
func (i *Image) Section(name string) io.Reader {
	s := i.section(name)
	if s == nil {
		return nil
	}
	return &whole{io.NewSectionReader(i.r, s.offset, s.size), s.size}
}

// Size returns the size of a section, 0 if there is none.
func (i *Image) Size(name string) int64 {
	if s := i.section(name); s != nil {
		return s.size
	}
	return 0
}

// whole reads exactly as many bytes as promised.
type whole struct {
	r    io.Reader
	left int64
}

func (w *whole) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.left -= int64(n)
	if err == io.EOF && w.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Linux returns the kernel.
func (i *Image) Linux() io.Reader { return i.Section(".linux") }

// Initrd returns the initrd, nil if there is none.
func (i *Image) Initrd() io.Reader { return i.Section(".initrd") }

// Cmdline returns the kernel command line, without what pads it.
func (i *Image) Cmdline() (string, error) { return i.text(".cmdline") }

// OSRelease returns the os-release text.
func (i *Image) OSRelease() (string, error) { return i.text(".osrel") }

// Uname returns the kernel's release.
func (i *Image) Uname() (string, error) { return i.text(".uname") }

// text reads a section that is not there as empty. Trailing NUL bytes and
// white space are padding.
func (i *Image) text(name string) (string, error) {
	size := i.Size(name)
	if size == 0 {
		return "", nil
	}
	if size > maxText {
		return "", fmt.Errorf("section %s has %d bytes where %d are allowed", name, size, maxText)
	}
	data, err := io.ReadAll(i.Section(name))
	if err != nil {
		return "", fmt.Errorf("reading section %s: %w", name, err)
	}
	return strings.TrimRight(string(data), "\x00 \t\r\n"), nil
}
