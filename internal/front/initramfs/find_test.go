package initramfs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/gpt"
	"github.com/bootc-go/bootc/internal/front/initramfs"
	"github.com/bootc-go/bootc/internal/linux/block"
)

const diskSize = 16 << 20

// system makes /sys and /dev with one disk: BIOS boot, ESP and, if root is
// given, a partition of that type. Nodes in /dev are files.
func system(t *testing.T, root gpt.GUID) (block.System, *gpt.Table) {
	t.Helper()
	base := t.TempDir()
	dir := filepath.Join(base, "sys/devices/vda")
	add := func(dir, number string, size int) {
		write(t, dir+"/dev", number)
		write(t, dir+"/size", fmt.Sprint(size/512))
		link := filepath.Join(base, "sys/dev/block", number)
		must(t, os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(dir, link))
	}
	add(dir, "254:0", diskSize)
	must(t, os.MkdirAll(filepath.Join(base, "sys/block"), 0o755), os.Symlink(dir, filepath.Join(base, "sys/block/vda")))
	table, err := gpt.New(gpt.NewGUID([16]byte{}), 512, diskSize)
	must(t, err)
	kinds := []gpt.GUID{gpt.BIOSBoot, gpt.ESP}
	if !root.IsZero() {
		kinds = append(kinds, root)
	}
	for i, kind := range kinds {
		must(t, table.Append(kind, gpt.NewGUID([16]byte{byte(i + 1)}), "", 1<<20))
		part := fmt.Sprintf("%s/vda%d", dir, i+1)
		add(part, fmt.Sprintf("254:%d", i+1), 1<<20)
		write(t, part+"/partition", fmt.Sprint(i+1))
		write(t, fmt.Sprintf("%s/dev/vda%d", base, i+1), "")
	}
	f, err := os.Create(filepath.Join(base, "dev/vda"))
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(diskSize), table.Write(f))
	return block.System{Root: base}, table
}

func TestFindRoot(t *testing.T) {
	amd64, err := gpt.Root("amd64")
	must(t, err)
	s, table := system(t, amd64)
	esp := table.Find(gpt.ESP).GUID
	if got, err := initramfs.RootBeside(s, esp, "amd64"); err != nil || !strings.HasSuffix(got, "/dev/vda3") {
		t.Errorf("root %q, %v", got, err)
	}
	if _, err := initramfs.RootBeside(s, gpt.NewGUID([16]byte{9}), "amd64"); !errors.Is(err, block.ErrNotFound) {
		t.Errorf("disk that is not there: %v, want ErrNotFound", err)
	}
	if got, err := initramfs.RootBeside(s, esp, "arm64"); err == nil || errors.Is(err, block.ErrNotFound) {
		t.Errorf("root of another architecture: %q, %v", got, err)
	}
	must(t, os.Remove(filepath.Join(s.Root, "dev/vda3")))
	if _, err := initramfs.RootBeside(s, esp, "amd64"); !errors.Is(err, block.ErrNotFound) {
		t.Errorf("no node yet: %v, want ErrNotFound", err)
	}
	s, table = system(t, gpt.GUID{})
	if _, err := initramfs.RootBeside(s, table.Find(gpt.ESP).GUID, "amd64"); err == nil || errors.Is(err, block.ErrNotFound) {
		t.Errorf("disk without a root: %v", err)
	}
}

// TestVolatileRoot: systemd finds the disk through the link.
func TestVolatileRoot(t *testing.T) {
	if !private(t) {
		return
	}
	sysroot, other := t.TempDir(), t.TempDir()
	var st unix.Stat_t
	must(t, unix.Stat(sysroot, &st))
	if unix.Major(uint64(st.Dev)) == 0 {
		t.Skip("the temporary directory is not on a block device")
	}
	must(t, os.MkdirAll(filepath.Join(sysroot, "state/deploy", id, "etc"), 0o755),
		os.Mkdir(filepath.Join(sysroot, "state/deploy", id, "var"), 0o755), os.Mkdir(other+"/etc", 0o755), os.Mkdir(other+"/var", 0o755))
	link := filepath.Join(t.TempDir(), "systemd/volatile-root")
	target := t.TempDir()
	for range 2 { // the second time it is there
		must(t, setup(t, initramfs.Options{Sysroot: sysroot, Target: target, RootFS: other, VolatileRoot: link}))
		must(t, unix.Unmount(target, unix.MNT_DETACH))
		want := fmt.Sprintf("/dev/block/%d:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)))
		if got, err := os.Readlink(link); err != nil || got != want {
			t.Errorf("link %q, %v, want %q", got, err, want)
		}
	}
}
