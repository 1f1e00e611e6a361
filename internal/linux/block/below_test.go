package block_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/linux/block"
)

// TestDisksOf looks below file systems: on a partition, in memory, and on nothing
// that is known.
func TestDisksOf(t *testing.T) {
	m := newMachine(t)
	m.disk("vda", 253, 1)
	disks, err := m.system().DisksOf(unix.Mkdev(253, 3))
	if err != nil || len(disks) != 1 || disks[0].Name != "vda" {
		t.Errorf("on a partition: %v, %v", disks, err)
	}
	if disks, err := m.system().DisksOf(unix.Mkdev(0, 30)); err != nil || len(disks) != 0 {
		t.Errorf("in memory: %v, %v", disks, err)
	}
	if disks, err := m.system().DisksOf(unix.Mkdev(9, 9)); err == nil {
		t.Errorf("on an unknown device: %v", disks)
	}
}

func TestKindOfDrive(t *testing.T) {
	m := newMachine(t)
	m.device("sr0", "11:0", diskSize, map[string]string{"removable": "1\n"})
	m.device("srx", "11:1", diskSize, map[string]string{"removable": "0\n"})
	if d := m.lookup(11, 0); !d.Optical() || !d.Removable() {
		t.Errorf("sr0: optical %v, removable %v", d.Optical(), d.Removable())
	}
	if d := m.lookup(11, 1); d.Optical() || d.Removable() {
		t.Errorf("srx: optical %v, removable %v", d.Optical(), d.Removable())
	}
}

// TestDisksBelowLoop needs root and a kernel with loop devices.
func TestDisksBelowLoop(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		t.Fatal(err)
	}
	want, err := block.DisksOf(st.Dev)
	if err != nil {
		t.Skip("the disk of the temporary directory is not known: ", err)
	}
	loop := attach(t, name)
	disks, err := block.DisksOf(loop.Number)
	if err != nil {
		t.Fatal(err)
	}
	if len(disks) != len(want) || len(want) == 1 && disks[0].Name != want[0].Name {
		t.Errorf("below a loop device: %v, want %v", disks, want)
	}
}

// attach makes a loop device of a file.
func attach(t *testing.T, name string) *block.Device {
	t.Helper()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer control.Close()
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		t.Skip(err)
	}
	number := unix.Mkdev(7, uint32(n))
	d, err := block.Lookup(number)
	if err != nil {
		t.Skip(err)
	}
	f, err := os.OpenFile(d.Path, os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { f.Close() })
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	config := unix.LoopConfig{Fd: uint32(file.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR}}
	if err := unix.IoctlLoopConfigure(int(f.Fd()), &config); err != nil {
		t.Skip(err)
	}
	return d
}
