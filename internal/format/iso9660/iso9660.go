// Package iso9660 writes the tables of an ISO 9660 file system with one directory,
// and the boot catalog of El Torito, around files that others put on the medium.
//
// It leaves the first sectors to partition tables and boot code, so that a medium
// can be a disk at the same time. [New] lays out the tables and says what is
// wrong; [Volume.Write] writes them. The same files and options give the same bytes.
// It does not read volumes, and does not know what the files hold.
//
// Source: docs/formats/iso9660.md and the standards named there.
package iso9660

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// SectorSize is the unit in bytes in which the medium is counted.
const SectorSize = 2048

// Start is where the tables begin, in bytes. What is before is not theirs.
const Start = 16 * SectorSize

// A File is a file whose contents are on the medium. Contents may be part of more
// than the file system, but not of two files.
type File struct {
	Name string // see docs/formats/iso9660.md: "ROOT.IMG"
	At   int64  // where the contents begin: bytes, whole sectors
	Size int64  // bytes
}

// A Platform is a kind of firmware that boots.
type Platform byte

// The platforms of El Torito that are known here.
const (
	BIOS Platform = 0x00
	EFI  Platform = 0xef
)

// A Boot is an image that firmware boots.
type Boot struct {
	Platform Platform
	File     string // its name
	// Load is how many bytes the BIOS loads of it, whole units of 512; not for EFI,
	// which has all of it.
	Load int
}

// Options say what a volume is like. Size is needed.
type Options struct {
	Label string    // at most 32 of A-Z, 0-9 and _
	Size  int64     // of the medium in bytes, whole sectors
	Time  time.Time // of everything
	Boot  []Boot    // the first is the default
}

// A Volume is laid out and can be written.
type Volume struct {
	o       Options
	files   []File // sorted by name
	dir     int64  // sectors of the directory
	catalog bool
}

// New lays out the tables for files in any order. It refuses files that overlap
// with each other or with the tables.
func New(files []File, o Options) (*Volume, error) {
	v := &Volume{o: o, files: slices.Clone(files), catalog: len(o.Boot) > 0}
	slices.SortFunc(v.files, compareNames)
	if err := v.check(); err != nil {
		return nil, fmt.Errorf("laying out an ISO 9660 volume: %w", err)
	}
	return v, nil
}

// Write writes the tables to w, which holds zeros, in one piece from Start on.
func (v *Volume) Write(w io.WriterAt) error {
	if _, err := w.WriteAt(v.encode(), Start); err != nil {
		return fmt.Errorf("writing the tables of an ISO 9660 volume: %w", err)
	}
	return nil
}

// end is where the tables end, in bytes.
func (v *Volume) end() int64 { return (v.dirAt() + v.dir) * SectorSize }

// The sectors of the parts.
const primaryAt = Start / SectorSize

func (v *Volume) catalogAt() int64 { return primaryAt + 3 }

func (v *Volume) pathAt() int64 {
	if v.catalog {
		return v.catalogAt() + 1
	}
	return primaryAt + 2
}

func (v *Volume) dirAt() int64 { return v.pathAt() + 2 }

func (v *Volume) check() error {
	if v.o.Size <= 0 || v.o.Size%SectorSize != 0 || v.o.Size/SectorSize > math.MaxUint32 {
		return fmt.Errorf("a medium of %d bytes: want whole sectors of %d bytes, at most %d of them", v.o.Size, SectorSize, uint32(math.MaxUint32))
	}
	if len(v.o.Label) > 32 || strings.Trim(v.o.Label, nameChars) != "" {
		return fmt.Errorf("label %q: want at most 32 of A-Z, 0-9 and _", v.o.Label)
	}
	for k, f := range v.files {
		if err := checkName(f.Name); err != nil {
			return fmt.Errorf("name %q: %w", f.Name, err)
		}
		if k > 0 && v.files[k-1].Name == f.Name {
			return fmt.Errorf("name %q is given twice", f.Name)
		}
	}
	v.dir = int64(len(v.directory())) / SectorSize
	if err := v.checkPlaces(); err != nil {
		return err
	}
	for _, b := range v.o.Boot {
		switch {
		case v.find(b.File) == nil:
			return fmt.Errorf("no file %q to boot", b.File)
		case b.Load < 0 || b.Load%bootUnit != 0 || b.Load/bootUnit > math.MaxUint16:
			return fmt.Errorf("%d bytes of %q to load: want whole units of %d, at most %d of them", b.Load, b.File, bootUnit, math.MaxUint16)
		}
	}
	if most := (SectorSize/entrySize - 2) / 2; len(v.o.Boot) > 1+most {
		return fmt.Errorf("%d images to boot, at most %d", len(v.o.Boot), 1+most)
	}
	return nil
}

// checkPlaces refuses files that are not where files can be.
func (v *Volume) checkPlaces() error {
	end, before := v.end(), "the tables"
	byPlace := slices.SortedFunc(slices.Values(v.files), func(a, b File) int { return int(min(max(a.At-b.At, -1), 1)) })
	for _, f := range byPlace {
		switch {
		case f.Size < 0 || f.At%SectorSize != 0 || f.Size > v.o.Size || f.At > v.o.Size-f.Size:
			return fmt.Errorf("file %q has %d bytes at %d, on a medium of %d bytes", f.Name, f.Size, f.At, v.o.Size)
		case f.At < end:
			return fmt.Errorf("file %q begins at %d, %s before it end at %d", f.Name, f.At, before, end)
		}
		end, before = f.At+f.Size, "the contents of "+f.Name
	}
	return nil
}

// find returns the file of a name, nil if there is none.
func (v *Volume) find(name string) *File {
	for k := range v.files {
		if v.files[k].Name == name {
			return &v.files[k]
		}
	}
	return nil
}
