package block

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// LoopOptions are the options of [AttachLoop].
type LoopOptions struct {
	// Release gives the device back when the handle and all mounts of it are
	// gone. Without, it stays until the machine is switched off.
	Release bool
	// Partitions has the kernel read the partition table of the file. Its
	// partitions are there when AttachLoop returns.
	Partitions bool
	// Direct passes the cache for the file by, where its file system can.
	Direct bool
	// SectorSize is that of the device, in bytes, whatever the file is on; 0: 512.
	SectorSize int
}

// AttachLoop makes a read-only block device of a file, which may be a block
// device itself. The file may be removed then: the device keeps its content.
func AttachLoop(file *os.File, o LoopOptions) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	// Somebody else may take the device that is free now.
	for range 64 {
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("finding a free loop device: %w", err)
		}
		loop, err := o.configure(fmt.Sprintf("/dev/loop%d", number), file)
		if errors.Is(err, unix.EBUSY) {
			continue
		}
		return loop, err
	}
	return nil, fmt.Errorf("setting up a loop device: %w", unix.EBUSY)
}

func (o LoopOptions) configure(name string, file *os.File) (*os.File, error) {
	// Opened for reading only: when a device that was open for writing is closed,
	// udev looks at it anew, and its partitions go and come while somebody may
	// be about to mount one.
	loop, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	config := unix.LoopConfig{Fd: uint32(file.Fd()), Size: 512, Info: unix.LoopInfo64{Flags: o.flags()}}
	if o.SectorSize > 0 {
		config.Size = uint32(o.SectorSize)
	}
	copy(config.Info.File_name[:len(config.Info.File_name)-1], file.Name())
	err = unix.IoctlLoopConfigure(int(loop.Fd()), &config)
	if o.Direct && errors.Is(err, unix.EINVAL) { // not on this file system
		config.Info.Flags &^= unix.LO_FLAGS_DIRECT_IO
		err = unix.IoctlLoopConfigure(int(loop.Fd()), &config)
	}
	if err != nil {
		loop.Close()
		return nil, fmt.Errorf("setting up %s: %w", name, err)
	}
	return loop, nil
}

func (o LoopOptions) flags() uint32 {
	flags := uint32(unix.LO_FLAGS_READ_ONLY)
	if o.Release {
		flags |= unix.LO_FLAGS_AUTOCLEAR
	}
	if o.Partitions {
		flags |= unix.LO_FLAGS_PARTSCAN
	}
	if o.Direct {
		flags |= unix.LO_FLAGS_DIRECT_IO
	}
	return flags
}

// LoopOf finds the loop device that is attached to a file, given by its
// absolute path. [ErrNotFound] means that there is none. When the root has
// changed since, as at the end of the initramfs, the kernel has another path.
func LoopOf(path string) (*Device, error) { return System{}.LoopOf(path) }

// LoopOf is the function [LoopOf] for another system.
func (s System) LoopOf(path string) (*Device, error) {
	loops, err := s.named("loop[0-9]*")
	if err != nil {
		return nil, err
	}
	for _, d := range loops {
		if d.read("loop/backing_file") == path {
			return d, nil
		}
	}
	return nil, fmt.Errorf("loop device of %s: %w", path, ErrNotFound)
}

// OpticalDrives lists the drives for optical discs, with a disc or without.
func OpticalDrives() ([]*Device, error) { return System{}.OpticalDrives() }

// OpticalDrives is the function [OpticalDrives] for another system.
func (s System) OpticalDrives() ([]*Device, error) { return s.named("sr[0-9]*") }

// named lists the disks with names that match a pattern.
func (s System) named(pattern string) ([]*Device, error) {
	links, err := filepath.Glob(s.path("sys/block", pattern))
	if err != nil {
		return nil, err
	}
	var all []*Device
	for _, link := range links {
		d, err := s.at(link)
		if errors.Is(err, ErrNotFound) {
			continue // gone meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}
