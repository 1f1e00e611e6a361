package block

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// errNoDevice means that a file system is in memory, or elsewhere.
var errNoDevice = errors.New("not on a block device")

// maxLoops bounds how many loop devices may lie on each other.
const maxLoops = 8

// DisksOf returns the disks that a file system lies on, given by the device number
// in its st_dev: also where it is in a file, or loop devices are between. There are
// none below one that is in memory.
func DisksOf(dev uint64) ([]*Device, error) { return System{}.DisksOf(dev) }

// DisksOf is the function [DisksOf] for another system.
func (s System) DisksOf(dev uint64) ([]*Device, error) { return s.disksOf(dev, maxLoops) }

func (s System) disksOf(dev uint64, loops int) ([]*Device, error) {
	d, err := s.ofFileSystem(dev)
	if errors.Is(err, errNoDevice) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	disks, err := d.Disks()
	if err != nil {
		return nil, err
	}
	var all []*Device
	for _, disk := range disks {
		if !numbered(disk.Name, "loop") || loops == 0 {
			all = append(all, disk)
			continue
		}
		number, err := disk.backing()
		if err != nil {
			return nil, fmt.Errorf("asking what %s is made of: %w", disk.Path, err)
		}
		below, err := s.disksOf(number, loops-1)
		if err != nil {
			return nil, err
		}
		all = append(all, below...)
	}
	return all, nil
}

// backing returns the number of the device that a loop device stands for, or of the
// file system that its file is on.
func (d *Device) backing() (uint64, error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := unix.IoctlLoopGetStatus64(int(f.Fd()))
	if err != nil {
		return 0, err
	}
	if info.Rdevice != 0 {
		return info.Rdevice, nil
	}
	return info.Device, nil
}
