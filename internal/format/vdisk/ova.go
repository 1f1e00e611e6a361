package vdisk

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math"
	"strings"
	"time"
)

// ovaName is how long the name of an archive's files may be, without ending: a
// header has 100 bytes.
const ovaName = 95

// ustarMost is the largest number in a header of the USTAR form, which OVF wants: 11
// octal digits.
const ustarMost = 1<<33 - 1

// NewOVA writes an archive of one virtual machine, OVA: a tar with a descriptor,
// the check sums of its files, and the disk as [NewVMDK] writes it, all three named
// after Options.Name without ".ova". What stands before the disk is written at the
// end, into room whose size does not depend on what is not known yet.
func NewOVA(t Target, o Options) (Disk, error) {
	a, err := newOVA(t, o)
	if err != nil {
		return nil, fmt.Errorf("ova image: %w", err)
	}
	return newDisk("the ova image", o.Size, a), nil
}

func newOVA(t Target, o Options) (*ova, error) {
	a := &ova{target: t, options: o, sum: sha256.New(), name: strings.TrimSuffix(o.Name, ".ova")}
	if a.name == "" {
		a.name = "disk"
	}
	if len(a.name) > ovaName || strings.ContainsFunc(a.name, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, fmt.Errorf("name %q: want printable ASCII, at most %d characters", a.name, ovaName)
	}
	head, err := a.head(math.MaxInt64, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	a.start = int64(len(head))
	o.Name = a.name + ".vmdk"
	if a.vmdk, err = newVMDK(io.MultiWriter(io.NewOffsetWriter(t, a.start), a.sum), o); err != nil {
		return nil, err
	}
	return a, t.Truncate(0)
}

type ova struct {
	target  Target
	options Options
	name    string // of the files, without ending
	vmdk    *vmdk
	sum     hash.Hash // of the disk's file
	start   int64     // of the disk's file in the archive
}

func (a *ova) write(p []byte, off int64) error { return a.vmdk.write(p, off) }

func (a *ova) end() error {
	if err := a.vmdk.end(); err != nil {
		return err
	}
	size := a.vmdk.sectors * sectorSize
	// Two blocks of zeros are the end of a tar.
	if err := a.target.Truncate(a.start + size + 2*sectorSize); err != nil {
		return err
	}
	head, err := a.head(size, a.vmdk.grains*vmdkGrain)
	if err != nil {
		return err
	}
	_, err = a.target.WriteAt(head, 0)
	return err
}

// head makes what stands before the disk's file, of size bytes, which hold so many
// of the disk.
func (a *ova) head(size, populated int64) ([]byte, error) {
	ovf := a.descriptor(size, populated)
	sum := sha256.Sum256(ovf)
	manifest := fmt.Appendf(nil, "SHA256(%s.ovf)= %s\nSHA256(%s.vmdk)= %s\n", a.name, hex.EncodeToString(sum[:]), a.name, hex.EncodeToString(a.sum.Sum(nil)))
	var b bytes.Buffer
	for _, f := range []struct {
		ending string
		size   int64
		data   []byte
	}{{".ovf", int64(len(ovf)), ovf}, {".mf", int64(len(manifest)), manifest}, {".vmdk", size, nil}} {
		h := &tar.Header{Name: a.name + f.ending, Size: f.size, Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if s := a.options.Time.Unix(); s > 0 && s <= ustarMost {
			h.ModTime = time.Unix(s, 0)
		}
		if f.size > ustarMost {
			h.Format = tar.FormatGNU
		}
		// Each file has a writer of its own, which knows of no other.
		if err := tar.NewWriter(&b).WriteHeader(h); err != nil {
			return nil, err
		}
		b.Write(f.data)
		b.Write(make([]byte, roundUp(int64(len(f.data)), sectorSize)-int64(len(f.data))))
	}
	return b.Bytes(), nil
}
