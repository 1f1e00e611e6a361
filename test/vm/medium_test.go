package vm_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/test/vm"
)

// TestMedium boots live systems from an ISO, on a disk and as a disc in a drive, and
// from what comes over the network, on a machine without UEFI. The image that has
// initramfs-tools has GRUB's modules, too: its disc boots without UEFI.
func TestMedium(t *testing.T) {
	for _, initramfs := range initramfses {
		t.Run(initramfs, func(t *testing.T) {
			s := newStory(t)
			img, bios := s.v1(initramfs), initramfs == vm.InitramfsTools
			if bios {
				img = s.withGRUB(img)
			}
			m := s.medium(img)
			// On a disk the initramfs has nothing to do for a medium: once is enough.
			if initramfs == vm.Dracut {
				t.Run("disk", m.onDisk)
			}
			t.Run("disc", func(t *testing.T) {
				s := newStory(t)
				disc := m.disk()
				disc.Optical = true
				g := s.boot("machine", vm.Hardware{Disks: []vm.Disk{disc}, BIOS: bios})
				if bios {
					g.mustFail("ls /sys/firmware/efi")
				}
				g.wantIn("findmnt -no SOURCE /sysroot", "/dev/loop")
				g.wantIn("cat /sys/block/loop*/loop/backing_file", "/sr0")
				g.wantMedium()
				g.shutdown()
			})
			t.Run("network", func(t *testing.T) {
				s := newStory(t)
				hw := vm.Hardware{Network: m.pxe, Memory: 3072}
				if initramfs == vm.InitramfsTools {
					hw = vm.Hardware{Live: m.live(s), Memory: 3072}
				}
				g := s.boot("machine", hw)
				g.mustFail("ls /sys/firmware/efi")
				g.wantIn("findmnt -no SOURCE /sysroot", "/dev/loop")
				g.wantMedium()
				g.shutdown()
			})
		})
	}
}

// onDisk boots a medium on a disk that can be written.
func (m *medium) onDisk(t *testing.T) {
	s := newStory(t)
	disk, err := s.lab.Overlay(s.ctx, s.name("disk"), m.disk())
	s.must(err)
	s.discard(disk)
	g := s.boot("machine", vm.Hardware{Disks: []vm.Disk{disk}})
	g.wantIn("findmnt -no SOURCE /sysroot", "/dev/vda")
	g.wantMedium()
	g.shutdown()
	m.wantUnwritten(s, disk)
}

// TestForeignDisc: a machine that boots from its disk leaves a medium in its
// drive alone.
func TestForeignDisc(t *testing.T) {
	s := newStory(t)
	v1 := s.v1(vm.Dracut)
	disc := s.medium(v1).disk()
	disc.Optical = true
	g := s.boot("machine", vm.Hardware{Disks: []vm.Disk{s.imaged(s.buildDisk(s.home(), v1, "--type", "raw"), "raw"), disc}})
	g.wantRunning("1")
	g.wantIn("blkid /dev/sr0", `TYPE="iso9660"`)
	g.mustFail("ls /sys/block/*/loop")
	g.mustFail("ls /run/bootc/medium.json")
	g.shutdown()
}

// A medium is what build-disk makes to be booted and not to be written.
type medium struct {
	iso string // a file
	pxe string // a directory
}

// medium has media made of an image.
func (s *story) medium(img *vm.Image) *medium {
	s.t.Helper()
	dir := s.buildDisk(s.home(), img, "--type", "iso,pxe")
	return &medium{iso: filepath.Join(dir, "disk.iso"), pxe: filepath.Join(dir, "disk.pxe")}
}

// withGRUB is an image with the modules of GRUB for the BIOS, those of this computer.
func (s *story) withGRUB(from *vm.Image) *vm.Image {
	s.t.Helper()
	dir := filepath.Join(s.t.TempDir(), "grub")
	s.must(os.CopyFS(filepath.Join(dir, "i386-pc"), os.DirFS("/usr/lib/grub/i386-pc")))
	s.must(os.WriteFile(filepath.Join(dir, "Containerfile"), []byte("ARG BASE\nFROM $BASE\nCOPY i386-pc /usr/lib/grub/i386-pc\n"), 0o644))
	img, err := s.lab.Derive(s.ctx, from, dir)
	s.must(err)
	return img
}

// disk is the ISO as a disk or a disc.
func (m *medium) disk() vm.Disk { return vm.Disk{Path: m.iso, Format: "raw"} }

// live boots what comes over the network without one: kernel, both initrds as one
// file, and the command line of the script.
func (m *medium) live(s *story) *vm.Live {
	s.t.Helper()
	script, err := os.ReadFile(filepath.Join(m.pxe, "boot.ipxe"))
	s.must(err)
	_, line, _ := strings.Cut(string(script), "\nkernel vmlinuz ")
	line, _, _ = strings.Cut(line, "\n")
	initrd, err := os.Create(filepath.Join(s.lab.Out, s.name("initrd")))
	s.must(err)
	defer initrd.Close()
	s.discard(vm.Disk{Path: initrd.Name()})
	for _, name := range []string{"initrd", "root.cpio"} {
		data, err := os.ReadFile(filepath.Join(m.pxe, name))
		s.must(err)
		_, err = initrd.Write(append(data, make([]byte, -len(data)&3)...))
		s.must(err)
	}
	return &vm.Live{Kernel: filepath.Join(m.pxe, "vmlinuz"), Initrd: initrd.Name(), Cmdline: line}
}

// tool runs a program and returns what it prints.
func (s *story) tool(name string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", cmd, err, stderr.String())
	}
	return string(out)
}

// wantUnwritten looks for what a machine has written to the root of a medium: what
// is in the disk's own file.
func (m *medium) wantUnwritten(s *story, disk vm.Disk) {
	s.t.Helper()
	var extents []struct {
		Start, Length int64
		Depth         int
	}
	s.must(json.Unmarshal([]byte(s.tool("qemu-img", "map", "--output=json", disk.Path)), &extents))
	begin, size := s.rootPlace(m.iso)
	end := begin + size
	for _, e := range extents {
		if e.Depth == 0 && e.Start+e.Length > begin && e.Start < end {
			s.t.Errorf("%d bytes at %d of the medium were written, its root is at %d to %d", e.Length, e.Start, begin, end)
		}
	}
}

// wantMedium checks a live system: it is whole, it can be used, and it refuses
// what would change it.
func (g *guest) wantMedium() {
	g.s.t.Helper()
	g.want("systemctl is-system-running --wait", "running")
	g.want("cat /usr/share/lab/version", "1")
	g.wantIn("findmnt -no OPTIONS /", "verity=require")
	g.wantIn("findmnt -no OPTIONS /sysroot", "ro")
	g.want("findmnt -no SOURCE /etc && findmnt -no SOURCE /var", "transient\ntransient")
	g.wantIn("bootc status --format json", `"readOnly":true`)
	g.wantIn("bootc status --format humanreadable", "runs from a medium")
	g.wantIn("bootc internals fsck", "status: ok")
	g.run("echo here > /etc/lab-local && echo data > /var/lab-data")
	g.run("bootc config-diff | grep -q lab-local")
	for _, verb := range []string{"upgrade", "upgrade --check", "switch other:stable", "rollback", "internals fsck --repair", "internals cleanup", "internals composefs-gc --dry-run", "composefs-finalize-staged"} {
		if got := g.mustFail("bootc " + verb); !strings.Contains(got, "on a medium that is not written") || strings.Contains(got, "\n") {
			g.s.t.Errorf("bootc %s says %q", verb, got)
		}
	}
	for _, unit := range []string{"bootc-root-growfs.service", "bootc-staged-restore.service"} {
		g.want("systemctl show -P ConditionResult "+unit, "no")
	}
	g.want("systemctl show -P LoadState systemd-repart.service", "masked")
}
