// Package block finds block devices, their partitions, and who uses them, and
// makes them of files.
//
// What a device is comes from sysfs, what is on a disk from its GUID partition
// table, which is read here: neither udev nor its database is needed, so the
// initramfs can use the package too.
//
// It knows nothing of file systems.
//
// Source: Documentation/ABI/stable/sysfs-block and testing/sysfs-block of the
// Linux kernel.
package block

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/gpt"
)

// ErrNotFound means that there is no such device, or not yet.
var ErrNotFound = errors.New("block device not found")

// A System is where devices are looked for: directories with /sys, /proc and
// /dev below Root. The zero System is the running one.
type System struct {
	Root string
}

func (s System) path(elem ...string) string {
	return filepath.Join(append([]string{"/", s.Root}, elem...)...)
}

// A Device is a disk or a partition.
type Device struct {
	Name   string // the kernel's, "vda3"
	Path   string // "/dev/vda3"
	Number uint64 // as in st_rdev

	system System
	dir    string // in sysfs
}

// Open finds the device that a path stands for, which may be a symbolic link.
func Open(path string) (*Device, error) { return System{}.Open(path) }

// Lookup finds a device by its number.
func Lookup(number uint64) (*Device, error) { return System{}.Lookup(number) }

// Open is the function [Open] for another system.
func (s System) Open(path string) (*Device, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return nil, fmt.Errorf("%s is not a block device", path)
	}
	return s.Lookup(uint64(st.Rdev))
}

// Lookup is the function [Lookup] for another system.
func (s System) Lookup(number uint64) (*Device, error) {
	return s.at(s.path("sys/dev/block", numberText(number)))
}

func numberText(number uint64) string {
	return fmt.Sprintf("%d:%d", unix.Major(number), unix.Minor(number))
}

// at makes a Device of a directory in sysfs, or of a link to one.
func (s System) at(link string) (*Device, error) {
	dir, err := filepath.EvalSymlinks(link)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", filepath.Base(link), ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	d := &Device{Name: filepath.Base(dir), system: s, dir: dir}
	// "!" stands for the slash of names such as "cciss/c0d0".
	d.Path = s.path("dev", strings.ReplaceAll(d.Name, "!", "/"))
	major, minor, ok := strings.Cut(d.read("dev"), ":")
	ma, err1 := strconv.ParseUint(major, 10, 32)
	mi, err2 := strconv.ParseUint(minor, 10, 32)
	if !ok || err1 != nil || err2 != nil {
		return nil, fmt.Errorf("%s has no device number in %s", d.Name, dir)
	}
	d.Number = unix.Mkdev(uint32(ma), uint32(mi))
	return d, nil
}

// read returns a file of sysfs without its newline, "" if there is none.
func (d *Device) read(name string) string {
	data, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func (d *Device) number(name string) int64 {
	n, err := strconv.ParseInt(d.read(name), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// PartitionNumber returns the number of a partition, 0 for a whole disk.
func (d *Device) PartitionNumber() int { return int(d.number("partition")) }

// Size returns the size in bytes, 0 for a drive without medium.
func (d *Device) Size() int64 { return 512 * d.number("size") }

// SectorSize returns the size of the sectors that the device shows, in bytes.
func (d *Device) SectorSize() int {
	dir := d
	if d.PartitionNumber() > 0 {
		dir = &Device{dir: filepath.Dir(d.dir)}
	}
	if n := dir.number("queue/logical_block_size"); n > 0 {
		return int(n)
	}
	return 512
}

// ReadOnly reports whether the device cannot be written.
func (d *Device) ReadOnly() bool { return d.number("ro") != 0 }

// Removable reports whether the medium can be taken out of the drive, or the drive
// off the machine.
func (d *Device) Removable() bool { return d.number("removable") != 0 }

// Optical reports whether the device is a drive for optical disks.
func (d *Device) Optical() bool { return numbered(d.Name, "sr") }

// Model returns what the drive calls itself, "" if unknown.
func (d *Device) Model() string { return d.read("device/model") }

// Serial returns the serial number, "" if unknown.
func (d *Device) Serial() string {
	if s := d.read("serial"); s != "" {
		return s
	}
	return d.read("device/serial")
}

// Parent returns the disk of a partition, and a disk itself.
func (d *Device) Parent() (*Device, error) {
	if d.PartitionNumber() == 0 {
		return d, nil
	}
	return d.system.at(filepath.Dir(d.dir))
}

// Partitions lists the partitions that the kernel knows, in order of their
// numbers.
func (d *Device) Partitions() ([]*Device, error) {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, err
	}
	var all []*Device
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), d.Name) {
			continue
		}
		p, err := d.system.at(filepath.Join(d.dir, e.Name()))
		if err == nil && p.PartitionNumber() > 0 {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b *Device) int { return a.PartitionNumber() - b.PartitionNumber() })
	return all, nil
}

// Partition returns the partition with a number. [ErrNotFound] means that the
// kernel does not know it (yet).
func (d *Device) Partition(number int) (*Device, error) {
	all, err := d.Partitions()
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if p.PartitionNumber() == number {
			return p, nil
		}
	}
	return nil, fmt.Errorf("partition %d of %s: %w", number, d.Path, ErrNotFound)
}

// Table reads the partition table of a disk; [gpt.ErrNone] if it has none.
func (d *Device) Table() (*gpt.Table, error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := gpt.Read(f, d.SectorSize(), d.Size())
	if err != nil {
		return nil, fmt.Errorf("reading the partition table of %s: %w", d.Path, err)
	}
	return t, nil
}

// Disks returns the disks that a device lies on: its own, or those below a
// device that is put together of others.
func (d *Device) Disks() ([]*Device, error) {
	found := map[string]*Device{}
	if err := d.collect(found, 16); err != nil {
		return nil, err
	}
	var all []*Device
	for _, disk := range found {
		all = append(all, disk)
	}
	slices.SortFunc(all, func(a, b *Device) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

func (d *Device) collect(found map[string]*Device, depth int) error {
	if depth == 0 {
		return fmt.Errorf("%s is stacked on too many devices", d.Name)
	}
	disk, err := d.Parent()
	if err != nil {
		return err
	}
	below, err := os.ReadDir(filepath.Join(disk.dir, "slaves"))
	if err != nil || len(below) == 0 {
		found[disk.Name] = disk
		return nil
	}
	for _, e := range below {
		s, err := d.system.at(filepath.Join(disk.dir, "slaves", e.Name()))
		if err != nil {
			return err
		}
		if err := s.collect(found, depth-1); err != nil {
			return err
		}
	}
	return nil
}
