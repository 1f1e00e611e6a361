package build

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/bootc-go/bootc/internal/format/vdisk"
)

// A format is a type of disk image, or of a medium.
type format struct {
	name   string
	ending string
	medium bool   // of what is booted and never written
	unit   uint64 // that the size of the disk is a multiple of; 0: any
	open   func(*os.File, vdisk.Options) (vdisk.Disk, error)
	beside *companion // nil: none
	folder *folder    // a directory of files in place of a file; nil: a file
}

// A companion is a small file beside a disk image, for whoever imports that.
type companion struct {
	ending string
	// make makes it for the disk image, of a name.
	make func(p *Plan, d *disk, file string) ([]byte, error)
}

func formats() []format {
	target := func(open func(vdisk.Target, vdisk.Options) (vdisk.Disk, error)) func(*os.File, vdisk.Options) (vdisk.Disk, error) {
		return func(f *os.File, o vdisk.Options) (vdisk.Disk, error) { return open(f, o) }
	}
	return []format{
		{name: "raw", ending: "raw", open: target(vdisk.NewRaw)},
		{name: "qcow2", ending: "qcow2", open: target(vdisk.NewQCOW2)},
		{name: "qcow2-compressed", ending: "compressed.qcow2", open: target(vdisk.NewCompressedQCOW2)},
		{name: "vmdk", ending: "vmdk", open: func(f *os.File, o vdisk.Options) (vdisk.Disk, error) { return vdisk.NewVMDK(f, o) }},
		{name: "vhd", ending: "vhd", open: target(vdisk.NewDynamicVHD)},
		{name: "vhd-fixed", ending: "fixed.vhd", open: target(vdisk.NewFixedVHD)},
		{name: "vhdx", ending: "vhdx", open: target(vdisk.NewVHDX)},
		{name: "gce", ending: "tar.gz", unit: vdisk.GCEAlignment, open: func(f *os.File, o vdisk.Options) (vdisk.Disk, error) { return vdisk.NewGCE(f, o) }},
		{name: "ova", ending: "ova", open: target(vdisk.NewOVA)},
		{name: "ami", ending: "ami.raw", unit: amiUnit, open: target(vdisk.NewRaw), beside: &companion{
			ending: "ami.json",
			make: func(p *Plan, d *disk, file string) ([]byte, error) {
				return describeAMI(p.Options.Name, file, d.arch, p.Manifest, d.size)
			},
		}},
		{name: "iso", ending: "iso", medium: true, open: target(vdisk.NewRaw)},
		{name: "pxe", ending: "pxe", medium: true, folder: &folder{names: pxeNames(), has: pxeHas, make: makePXE}},
	}
}

// Types lists the names of the formats, in the order in which people meet them.
func Types() []string {
	var names []string
	for _, f := range formats() {
		names = append(names, f.name)
	}
	return names
}

func findFormat(name string) (format, error) {
	for _, f := range formats() {
		if f.name == name {
			return f, nil
		}
	}
	return format{}, fmt.Errorf("unknown type %q (known: %s)", name, strings.Join(Types(), ", "))
}

// options of the disk in a format.
func (f format) options(name string, size int64, id [16]byte, t int64) vdisk.Options {
	return vdisk.Options{Size: size, ID: id, Time: time.Unix(t, 0).UTC(), Name: name}
}
