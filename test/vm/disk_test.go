package vm_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bootc-go/bootc/internal/format/gpt"
	"github.com/bootc-go/bootc/test/vm"
)

// TestDiskImage has an ordinary user make disk images, and boots a machine from
// each: it is sealed from its first boot on. Types that are left out here hold the
// bytes of another one, which the tests of internal/action compare.
func TestDiskImage(t *testing.T) {
	s := newStory(t)
	dir := s.buildDisk(s.home(), s.v1(vm.Dracut), "--type", "qcow2,vmdk,vhd", "--karg", "lab.built=1")
	for _, format := range []string{"qcow2", "vmdk", "vhd"} {
		t.Run(format, func(t *testing.T) {
			s := newStory(t)
			g := s.boot("machine", vm.Hardware{Disks: []vm.Disk{s.imaged(dir, format)}})
			g.wantSealed("1")
			g.wantIn("cat /proc/cmdline", "lab.built=1")
		})
	}
}

// TestDiskImageGrows boots disk images of 4 GiB on disks of 8.
func TestDiskImageGrows(t *testing.T) {
	t.Run(vm.Dracut, func(t *testing.T) {
		s := newStory(t)
		v1 := s.v1(vm.Dracut)
		g, disk := s.enlarged(v1, "raw")
		g.wantSealed("1")
		g.wantGrown()
		g.wantIn("bootc internals fsck", "status: ok")
		g.run("echo here > /etc/lab-local && echo data > /var/lab-data")
		before := g.run(layout)
		s.publish(s.derive(v1, "other"), s.stable())
		g.wantIn("bootc upgrade", "Queued for next boot")
		g.reboot()
		g.wantWhole("other")
		g.want("cat /etc/lab-local /var/lab-data", "here\ndata")
		g.wantGrown()
		g.want(layout, before)
		g.shutdown()
		s.checkDisk(disk)
	})
	t.Run(vm.InitramfsTools, func(t *testing.T) {
		s := newStory(t)
		g, disk := s.enlarged(s.v1(vm.InitramfsTools), "raw")
		g.wantSealed("1")
		g.wantGrown()
		g.shutdown()
		s.checkDisk(disk)
	})
	// The owner wants the rest of the disk for something else.
	t.Run("masked", func(t *testing.T) {
		s := newStory(t)
		g, _ := s.enlarged(s.v1(vm.Dracut), "vhdx", maskGrowth)
		g.wantSealed("1")
		if size := g.rootSize(); size > 4<<30 {
			t.Errorf("the root has grown to %d bytes", size)
		}
	})
}

// maskGrowth is a configuration with a definition of repart.d(5) that masks the
// image's.
const maskGrowth = `
[[customizations.directories]]
path = "/etc/repart.d"
[[customizations.files]]
path = "/etc/repart.d/50-root.conf"
data = ""
`

// enlarged boots a disk image of 4 GiB, made with a configuration, on a disk of 8.
func (s *story) enlarged(img *vm.Image, format string, config ...string) (*guest, vm.Disk) {
	s.t.Helper()
	home := s.home()
	options := []string{"--type", format, "--size", "4G"}
	for _, text := range config {
		file := filepath.Join(home, "config.toml")
		s.must(os.WriteFile(file, []byte(text), 0o644))
		options = append(options, "--config", file)
	}
	disk := s.imaged(s.buildDisk(home, img, options...), format)
	s.must(s.lab.Enlarge(s.ctx, disk, "8G"))
	return s.boot("machine", vm.Hardware{Disks: []vm.Disk{disk}}), disk
}

// layout tells where everything on the disk is, and how large the root is.
const layout = "lsblk -bnro NAME,START,SIZE,PARTTYPE,PARTUUID /dev/vda; " + rootBlocks

const rootBlocks = `tune2fs -l "$(findmnt -no SOURCE /sysroot | head -n 1)" | sed -n 's/^Block count: *//p'`

// rootSize is how many bytes the root's file system has.
func (g *guest) rootSize() int64 {
	g.s.t.Helper()
	blocks, err := strconv.ParseInt(g.run(rootBlocks), 10, 64)
	g.s.must(err)
	return blocks * 4096
}

// wantGrown checks that the root fills the disk, of 8 GiB, and that this was done
// by the unit of ours: systemd's would fail.
func (g *guest) wantGrown() {
	g.s.t.Helper()
	g.want("systemctl is-active systemd-repart.service bootc-root-growfs.service", "active\nactive")
	g.want("systemctl is-enabled systemd-growfs-root.service || true", "masked-runtime")
	if size := g.rootSize(); size < 69<<30/10 {
		g.s.t.Errorf("the root has %d bytes", size)
	}
	g.mustFail("touch /sysroot/file")
}

// wantSealed is wantRunning of a machine whose root is verified.
func (g *guest) wantSealed(version string) {
	g.s.t.Helper()
	g.wantRunning(version)
	g.wantIn("findmnt -no OPTIONS /", "verity=require")
}

// home makes a directory for an ordinary user.
func (s *story) home() string {
	s.t.Helper()
	home, err := os.MkdirTemp("/var/tmp", "bootc-lab-")
	s.must(err)
	s.t.Cleanup(func() { os.RemoveAll(home) })
	return home
}

// buildDisk has an ordinary user make disk images, and returns their directory.
// Machines follow the name of this story.
func (s *story) buildDisk(home string, img *vm.Image, options ...string) string {
	s.t.Helper()
	s.publish(img, s.stable())
	start := time.Now()
	dir, err := s.lab.BuildDisk(s.ctx, home, s.stable(), nil, options...)
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

// checkDisk has others look at the disk of a machine that was shut down: the kernel
// and who made the file system agree about it.
func (s *story) checkDisk(disk vm.Disk) {
	s.t.Helper()
	raw, err := s.lab.RawCopy(s.ctx, s.name("checked"), disk)
	s.must(err)
	s.discard(raw)
	out, err := exec.Command("sfdisk", "--verify", raw.Path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No errors detected") {
		s.t.Errorf("sfdisk: %v\n%s", err, out)
	}
	begin, _ := s.rootPlace(raw.Path)
	out, err = exec.Command("e2fsck", "-f", "-n", fmt.Sprintf("%s?offset=%d", raw.Path, begin)).CombinedOutput()
	if err != nil {
		s.t.Errorf("e2fsck: %v\n%s", err, out)
	}
}

// rootPlace is where the root, the last partition of a disk, begins, and its size.
func (s *story) rootPlace(disk string) (begin, size int64) {
	s.t.Helper()
	f, err := os.Open(disk)
	s.must(err)
	defer f.Close()
	st, err := f.Stat()
	s.must(err)
	table, err := gpt.Read(f, 512, st.Size())
	s.must(err)
	root := table.Partitions[len(table.Partitions)-1]
	return table.Offset(root), table.Size(root)
}
