package vm_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/bootc-go/bootc/internal/format/gpt"
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
			disk := s.imaged(dir, format)
			g := s.boot("machine", vm.Hardware{Disks: []vm.Disk{disk}})
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
			g.shutdown()
			s.checkRoot(disk)
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

// imaged makes a disk that begins as a disk image in a format.
func (s *story) imaged(dir, format string) vm.Disk {
	s.t.Helper()
	driver := format
	if format == "vhd" {
		driver = "vpc"
	}
	disk, err := s.lab.Overlay(s.ctx, s.name("disk"), vm.Disk{Path: filepath.Join(dir, "disk."+format), Format: driver})
	s.must(err)
	s.discard(disk)
	return disk
}

// checkRoot has e2fsck look at the root of a machine that was shut down: the
// kernel and who made the file system agree about it.
func (s *story) checkRoot(disk vm.Disk) {
	s.t.Helper()
	raw, err := s.lab.RawCopy(s.ctx, s.name("checked"), disk)
	s.must(err)
	s.discard(raw)
	f, err := os.Open(raw.Path)
	s.must(err)
	defer f.Close()
	st, err := f.Stat()
	s.must(err)
	table, err := gpt.Read(f, 512, st.Size())
	s.must(err)
	root := table.Partitions[len(table.Partitions)-1]
	out, err := exec.Command("e2fsck", "-f", "-n", fmt.Sprintf("%s?offset=%d", raw.Path, root.First*512)).CombinedOutput()
	if err != nil {
		s.t.Fatalf("e2fsck: %v\n%s", err, out)
	}
}
