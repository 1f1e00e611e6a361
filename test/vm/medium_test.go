package vm_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/format/ext4"
	"github.com/bootc-go/bootc/internal/format/gpt"
	"github.com/bootc-go/bootc/test/vm"
)

// TestMedium boots live systems from a medium that is not written: a disk, a disc
// in a drive, and a root in memory, which came over the network or as it does, on a
// machine without UEFI.
func TestMedium(t *testing.T) {
	for _, initramfs := range initramfses {
		t.Run(initramfs, func(t *testing.T) {
			s := newStory(t)
			m := s.medium(s.v1(initramfs))
			t.Run("disk", func(t *testing.T) {
				s := newStory(t)
				disk, err := s.lab.Overlay(s.ctx, s.name("disk"), m.disk())
				s.must(err)
				s.discard(disk)
				disk.ReadOnly = initramfs == vm.InitramfsTools
				g := s.boot("machine", vm.Hardware{Disks: []vm.Disk{disk}})
				g.wantIn("findmnt -no SOURCE /sysroot", "/dev/vda")
				g.wantMedium()
				g.shutdown()
				m.wantUnwritten(s, disk)
			})
			t.Run("disc", func(t *testing.T) {
				s := newStory(t)
				disc := m.disk()
				disc.Optical = true
				g := s.boot("machine", vm.Hardware{Disks: []vm.Disk{m.loader(s), disc}})
				g.wantIn("findmnt -no SOURCE /sysroot", "/dev/loop")
				g.wantIn("cat /sys/block/loop*/loop/backing_file", "/sr0")
				g.wantMedium()
				g.shutdown()
			})
			t.Run("network", func(t *testing.T) {
				s := newStory(t)
				hw := vm.Hardware{Network: m.network(s), Memory: 3072}
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

// TestForeignDisc: a machine that boots from its disk leaves a medium in its
// drive alone.
func TestForeignDisc(t *testing.T) {
	for _, initramfs := range initramfses {
		t.Run(initramfs, func(t *testing.T) {
			s := newStory(t)
			v1 := s.v1(initramfs)
			disc := s.medium(v1).disk()
			disc.Optical = true
			g := s.boot("machine", vm.Hardware{Disks: []vm.Disk{s.imaged(s.buildDisk(v1, "--type", "raw"), "raw"), disc}})
			g.wantRunning("1")
			g.wantIn("blkid /dev/sr0", "gpt")
			g.mustFail("ls /sys/block/*/loop")
			g.mustFail("ls /run/bootc/medium.json")
			g.shutdown()
		})
	}
}

// A medium is a raw disk with a live system.
type medium struct {
	path      string
	esp, root gpt.Partition
	table     *gpt.Table
	entry     string // for the boot loader
}

// value returns what a line of the boot entry says.
func (m *medium) value(key string) string {
	_, value, _ := strings.Cut("\n"+m.entry, "\n"+key+" ")
	value, _, _ = strings.Cut(value, "\n")
	return strings.TrimSpace(value)
}

// medium has a disk image made of an image, marks it, and names its root in its
// boot entry.
func (s *story) medium(img *vm.Image) *medium {
	s.t.Helper()
	dir := s.buildDisk(img, "--type", "raw", "--size", "2G", "--root-size", "768M", "--seed", "medium")
	m := &medium{path: filepath.Join(dir, "disk.raw")}
	f, err := os.Open(m.path)
	s.must(err)
	defer f.Close()
	st, err := f.Stat()
	s.must(err)
	m.table, err = gpt.Read(f, 512, st.Size())
	s.must(err)
	m.esp, m.root = *m.table.Find(gpt.ESP), m.table.Partitions[len(m.table.Partitions)-1]
	uuid, err := ext4.ReadUUID(io.NewSectionReader(f, m.table.Offset(m.root), m.table.Size(m.root)))
	s.must(err)
	marker := filepath.Join(dir, "medium.json")
	s.must(os.WriteFile(marker, []byte("{}\n"), 0o644))
	orders := filepath.Join(dir, "orders")
	s.must(os.WriteFile(orders, []byte("mkdir state/bootc\ncd state/bootc\nwrite "+marker+" medium.json\n"), 0o644))
	s.tool("debugfs", "-w", "-f", orders, fmt.Sprintf("%s?offset=%d", m.path, m.table.Offset(m.root)))

	entry := strings.TrimSpace(s.tool("mdir", "-b", "-i", m.espImage(), "::loader/entries"))
	text := s.tool("mtype", "-i", m.espImage(), entry)
	m.entry = strings.Replace(text, "options rw ", "options root=UUID="+uuid+" ro fsck.mode=skip ", 1)
	name := filepath.Join(dir, "entry")
	s.must(os.WriteFile(name, []byte(m.entry), 0o644))
	s.tool("mcopy", "-o", "-i", m.espImage(), name, entry)
	return m
}

func (m *medium) disk() vm.Disk { return vm.Disk{Path: m.path, Format: "raw"} }

// espImage is the medium's ESP as mtools name it.
func (m *medium) espImage() string { return fmt.Sprintf("%s@@%d", m.path, m.table.Offset(m.esp)) }

// tool runs a program and returns what it prints.
func (s *story) tool(name string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", cmd, err, stderr.String())
	}
	return string(out)
}

// loader makes a disk with the ESP alone, for firmware that reads no disc without
// a boot catalogue.
func (m *medium) loader(s *story) vm.Disk {
	s.t.Helper()
	d := vm.Disk{Path: filepath.Join(s.lab.Out, s.name("loader")+".raw"), Format: "raw"}
	f, err := os.Create(d.Path)
	s.must(err)
	s.discard(d)
	defer f.Close()
	size := m.table.Size(m.esp)
	table, err := gpt.New(gpt.NewGUID([16]byte{1}), 512, size+4<<20)
	s.must(err)
	s.must(table.Append(gpt.ESP, gpt.NewGUID([16]byte{2}), "", size))
	s.must(f.Truncate(size + 4<<20))
	s.must(table.Write(f))
	from, err := os.Open(m.path)
	s.must(err)
	defer from.Close()
	_, err = io.Copy(io.NewOffsetWriter(f, table.Offset(table.Partitions[0])), io.NewSectionReader(from, m.table.Offset(m.esp), size))
	s.must(err)
	return d
}

// network makes a directory with what a machine gets over the network: kernel,
// initrd, an archive with the root, and a script for iPXE.
func (m *medium) network(s *story) string {
	s.t.Helper()
	dir := filepath.Join(s.lab.Out, s.name("network"))
	s.must(os.Mkdir(dir, 0o755))
	s.t.Cleanup(func() {
		if !s.t.Failed() && !*keep {
			os.RemoveAll(dir)
		}
	})
	for _, key := range []string{"linux", "initrd"} {
		s.tool("mcopy", "-i", m.espImage(), "::"+m.value(key), dir)
	}
	from, err := os.Open(m.path)
	s.must(err)
	defer from.Close()
	f, err := os.Create(filepath.Join(dir, "root.cpio"))
	s.must(err)
	defer f.Close()
	size := m.table.Size(m.root)
	_, err = io.Copy(f, io.MultiReader(
		bytes.NewReader(archived("bootc", 0o040755, 0)),
		bytes.NewReader(archived("bootc/root.img", 0o100644, size)),
		io.NewSectionReader(from, m.table.Offset(m.root), size),
		bytes.NewReader(archived("TRAILER!!!", 0, 0)),
	))
	s.must(err)
	script := "#!ipxe\nkernel vmlinuz " + m.value("options") + "\ninitrd initrd\ninitrd root.cpio\nboot\n"
	s.must(os.WriteFile(filepath.Join(dir, "boot.ipxe"), []byte(script), 0o644))
	return dir
}

// archived is what stands before the content of a file in a cpio archive. The
// sizes of contents are multiples of 4.
func archived(name string, mode, size int64) []byte {
	head := "070701"
	for _, v := range []int64{0, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, int64(len(name)) + 1, 0} {
		head += fmt.Sprintf("%08x", v)
	}
	head += name + "\x00"
	return append([]byte(head), make([]byte, -len(head)&3)...)
}

// live boots the same without a network: kernel, and both initrds as one file.
func (m *medium) live(s *story) *vm.Live {
	s.t.Helper()
	dir := m.network(s)
	initrd, err := os.OpenFile(filepath.Join(dir, "initrd"), os.O_WRONLY|os.O_APPEND, 0)
	s.must(err)
	defer initrd.Close()
	st, err := initrd.Stat()
	s.must(err)
	root, err := os.Open(filepath.Join(dir, "root.cpio"))
	s.must(err)
	defer root.Close()
	_, err = io.Copy(initrd, io.MultiReader(bytes.NewReader(make([]byte, -st.Size()&3)), root))
	s.must(err)
	return &vm.Live{Kernel: filepath.Join(dir, "vmlinuz"), Initrd: initrd.Name(), Cmdline: m.value("options")}
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
	begin := m.table.Offset(m.root)
	for _, e := range extents {
		if e.Depth == 0 && e.Start+e.Length > begin && e.Start < begin+m.table.Size(m.root) {
			s.t.Errorf("%d bytes at %d of the medium were written, its root begins at %d", e.Length, e.Start, begin)
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
