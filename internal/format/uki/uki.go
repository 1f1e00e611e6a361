// Package uki reads unified kernel images: PE files that carry a kernel, an
// initrd and a command line in sections of their own.
//
// Source: UAPI.5 Unified Kernel Image; PE format specification, "Section
// Table".
package uki

import (
	"debug/pe"
	"errors"
	"fmt"
	"io"
	"strings"
)

// An Image gives the sections of a unified kernel image.
type Image struct{ f *pe.File }

// Open reads the headers. r must stay readable.
func Open(r io.ReaderAt) (*Image, error) {
	f, err := pe.NewFile(r)
	if err != nil {
		return nil, fmt.Errorf("not a unified kernel image: %w", err)
	}
	i := &Image{f}
	if i.section(".linux") == nil {
		return nil, errors.New("not a unified kernel image: it has no section .linux")
	}
	return i, nil
}

func (i *Image) section(name string) *pe.Section { return i.f.Section(name) }

// Section returns the content of a section, as long as its virtual size says,
// and nil if there is none.
func (i *Image) Section(name string) io.Reader {
	s := i.section(name)
	if s == nil {
		return nil
	}
	return io.LimitReader(s.Open(), int64(min(s.VirtualSize, s.Size)))
}

// maxText bounds the sections that are read as text.
const maxText = 1 << 20

func (i *Image) text(name string) (string, error) {
	r := i.Section(name)
	if r == nil {
		return "", nil
	}
	data, err := io.ReadAll(io.LimitReader(r, maxText+1))
	if err == nil && len(data) > maxText {
		err = fmt.Errorf("section %s of more than %d bytes", name, maxText)
	}
	return strings.TrimRight(string(data), "\x00\n"), err
}

// Cmdline returns the kernel command line, without what pads it.
func (i *Image) Cmdline() (string, error) { return i.text(".cmdline") }

// OSRelease returns the os-release text.
func (i *Image) OSRelease() (string, error) { return i.text(".osrel") }
