package vm_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bootc-go/bootc/test/vm"
)

// TestDiskImage has an ordinary user make disk images, and boots a machine from
// each: it is sealed from its first boot on.
func TestDiskImage(t *testing.T) {
	s := newStory(t)
	v1 := s.v1(vm.Dracut)
	dir := s.buildDisk(v1, "--type", "raw,qcow2,vmdk,vhd", "--karg", "lab.built=1")
	for _, format := range []string{"raw", "qcow2", "vmdk", "vhd"} {
		t.Run(format, func(t *testing.T) {
			s := newStory(t)
			g := s.imaged("machine", dir, format)
			g.wantRunning("1")
			g.wantIn("findmnt -no OPTIONS /", "verity=require")
			g.wantIn("cat /proc/cmdline", "lab.built=1")
			if format != "raw" {
				return
			}
			g.wantIn("bootc internals fsck", "status: ok")
			g.run("echo here > /etc/lab-local && echo data > /var/lab-data")
			s.publish(s.derive(v1, "other"), imageName)
			g.wantIn("bootc upgrade", "Queued for next boot")
			g.reboot()
			g.wantWhole("other")
			g.want("cat /etc/lab-local /var/lab-data", "here\ndata")
		})
	}
}

// imageName is the name that machines from disk images follow.
const imageName = "imaged:stable"

// buildDisk has an ordinary user make disk images, and returns their directory.
func (s *story) buildDisk(img *vm.Image, options ...string) string {
	s.t.Helper()
	s.publish(img, imageName)
	home, err := os.MkdirTemp("/var/tmp", "bootc-lab-")
	s.must(err)
	s.t.Cleanup(func() { os.RemoveAll(home) })
	start := time.Now()
	dir, err := s.lab.BuildDisk(s.ctx, home, imageName, nil, options...)
	s.must(err)
	say(s.t.Name() + ": built in " + time.Since(start).Round(time.Second/10).String())
	return dir
}

// imaged boots a machine from a disk image in a format, which stays as it is.
func (s *story) imaged(name, dir, format string) *guest {
	s.t.Helper()
	driver := format
	if format == "vhd" {
		driver = "vpc"
	}
	disk, err := s.lab.Overlay(s.ctx, s.name(name), vm.Disk{Path: filepath.Join(dir, "disk."+format), Format: driver})
	s.must(err)
	s.discard(disk)
	return s.boot(name, vm.Hardware{Disks: []vm.Disk{disk}})
}
