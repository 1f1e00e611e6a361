package vm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A Disk is a file that a machine has as a disk.
type Disk struct {
	Path   string
	Format string // as QEMU calls it: "qcow2", "raw"
	// Volatile disks keep nothing of what a machine writes.
	Volatile bool
	// ReadOnly disks cannot be written. An Optical one is a disc in a drive, /dev/sr0
	// and so on, which cannot either.
	ReadOnly, Optical bool
	// Record is a file to which every write and flush goes as well; package crash
	// reads it.
	Record string
	// Shared is for a disk that another machine, too, has. Neither knows what the
	// other one has in its cache.
	Shared bool
}

// NewDisk makes an empty disk.
func (l *Lab) NewDisk(ctx context.Context, name, size string) (Disk, error) {
	d := Disk{Path: filepath.Join(l.Out, name+".qcow2"), Format: "qcow2"}
	_, err := l.command(ctx, "qemu-img", "create", "-q", "-f", "qcow2", d.Path, size)
	return d, err
}

// Overlay makes a disk that begins as a copy of another, which must not change
// any more.
func (l *Lab) Overlay(ctx context.Context, name string, base Disk) (Disk, error) {
	d := Disk{Path: filepath.Join(l.Out, name+".qcow2"), Format: "qcow2"}
	_, err := l.command(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-b", base.Path, "-F", base.Format, d.Path)
	return d, err
}

// Enlarge makes a disk larger. What is on it does not know.
func (l *Lab) Enlarge(ctx context.Context, d Disk, size string) error {
	_, err := l.command(ctx, "qemu-img", "resize", "-q", "-f", d.Format, d.Path, size)
	return err
}

// RawCopy makes a raw copy of a disk.
func (l *Lab) RawCopy(ctx context.Context, name string, base Disk) (Disk, error) {
	d := Disk{Path: filepath.Join(l.Out, name+".raw"), Format: "raw"}
	_, err := l.command(ctx, "qemu-img", "convert", "-f", base.Format, "-O", "raw", base.Path, d.Path)
	return d, err
}

// arguments are QEMU's for the disk with number i.
func (d Disk) arguments(i int) []string {
	node := fmt.Sprintf("disk%d", i)
	device := []string{"-device", fmt.Sprintf("virtio-blk-pci,drive=%s,serial=%s,bootindex=%d", node, node, i+1)}
	if d.Optical {
		device = []string{
			"-device", fmt.Sprintf("virtio-scsi-pci,id=scsi%d", i),
			"-device", fmt.Sprintf("scsi-cd,bus=scsi%d.0,drive=%s,bootindex=%d", i, node, i+1),
		}
	}
	if d.Record != "" {
		locking := "auto"
		if d.Shared {
			locking = "off"
		}
		// QEMU merges what waits for the disk into one write of as many buffers as
		// the host's kernel takes, to which the recorder adds one: an I/O error.
		device[1] += ",request-merging=off"
		// A flush has to reach the recorder, so the cache is not "unsafe" here.
		return append([]string{"-blockdev", strings.Join([]string{
			"driver=blklogwrites,node-name=" + node,
			"file.driver=" + d.Format, "file.file.driver=file", "file.file.filename=" + d.Path,
			"log.driver=file", "log.filename=" + d.Record, "file.file.locking=" + locking,
		}, ",")}, device...)
	}
	// What the machine has written is safe from its own crash in the host's
	// memory. This host's crash is not what is tested.
	drive := fmt.Sprintf("if=none,id=%s,file=%s,format=%s,cache=unsafe,discard=unmap", node, d.Path, d.Format)
	if d.Volatile {
		drive += ",snapshot=on"
	}
	if d.ReadOnly || d.Optical {
		drive += ",readonly=on"
	}
	return append([]string{"-drive", drive}, device...)
}

// Installed returns a disk with an image installed under a name. It is made
// once, by install upon an empty disk of 10 GiB, and must not change any more:
// machines get an [Lab.Overlay] of it.
func (l *Lab) Installed(ctx context.Context, img *Image, ref string, install func(Disk) error) (Disk, error) {
	sum := sha256.Sum256([]byte(img.Key() + " " + ref))
	key := "installed-" + hex.EncodeToString(sum[:8])
	d := Disk{Path: filepath.Join(l.cache, "disks", key+".qcow2"), Format: "qcow2"}
	made := func() bool { _, err := os.Stat(d.Path); return err == nil }
	err := l.once(ctx, key, made, func() error {
		work := Disk{Path: d.Path + ".new", Format: "qcow2"}
		if _, err := l.command(ctx, "qemu-img", "create", "-q", "-f", "qcow2", work.Path, "10G"); err != nil {
			return err
		}
		if err := install(work); err != nil {
			return err
		}
		return os.Rename(work.Path, d.Path)
	})
	if err != nil {
		return Disk{}, fmt.Errorf("installing %s: %w", img.Name, err)
	}
	return d, nil
}
