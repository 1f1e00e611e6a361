// Package swap writes the header of swap space, as mkswap(8) does. The kernel writes
// the rest.
//
// The header is for a kernel with pages of 4 KiB: another one finds no swap space.
//
// Source: union swap_header in include/linux/swap.h of the Linux kernel.
package swap

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// PageSize is the unit of swap space, in bytes.
const PageSize = 4096

// minPages is what mkswap asks for at least.
const minPages = 10

// Check refuses a size in bytes, or a label, that swap space cannot have.
func Check(size int64, label string) error {
	switch pages := size / PageSize; {
	case pages < minPages:
		return fmt.Errorf("swap space of %d bytes, at least %d are needed", size, minPages*PageSize)
	case pages-1 > math.MaxUint32:
		return fmt.Errorf("swap space of %d bytes, at most %d are possible", size, int64(math.MaxUint32+1)*PageSize)
	case len(label) > 15:
		return fmt.Errorf("the label %q of swap space has %d bytes, it takes 15", label, len(label))
	}
	return nil
}

// Write writes the header of swap space of size bytes.
func Write(w io.WriterAt, size int64, uuid [16]byte, label string) error {
	if err := Check(size, label); err != nil {
		return err
	}
	page := make([]byte, PageSize)
	le := binary.LittleEndian
	le.PutUint32(page[1024:], 1) // version
	le.PutUint32(page[1028:], uint32(size/PageSize-1))
	le.PutUint32(page[1032:], 0) // bad pages
	copy(page[1036:], uuid[:])
	copy(page[1052:1068], label)
	copy(page[PageSize-10:], "SWAPSPACE2")
	_, err := w.WriteAt(page, 0)
	return err
}
