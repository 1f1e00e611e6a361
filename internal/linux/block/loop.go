package block

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// AttachLoop makes a read-only block device of a file. The device is released
// when the handle that is returned and all mounts of it are gone.
func AttachLoop(file *os.File) (*os.File, error) {
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
		loop, err := configureLoop(fmt.Sprintf("/dev/loop%d", number), file)
		if errors.Is(err, unix.EBUSY) {
			continue
		}
		return loop, err
	}
	return nil, fmt.Errorf("setting up a loop device: %w", unix.EBUSY)
}

func configureLoop(name string, file *os.File) (*os.File, error) {
	loop, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	config := unix.LoopConfig{Fd: uint32(file.Fd()), Size: 4096}
	config.Info.Flags = unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR | unix.LO_FLAGS_DIRECT_IO
	err = unix.IoctlLoopConfigure(int(loop.Fd()), &config)
	if errors.Is(err, unix.EINVAL) { // no direct I/O on this file system
		config.Info.Flags &^= unix.LO_FLAGS_DIRECT_IO
		err = unix.IoctlLoopConfigure(int(loop.Fd()), &config)
	}
	if err != nil {
		loop.Close()
		return nil, fmt.Errorf("setting up %s: %w", name, err)
	}
	return loop, nil
}
