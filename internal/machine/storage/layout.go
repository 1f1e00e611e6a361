package storage

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/bootc-go/bootc/internal/format/gpt"
)

// The sizes of a layout, in bytes.
const (
	biosBootSize = 1 * mib
	espSize      = 1024 * mib
	minRootSize  = 512 * mib
	// Partitions begin and end at multiples of this, and that much is left
	// free at both ends of the disk for the two copies of the table.
	grain = 1 * mib
)

// The roles of partitions.
const (
	roleBIOSBoot = "BIOS-BOOT"
	roleESP      = "EFI-SYSTEM"
	roleRoot     = "root"
)

// A Partition is one that will be made. Its number is its place in the layout,
// from 1.
type Partition struct {
	Name       string // also the label of its file system
	Type       gpt.GUID
	Start      uint64 // in bytes
	Size       uint64 // in bytes
	Filesystem string // "ext4", "vfat", "swap", or empty for none
	Attributes uint64 // those of package gpt
	// Mount is where one of Options.More is mounted, "swap" for swap space; empty
	// for the others.
	Mount string
}

// An Extra is a partition that is wanted beside those that a machine needs.
type Extra struct {
	Name       string // at most 36 UTF-16 units
	Mount      string // as in Partition
	Size       uint64 // the least, in bytes
	Filesystem string // "ext4", "vfat" or "swap"
}

// Options say how a disk is laid out. The zero value is an ext4 root over the
// rest of an empty disk.
type Options struct {
	Wipe       bool   // a disk that has partitions or other data may be erased
	RootSize   uint64 // of the root partition, in bytes; 0: the rest of the disk
	Filesystem string // of the root: "ext4", which empty means too
	Arch       string // "amd64" or "arm64"; empty: this machine's
	ESPSize    uint64 // the least of the EFI system partition, in bytes; 0: 1 GiB
	More       []Extra
}

// Layout divides a disk of the given size: a BIOS boot partition (only amd64,
// kept free for a boot loader of that kind), the EFI system partition, what more
// is wanted, in its order, and the root, which is the last one so that it can grow.
func Layout(diskSize uint64, o Options) ([]Partition, error) {
	fs := o.Filesystem
	switch fs {
	case "":
		fs = "ext4"
	case "ext4":
	case "xfs", "btrfs":
		return nil, fmt.Errorf("the file system %s is not supported yet, only ext4 is", fs)
	default:
		return nil, fmt.Errorf("unknown file system %q (known: ext4)", fs)
	}
	arch := o.Arch
	if arch == "" {
		arch = runtime.GOARCH
	}
	if arch != "amd64" && arch != "arm64" {
		return nil, fmt.Errorf("the architecture %s is not supported, only amd64 and arm64 are", arch)
	}
	rootType, err := gpt.Root(arch)
	if err != nil {
		return nil, err
	}
	var parts []Partition
	at := uint64(grain)
	add := func(name string, kind gpt.GUID, size uint64, fs string) {
		parts = append(parts, Partition{Name: name, Type: kind, Start: at, Size: size, Filesystem: fs})
		at += size
	}
	if arch == "amd64" {
		add(roleBIOSBoot, gpt.BIOSBoot, biosBootSize, "")
	}
	add(roleESP, gpt.ESP, whole(max(espSize, o.ESPSize)), "vfat")
	for _, e := range o.More {
		kind := gpt.Linux
		if e.Filesystem == "swap" {
			kind = gpt.Swap
		}
		add(e.Name, kind, whole(e.Size), e.Filesystem)
		parts[len(parts)-1].Mount = e.Mount
	}
	size, err := rootSize(diskSize, at, o.RootSize)
	if err != nil {
		return nil, err
	}
	add(roleRoot, rootType, size, fs)
	// Whatever makes the partition larger: the file system is to follow.
	parts[len(parts)-1].Attributes = gpt.GrowFileSystem
	return parts, nil
}

// whole rounds up to whole grains.
func whole(size uint64) uint64 { return (size + grain - 1) / grain * grain }

// rootSize is the size of the root partition that begins at start.
func rootSize(diskSize, start, want uint64) (uint64, error) {
	if want > 0 && want < minRootSize {
		return 0, fmt.Errorf("a root of %s is too small, at least %s are needed", formatSize(want), formatSize(minRootSize))
	}
	need := max(want, minRootSize)
	if end := diskSize / grain * grain; end >= start+need+grain {
		if want == 0 {
			return end - grain - start, nil
		}
		return want, nil
	}
	has, needs := diskSize/mib, (start+need+grain)/mib
	if want > 0 {
		return 0, fmt.Errorf("the disk is too small: it has %d MiB, and a root of %s needs %d MiB", has, formatSize(want), needs)
	}
	return 0, fmt.Errorf("the disk is too small: it has %d MiB, at least %d MiB are needed", has, needs)
}

// describe prints a layout as a table.
func describe(parts []Partition) string {
	var b strings.Builder
	for i, p := range parts {
		fs := p.Filesystem
		if fs == "" {
			fs = "-"
		}
		fmt.Fprintf(&b, "%d  %-10s  %10s  %-4s  %s", i+1, p.Name, formatSize(p.Size), fs, p.Type)
		if p.Mount != "" && p.Mount != p.Filesystem {
			fmt.Fprintf(&b, "  %s", p.Mount)
		}
		b.WriteString("\n")
	}
	return b.String()
}
