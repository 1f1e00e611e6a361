package storage_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/gpt"
	"github.com/bootc-go/bootc/internal/machine/storage"
)

func newPlan(t *testing.T, size uint64, sectorSize int, arch string) *storage.Plan {
	t.Helper()
	parts, err := storage.Layout(size, storage.Options{Arch: arch})
	if err != nil {
		t.Fatal(err)
	}
	return &storage.Plan{Device: "/dev/vdb", Size: size, SectorSize: sectorSize, Partitions: parts}
}

func TestPlanString(t *testing.T) {
	a, b := newPlan(t, 20<<30, 512, "amd64"), newPlan(t, 1<<40+12345678, 4096, "arm64")
	b.Found = []string{"a GPT partition table", "partition vdb1"}
	golden(t, "plan.txt", a.String()+"\n"+b.String())
}

// TestTable writes the table to a file and reads it with sfdisk.
func TestTable(t *testing.T) {
	for _, sectorSize := range []int{512, 4096} {
		p := newPlan(t, 4<<30, sectorSize, "amd64")
		table, err := p.Table(bytes.NewReader(bytes.Repeat([]byte("0123456789abcdef-"), 20)))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "disk")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.Truncate(int64(p.Size)); err != nil {
			t.Fatal(err)
		}
		if err := table.Write(f); err != nil {
			t.Fatal(err)
		}
		back, err := gpt.Read(f, sectorSize, int64(p.Size))
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		fmt.Fprintf(&text, "disk %v\n", back.Disk)
		for i, part := range back.Partitions {
			fmt.Fprintf(&text, "%d %v %v %d %d %x %s\n", part.Number, part.Type, part.GUID, part.First, part.Last, part.Attributes, part.Name)
			if got, want := back.Offset(part), p.Partitions[i].Start; uint64(got) != want {
				t.Errorf("partition %d begins at %d, want %d", part.Number, got, want)
			}
			if got, want := back.Size(part), p.Partitions[i].Size; uint64(got) != want {
				t.Errorf("partition %d has %d bytes, want %d", part.Number, got, want)
			}
		}
		golden(t, fmt.Sprintf("table-%d.txt", sectorSize), text.String())
		if sectorSize == 512 {
			readWithSfdisk(t, path, back)
		}
	}
}

func readWithSfdisk(t *testing.T, path string, table *gpt.Table) {
	program, err := lookPath("sfdisk")
	if err != nil {
		t.Skip(err)
	}
	if out, err := exec.Command(program, "--verify", path).CombinedOutput(); err != nil || !strings.Contains(string(out), "No errors detected") {
		t.Errorf("sfdisk --verify: %v: %s", err, out)
	}
	out, err := exec.Command(program, "--json", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var seen struct {
		PartitionTable struct {
			Label, ID  string
			Partitions []struct {
				Start, Size      uint64
				Type, UUID, Name string
			}
		}
	}
	if err := json.Unmarshal(out, &seen); err != nil {
		t.Fatal(err)
	}
	got := seen.PartitionTable
	if got.Label != "gpt" || !strings.EqualFold(got.ID, table.Disk.String()) || len(got.Partitions) != len(table.Partitions) {
		t.Errorf("sfdisk reads %+v", got)
	}
	for i, p := range table.Partitions {
		g := got.Partitions[i]
		if g.Start != p.First || g.Size != p.Last-p.First+1 || !strings.EqualFold(g.Type, p.Type.String()) || !strings.EqualFold(g.UUID, p.GUID.String()) || g.Name != p.Name {
			t.Errorf("sfdisk reads partition %d as %+v", i+1, g)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, "/dev/null", "/", filepath.Join(file, "x"), "/dev/no-such-disk"} {
		if p, err := storage.New(name, storage.Options{Wipe: true}); err == nil {
			t.Errorf("New(%q) = %v, want an error", name, p)
		}
	}
}

// loop makes a loop device over an empty file.
func loop(t *testing.T, size int64) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: a loop device")
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("needs loop devices: %v", err)
	}
	defer control.Close()
	for range 20 {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			t.Skipf("needs loop devices: %v", err)
		}
		path := fmt.Sprintf("/dev/loop%d", n)
		dev, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Skipf("needs loop devices: %v", err)
		}
		if err := unix.IoctlSetInt(int(dev.Fd()), unix.LOOP_SET_FD, int(f.Fd())); err != nil {
			dev.Close() // another process was quicker
			continue
		}
		t.Cleanup(func() {
			unix.IoctlSetInt(int(dev.Fd()), unix.LOOP_CLR_FD, 0)
			dev.Close()
		})
		return path
	}
	t.Skip("needs a free loop device")
	return ""
}

// TestDisk plans and erases a loop device. Such a device shows no partitions,
// so Make has to end with an error after the table is written.
func TestDisk(t *testing.T) {
	path := loop(t, 2<<30)
	plan, err := storage.New(path, storage.Options{Arch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Partitions) != 3 || len(plan.Found) != 0 || plan.Size != 2<<30 {
		t.Errorf("plan of an empty disk:\n%v", plan)
	}
	program, err := lookPath("mkfs.ext4")
	if err != nil {
		t.Skip(err)
	}
	if out, err := exec.Command(program, "-q", "-F", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const want = "is not empty: it has an ext file system (--wipe erases it)"
	if _, err := storage.New(path, storage.Options{}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("New of a disk with a file system: %v, want %q", err, want)
	}
	if _, err := plan.Make(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Make after a file system appeared: %v, want %q", err, want)
	}
	if _, err := storage.New(path, storage.Options{RootSize: 2 << 30}); err == nil {
		t.Error("a root as large as the disk was planned")
	}
	plan, err = storage.New(path, storage.Options{Wipe: true, Arch: "arm64"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Make(context.Background()); err == nil {
		t.Error("partitions of a loop device were found")
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := gpt.Read(f, 512, 2<<30)
	if err != nil || len(table.Partitions) != 2 {
		t.Fatalf("table %+v, %v", table, err)
	}
	found, err := storage.Signatures(f, 2<<30)
	if err != nil || strings.Contains(strings.Join(found, ","), "ext file system") {
		t.Errorf("after erasing: %q, %v", found, err)
	}
}

// TestMounted refuses a disk that is mounted, wiped or not.
func TestMounted(t *testing.T) {
	path := loop(t, 2<<30)
	program, err := lookPath("mkfs.ext4")
	if err != nil {
		t.Skip(err)
	}
	if out, err := exec.Command(program, "-q", "-F", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	plan, err := storage.New(path, storage.Options{Wipe: true})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := unix.Mount(path, dir, "ext4", 0, ""); err != nil {
		t.Skipf("cannot mount here: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	want := "is in use: " + path + " is mounted at " + dir
	if _, err := storage.New(path, storage.Options{Wipe: true}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("New: %v, want %q", err, want)
	}
	if _, err := plan.Make(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Make: %v, want %q", err, want)
	}
}
