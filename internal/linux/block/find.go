package block

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/gpt"
)

// Disks lists the disks of the system: what holds data by itself and can be
// booted from.
func (s System) Disks() ([]*Device, error) {
	entries, err := os.ReadDir(s.path("sys/block"))
	if err != nil {
		return nil, err
	}
	var all []*Device
	for _, e := range entries {
		if made(e.Name()) {
			continue
		}
		d, err := s.at(s.path("sys/block", e.Name()))
		if err == nil && d.Size() > 0 {
			all = append(all, d)
		}
	}
	return all, nil
}

// made reports whether the kernel makes such devices of others or of memory,
// or they are drives for floppy and optical disks.
func made(name string) bool {
	for _, prefix := range []string{"loop", "ram", "zram", "dm-", "md", "nbd", "sr", "fd", "mtdblock"} {
		if numbered(name, prefix) {
			return true
		}
	}
	return false
}

// numbered reports whether a name is the prefix and a number, or begins so.
func numbered(name, prefix string) bool {
	rest, ok := strings.CutPrefix(name, prefix)
	return ok && rest != "" && rest[0] >= '0' && rest[0] <= '9'
}

// DiskOf returns the disk with a partition of that GUID, and its table. Two
// such disks, one a copy of the other, are an error.
func (s System) DiskOf(partition gpt.GUID) (*Device, *gpt.Table, error) {
	disks, err := s.Disks()
	if err != nil {
		return nil, nil, err
	}
	var found *Device
	var table *gpt.Table
	for _, d := range disks {
		t, err := d.Table()
		if err != nil || t.Lookup(partition) == nil {
			continue
		}
		if found != nil {
			return nil, nil, fmt.Errorf("%s and %s both have a partition %s", found.Path, d.Path, partition)
		}
		found, table = d, t
	}
	if found == nil {
		return nil, nil, fmt.Errorf("disk with partition %s: %w", partition, ErrNotFound)
	}
	return found, table, nil
}

// ESPOf returns the path of the EFI system partition on the disk that a file
// system lies on, given by the device number in its st_dev.
func ESPOf(dev uint64) (string, error) { return System{}.ESPOf(dev) }

// ESPOf is the function [ESPOf] for another system.
func (s System) ESPOf(dev uint64) (string, error) {
	d, err := s.ofFileSystem(dev)
	if err != nil {
		return "", err
	}
	disks, err := d.Disks()
	if err != nil {
		return "", err
	}
	var errs []error
	for _, disk := range disks {
		t, err := disk.Table()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		esp := t.Find(gpt.ESP)
		if esp == nil {
			errs = append(errs, fmt.Errorf("%s has no EFI system partition", disk.Path))
			continue
		}
		p, err := disk.Partition(esp.Number)
		if err != nil {
			return "", err
		}
		return p.Path, nil
	}
	return "", errors.Join(errs...)
}

// ofFileSystem returns the device that a file system lies on. Some file systems
// (btrfs) have device numbers of their own; /proc tells what they are mounted
// from.
func (s System) ofFileSystem(dev uint64) (*Device, error) {
	if unix.Major(dev) != 0 {
		return s.Lookup(dev)
	}
	mounts, err := s.mounts("self")
	if err != nil {
		return nil, err
	}
	for _, m := range mounts {
		if m.Major == 0 && m.Minor == int(unix.Minor(dev)) && strings.HasPrefix(m.Source, "/dev/") {
			return s.Open(s.path(m.Source))
		}
	}
	return nil, fmt.Errorf("file system %s is %w", numberText(dev), errNoDevice)
}

func (s System) mounts(process string) ([]*mountinfo.Info, error) {
	f, err := os.Open(s.path("proc", process, "mountinfo"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return mountinfo.GetMountsFromReader(f, nil)
}
