package block

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// InUse says why a disk or one of its partitions must not be overwritten:
// "/dev/vda2 is mounted at /boot". It returns "" for a device that is free.
//
// It looks at mounts of this process and of the first one, at swap, and at
// devices put together of this one. Mounts in other containers it cannot see;
// [Device.OpenExclusive] fails for those.
func (d *Device) InUse() (string, error) {
	parts, err := d.Partitions()
	if err != nil {
		return "", err
	}
	for _, p := range append([]*Device{d}, parts...) {
		why, err := p.inUse()
		if err != nil || why != "" {
			return why, err
		}
	}
	return "", nil
}

func (d *Device) inUse() (string, error) {
	for _, process := range []string{"self", "1"} {
		mounts, err := d.system.mounts(process)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			continue
		}
		if err != nil {
			return "", err
		}
		for _, m := range mounts {
			if m.Source == d.Path || unix.Mkdev(uint32(m.Major), uint32(m.Minor)) == d.Number {
				return fmt.Sprintf("%s is mounted at %s", d.Path, m.Mountpoint), nil
			}
		}
	}
	holders, err := os.ReadDir(filepath.Join(d.dir, "holders"))
	if err == nil && len(holders) > 0 {
		return fmt.Sprintf("%s is used by %s", d.Path, holders[0].Name()), nil
	}
	swaps, err := os.ReadFile(d.system.path("proc/swaps"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	for line := range strings.Lines(string(swaps)) {
		if f := strings.Fields(line); len(f) > 0 && f[0] == d.Path {
			return fmt.Sprintf("%s is used as swap", d.Path), nil
		}
	}
	return "", nil
}

// OpenExclusive opens the device for reading and writing. While it is open
// nothing of it can be mounted, and it fails when something is.
func (d *Device) OpenExclusive() (*os.File, error) {
	fd, err := unix.Open(d.Path, unix.O_RDWR|unix.O_EXCL|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%s is in use", d.Path)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: d.Path, Err: err}
	}
	return os.NewFile(uintptr(fd), d.Path), nil
}

// RereadTable makes the kernel read the partition table of the disk again. It
// waits, until ctx is done, for those who have a partition open for a moment, as
// udev does. When it returns nil the nodes of the partitions are there.
func (d *Device) RereadTable(ctx context.Context) error {
	f, err := os.Open(d.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		err := unix.IoctlSetInt(int(f.Fd()), unix.BLKRRPART, 0)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("reading the partition table of %s again: %w", d.Path, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("reading the partition table of %s again: %w", d.Path, errors.Join(err, ctx.Err()))
		case <-time.After(100 * time.Millisecond):
		}
	}
}
