package storage_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/linux/block"
	"github.com/bootc-go/bootc/internal/machine/storage"
)

// A computer has /sys, /proc and /dev in a directory.
type computer struct {
	*testing.T
	root string
	n    int
}

func newComputer(t *testing.T) *computer {
	c := &computer{T: t, root: t.TempDir()}
	for _, d := range []string{"sys/block", "sys/dev/block", "dev", "proc/self", "proc/1"} {
		c.must(os.MkdirAll(filepath.Join(c.root, d), 0o755))
	}
	c.write("proc/self/mountinfo", "")
	c.write("proc/1/mountinfo", "")
	return c
}

func (c *computer) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *computer) write(name, text string) {
	c.Helper()
	p := filepath.Join(c.root, name)
	c.must(os.MkdirAll(filepath.Dir(p), 0o755))
	c.must(os.WriteFile(p, []byte(text), 0o644))
}

// disk adds a disk of so many MiB, with files in sysfs.
func (c *computer) disk(name string, size int64, files map[string]string) uint64 {
	c.Helper()
	c.n++
	dir := "sys/devices/" + name
	c.write(dir+"/dev", fmt.Sprintf("8:%d\n", c.n))
	c.write(dir+"/size", fmt.Sprintln(size<<20/512))
	for file, text := range files {
		c.write(dir+"/"+file, text)
	}
	target := filepath.Join(c.root, dir)
	c.must(os.Symlink(target, filepath.Join(c.root, "sys/block", name)))
	c.must(os.Symlink(target, filepath.Join(c.root, "sys/dev/block", fmt.Sprintf("8:%d", c.n))))
	c.write("dev/"+name, "")
	c.must(os.Truncate(filepath.Join(c.root, "dev", name), size<<20))
	return unix.Mkdev(8, uint32(c.n))
}

func (c *computer) candidates(medium ...*block.Device) []storage.Candidate {
	c.Helper()
	all, err := storage.Candidates(block.System{Root: c.root}, medium, storage.Options{Arch: "amd64"})
	c.must(err)
	for i := range all {
		all[i].Path = strings.TrimPrefix(all[i].Path, c.root)
		all[i].Obstacle = strings.ReplaceAll(all[i].Obstacle, c.root, "")
	}
	return all
}

func TestCandidates(t *testing.T) {
	const large = 20 << 10
	c := newComputer(t)
	stick, err := block.System{Root: c.root}.Lookup(c.disk("sda", large, map[string]string{"removable": "1\n"}))
	c.must(err)
	c.disk("sdb", large, map[string]string{"device/model": "WD Blue  \n"})
	c.write("dev/sdb", strings.Repeat("\x00", 510)+"\x55\xaa")
	c.must(os.Truncate(filepath.Join(c.root, "dev/sdb"), large<<20))
	c.disk("sdc", large, map[string]string{"ro": "1\n"})
	c.disk("sdd", 100, nil)
	c.disk("sde", large, map[string]string{"removable": "1\n", "holders/dm-0/x": ""})
	c.disk("sdf", large, map[string]string{"holders/dm-1/x": ""})
	c.disk("sr0", large, nil)
	c.disk("sdg", large, map[string]string{"removable": "1\n"})
	want := []storage.Candidate{
		{Path: "/dev/sdb", Model: "WD Blue", Size: 20 << 30, Found: []string{"an MBR partition table or boot sector"}},
		{Path: "/dev/sdf", Size: 20 << 30, Obstacle: "/dev/sdf is used by dm-1"},
		{Path: "/dev/sdg", Size: 20 << 30},
	}
	got := c.candidates(stick)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	for i, text := range []string{
		"20 GiB, WD Blue, has an MBR partition table or boot sector", "20 GiB, /dev/sdf is used by dm-1", "20 GiB, empty",
	} {
		if got[i].String() != text {
			t.Errorf("%s is %q, want %q", got[i].Path, got[i].String(), text)
		}
	}
	for _, tt := range []struct {
		all  []storage.Candidate
		want string
		bad  string
	}{
		{nil, "", "there is no disk"},
		{got[:1], "/dev/sdb", ""},
		{got[1:2], "", "the only disk is /dev/sdf: 20 GiB, /dev/sdf is used by dm-1"},
		{got[1:], "", "there are 2 disks and none was named: /dev/sdf (20 GiB, /dev/sdf is used by dm-1); /dev/sdg (20 GiB, empty)"},
	} {
		switch only, err := storage.Only(tt.all); {
		case tt.bad != "" && (err == nil || !strings.Contains(err.Error(), tt.bad)):
			t.Errorf("Only = %v, want %q", err, tt.bad)
		case tt.bad == "" && (err != nil || only.Path != tt.want):
			t.Errorf("Only = %v, %v, want %s", only, err, tt.want)
		}
	}
}
