package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/linux/block"
	"github.com/bootc-go/bootc/internal/linux/tool"
)

// settleTime is how long the kernel may take to show the new partitions while
// others have the disk open for a moment.
const settleTime = 30 * time.Second

// Partitions are the device nodes of what [Plan.Make] made.
type Partitions struct {
	Root string // the root file system
	ESP  string // the EFI system partition
}

// Make erases the disk, writes the partition table and makes the file systems.
// Everything is on disk when it returns. The disk is locked meanwhile, so that
// udev does not look at what is half made.
func (p *Plan) Make(ctx context.Context) (Partitions, error) {
	d, err := look(p.Device)
	if err != nil {
		return Partitions{}, err
	}
	if d.size != p.Size || d.dev.SectorSize() != p.SectorSize {
		return Partitions{}, fmt.Errorf("%s has changed: %d bytes, planned for %d", p.Device, d.size, p.Size)
	}
	if !p.wipe {
		if err := d.refuseData(p.Device); err != nil {
			return Partitions{}, err
		}
	}
	lock, err := lockDisk(ctx, d.dev.Path)
	if err != nil {
		return Partitions{}, err
	}
	defer lock.Close()
	if err := p.writeTable(d.dev); err != nil {
		return Partitions{}, err
	}
	wait, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if err := d.dev.RereadTable(wait); err != nil {
		return Partitions{}, err
	}
	return p.makeFilesystems(ctx, d.dev)
}

// lockDisk takes the lock by which udev and others leave a disk alone.
//
// Source: systemd, Locking Block Device Access.
func lockDisk(ctx context.Context, path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("waiting for others to unlock %s: %w", path, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// writeTable erases both ends of the disk and of each partition to be, and
// writes the table. It fails when the disk is in use, wherever.
func (p *Plan) writeTable(dev *block.Device) error {
	table, err := p.Table(nil)
	if err != nil {
		return err
	}
	f, err := dev.OpenExclusive()
	if err != nil {
		return err
	}
	write := func() error {
		if err := p.erase(f); err != nil {
			return fmt.Errorf("erasing what is there: %w", err)
		}
		if err := table.Write(f); err != nil {
			return err
		}
		return f.Sync()
	}
	return errors.Join(write(), f.Close())
}

// erase writes zeros where formats have their marks: the first and last MiB of
// the disk and of the new partitions.
func (p *Plan) erase(w io.WriterAt) error {
	areas := []Partition{{Size: p.Size}}
	areas = append(areas, p.Partitions...)
	for _, a := range areas {
		zeros := make([]byte, min(a.Size, grain))
		for _, at := range []uint64{a.Start, a.Start + a.Size - uint64(len(zeros))} {
			if _, err := w.WriteAt(zeros, int64(at)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Plan) makeFilesystems(ctx context.Context, dev *block.Device) (Partitions, error) {
	var made Partitions
	for i, part := range p.Partitions {
		node, err := dev.Partition(i + 1)
		if err != nil {
			return Partitions{}, err
		}
		switch part.Name {
		case roleRoot:
			made.Root = node.Path
		case roleESP:
			made.ESP = node.Path
		}
		if err := makeFilesystem(ctx, part, node.Path); err != nil {
			return Partitions{}, fmt.Errorf("making the file system of partition %d (%s): %w", i+1, part.Name, err)
		}
	}
	return made, nil
}

// makeFilesystem runs the program that makes a partition's file system. Blocks
// of an ext4 are 4 KiB whatever its size, as fs-verity wants them.
func makeFilesystem(ctx context.Context, part Partition, node string) error {
	switch part.Filesystem {
	case "":
		return nil
	case "ext4":
		return tool.Run(ctx, tool.MkfsExt4, "-q", "-F", "-b", "4096", "-O", "verity", "-L", part.Name, node)
	case "vfat":
		return tool.Run(ctx, tool.MkfsFat, "-F", "32", "-n", part.Name, node)
	}
	return fmt.Errorf("internal error: no program for file system %q", part.Filesystem)
}
