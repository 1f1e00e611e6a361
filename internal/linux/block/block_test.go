package block_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/gpt"
	"github.com/bootc-go/bootc/internal/linux/block"
)

const diskSize = 16 << 20

// A machine builds /sys, /proc and /dev of a computer in a directory. Nodes in
// /dev are files.
type machine struct {
	t    *testing.T
	root string
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, root: t.TempDir()}
	for _, d := range []string{"sys/block", "sys/dev/block", "dev", "proc/self", "proc/1"} {
		m.must(os.MkdirAll(filepath.Join(m.root, d), 0o755))
	}
	m.write("proc/self/mountinfo", "")
	m.write("proc/1/mountinfo", "")
	return m
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) write(name, text string) {
	m.t.Helper()
	p := filepath.Join(m.root, name)
	m.must(os.MkdirAll(filepath.Dir(p), 0o755))
	m.must(os.WriteFile(p, []byte(text), 0o644))
}

func (m *machine) system() block.System { return block.System{Root: m.root} }

// device adds a device to sysfs, below its disk if it is a partition.
func (m *machine) device(dir, number string, size int64, files map[string]string) {
	m.t.Helper()
	m.write("sys/devices/"+dir+"/dev", number+"\n")
	m.write("sys/devices/"+dir+"/size", fmt.Sprintln(size/512))
	for name, text := range files {
		m.write("sys/devices/"+dir+"/"+name, text)
	}
	target := filepath.Join(m.root, "sys/devices", dir)
	m.must(os.Symlink(target, filepath.Join(m.root, "sys/dev/block", number)))
	if files["partition"] == "" {
		m.must(os.Symlink(target, filepath.Join(m.root, "sys/block", filepath.Base(dir))))
	}
}

// disk adds a disk with an ESP (2) and a root partition (3); n makes the GUIDs.
func (m *machine) disk(name string, major int, n byte) *gpt.Table {
	m.t.Helper()
	m.device(name, fmt.Sprintf("%d:0", major), diskSize, map[string]string{"queue/logical_block_size": "512\n", "ro": "0"})
	for i := 1; i <= 3; i++ {
		m.device(fmt.Sprintf("%s/%s%d", name, name, i), fmt.Sprintf("%d:%d", major, i), 1<<20, map[string]string{"partition": fmt.Sprintln(i)})
	}
	t, err := gpt.New(gpt.NewGUID([16]byte{n}), 512, diskSize)
	m.must(err)
	root, err := gpt.Root("amd64")
	m.must(err)
	m.must(t.Append(gpt.BIOSBoot, gpt.NewGUID([16]byte{n, 1}), "BIOS-BOOT", 1<<20))
	m.must(t.Append(gpt.ESP, gpt.NewGUID([16]byte{n, 2}), "EFI-SYSTEM", 1<<20))
	m.must(t.Append(root, gpt.NewGUID([16]byte{n, 3}), "root", 0))
	f, err := os.Create(filepath.Join(m.root, "dev", name))
	m.must(err)
	defer f.Close()
	m.must(f.Truncate(diskSize))
	m.must(t.Write(f))
	return t
}

func (m *machine) lookup(major, minor uint32) *block.Device {
	m.t.Helper()
	d, err := m.system().Lookup(unix.Mkdev(major, minor))
	m.must(err)
	return d
}

func TestDevice(t *testing.T) {
	m := newMachine(t)
	m.disk("vda", 253, 1)
	p := m.lookup(253, 3)
	if p.Name != "vda3" || p.Path != filepath.Join(m.root, "dev/vda3") || p.PartitionNumber() != 3 || p.SectorSize() != 512 || p.Size() != 1<<20 {
		t.Errorf("device %+v, number %d, %d bytes", p, p.PartitionNumber(), p.Size())
	}
	d, err := p.Parent()
	if err != nil || d.Name != "vda" || d.PartitionNumber() != 0 || d.Size() != diskSize || d.ReadOnly() {
		t.Errorf("parent %+v, %v", d, err)
	}
	parts, err := d.Partitions()
	if err != nil || len(parts) != 3 || parts[0].Name != "vda1" || parts[2].Name != "vda3" {
		t.Errorf("partitions %v, %v", parts, err)
	}
	if _, err := d.Partition(4); !errors.Is(err, block.ErrNotFound) {
		t.Errorf("partition 4: %v", err)
	}
	if _, err := m.system().Lookup(unix.Mkdev(9, 9)); !errors.Is(err, block.ErrNotFound) {
		t.Errorf("unknown device: %v", err)
	}
	if _, err := block.Open("/dev/null"); err == nil {
		t.Error("/dev/null is taken for a block device")
	}
}

func TestDiskOf(t *testing.T) {
	m := newMachine(t)
	m.disk("vda", 253, 1)
	want := m.disk("vdb", 254, 2)
	m.device("sr0", "11:0", 0, nil)
	m.device("loop0", "7:0", diskSize, nil)
	m.device("sda", "8:0", diskSize, nil) // no node
	d, table, err := m.system().DiskOf(want.Partitions[1].GUID)
	if err != nil || d.Name != "vdb" || table.Disk != want.Disk {
		t.Errorf("DiskOf = %+v, %v", d, err)
	}
	if _, _, err := m.system().DiskOf(gpt.NewGUID([16]byte{9})); !errors.Is(err, block.ErrNotFound) {
		t.Errorf("unknown partition: %v", err)
	}
	m.disk("vdc", 252, 2)
	if _, _, err := m.system().DiskOf(want.Partitions[1].GUID); err == nil || !strings.Contains(err.Error(), "both") {
		t.Errorf("a copy of the disk: %v", err)
	}
}

func TestESPOf(t *testing.T) {
	m := newMachine(t)
	m.disk("vda", 253, 1)
	want := filepath.Join(m.root, "dev/vda2")
	if got, err := m.system().ESPOf(unix.Mkdev(253, 3)); err != nil || got != want {
		t.Errorf("ESPOf = %q, %v", got, err)
	}
	// A root on a volume put together of a partition.
	m.device("dm-0", "251:0", 1<<20, nil)
	m.must(os.MkdirAll(filepath.Join(m.root, "sys/devices/dm-0/slaves"), 0o755))
	m.must(os.Symlink(filepath.Join(m.root, "sys/devices/vda/vda3"), filepath.Join(m.root, "sys/devices/dm-0/slaves/vda3")))
	if got, err := m.system().ESPOf(unix.Mkdev(251, 0)); err != nil || got != want {
		t.Errorf("ESPOf of a volume = %q, %v", got, err)
	}
	m.device("vdb", "254:0", diskSize, nil)
	m.must(os.WriteFile(filepath.Join(m.root, "dev/vdb"), make([]byte, diskSize), 0o600))
	if _, err := m.system().ESPOf(unix.Mkdev(254, 0)); !errors.Is(err, gpt.ErrNone) {
		t.Errorf("disk without table: %v", err)
	}
	if _, err := m.system().ESPOf(unix.Mkdev(0, 33)); err == nil {
		t.Error("a file system without device has an ESP")
	}
}

func TestInUse(t *testing.T) {
	const line = "36 35 %s / %s rw,noatime - ext4 %s rw\n"
	tests := []struct {
		name, want string
		set        func(m *machine)
	}{
		{name: "free", set: func(m *machine) {
			m.write("proc/self/mountinfo", fmt.Sprintf(line, "253:1", "/other", "/dev/other"))
		}},
		{name: "partition mounted", want: "mounted at /boot", set: func(m *machine) {
			m.write("proc/self/mountinfo", fmt.Sprintf(line, "254:2", "/boot", "/dev/whatever"))
		}},
		{name: "mounted in the first process's namespace", want: "mounted at /x", set: func(m *machine) {
			m.write("proc/1/mountinfo", fmt.Sprintf(line, "254:0", "/x", "/dev/whatever"))
		}},
		{name: "btrfs", want: "mounted at /y", set: func(m *machine) {
			m.write("proc/self/mountinfo", fmt.Sprintf(line, "0:40", "/y", filepath.Join(m.root, "dev/vdb3")))
		}},
		{name: "holder", want: "used by dm-3", set: func(m *machine) { m.write("sys/devices/vdb/vdb3/holders/dm-3", "") }},
		{name: "swap", want: "used as swap", set: func(m *machine) {
			m.write("proc/swaps", "Filename Type Size\n"+filepath.Join(m.root, "dev/vdb1")+" partition 1\n")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			m.disk("vdb", 254, 1)
			tt.set(m)
			got, err := m.lookup(254, 0).InUse()
			if err != nil || (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("InUse = %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}
