package block_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/gpt"
	"github.com/bootc-go/bootc/internal/linux/block"
)

// loop attaches a loop device to a new file with the content, until the test
// ends.
func loop(t *testing.T, content []byte, o block.LoopOptions) (name string, loop *os.File) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loop devices need root")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skipf("no loop devices here: %v", err)
	}
	name = filepath.Join(t.TempDir(), "medium.img")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	loop, err = block.AttachLoop(f, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer loop.Close()
		if o.Release {
			return
		}
		l, err := os.Open(loop.Name())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := unix.IoctlSetInt(int(l.Fd()), unix.LOOP_CLR_FD, 0); err != nil {
			t.Errorf("detaching %s: %v", l.Name(), err)
		}
	})
	return name, loop
}

func requireContent(t *testing.T, device string, want []byte) {
	t.Helper()
	f, err := os.Open(device)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s holds %d bytes, %v, want the %d of the file", device, len(got), err, len(want))
	}
}

// TestLoop: the device has the content, cannot be written, stays attached, and
// keeps the content of a file that is removed, as that in an initramfs is.
func TestLoop(t *testing.T) {
	content := bytes.Repeat([]byte("a medium"), 3<<10)
	name, l := loop(t, content, block.LoopOptions{})
	d, err := block.Open(l.Name())
	if err != nil {
		t.Fatal(err)
	}
	if !d.ReadOnly() || d.SectorSize() != 512 || d.Size() != int64(len(content)) {
		t.Errorf("read-only %t, sectors of %d bytes, %d bytes, want true, 512, %d", d.ReadOnly(), d.SectorSize(), d.Size(), len(content))
	}
	requireContent(t, l.Name(), content)
	if w, err := os.OpenFile(l.Name(), os.O_RDWR, 0); err == nil {
		if _, err := w.Write([]byte("x")); err == nil {
			t.Error("the device can be written")
		}
		w.Close()
	}
	if got, err := block.LoopOf(name); err != nil || got.Path != l.Name() {
		t.Errorf("LoopOf = %v, %v, want %s", got, err, l.Name())
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	requireContent(t, d.Path, content)
}

// TestLoopReleased: nothing is left of a device that is given back.
func TestLoopReleased(t *testing.T) {
	name, l := loop(t, make([]byte, 8192), block.LoopOptions{Release: true, SectorSize: 4096})
	d, err := block.Open(l.Name())
	if err != nil {
		t.Fatal(err)
	}
	if d.SectorSize() != 4096 {
		t.Errorf("sectors of %d bytes, want 4096", d.SectorSize())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := block.LoopOf(name); !errors.Is(err, block.ErrNotFound) {
		t.Errorf("LoopOf = %v, %v, want not found", got, err)
	}
}

// TestLoopPartitions: the partitions are there as soon as the device is.
func TestLoopPartitions(t *testing.T) {
	m := newMachine(t)
	m.disk("disk", 254, 1)
	content, err := os.ReadFile(filepath.Join(m.root, "dev/disk"))
	if err != nil {
		t.Fatal(err)
	}
	_, l := loop(t, content, block.LoopOptions{Partitions: true})
	d, err := block.Open(l.Name())
	if err != nil {
		t.Fatal(err)
	}
	table, err := d.Table()
	if err != nil || table.Find(gpt.ESP) == nil {
		t.Errorf("partition table %v, %v", table, err)
	}
	parts, err := d.Partitions()
	if err != nil {
		t.Fatal(err)
	}
	if len(parts) == 0 {
		t.Skip("the kernel reads no GUID partition tables")
	}
	if len(parts) != 3 || parts[2].PartitionNumber() != 3 {
		t.Errorf("partitions %v, want 3", parts)
	}
}

func TestOpticalDrives(t *testing.T) {
	m := newMachine(t)
	m.disk("vda", 253, 1)
	m.device("sr0", "11:0", 0, map[string]string{"queue/logical_block_size": "2048\n"})
	m.device("loop0", "7:0", diskSize, map[string]string{"loop/backing_file": "/dev/sr0\n"})
	m.device("loop1", "7:1", 0, nil)
	drives, err := m.system().OpticalDrives()
	if err != nil || len(drives) != 1 || drives[0].Path != filepath.Join(m.root, "dev/sr0") {
		t.Errorf("OpticalDrives = %v, %v", drives, err)
	}
	if d, err := m.system().LoopOf("/dev/sr0"); err != nil || d.Name != "loop0" {
		t.Errorf("LoopOf = %v, %v", d, err)
	}
	if d, err := m.system().LoopOf("/dev/sr1"); !errors.Is(err, block.ErrNotFound) {
		t.Errorf("LoopOf of another drive = %v, %v", d, err)
	}
}
