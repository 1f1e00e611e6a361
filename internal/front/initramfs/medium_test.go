package initramfs_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/gpt"
	"github.com/bootc-go/bootc/internal/front/initramfs"
)

// disc makes a disc with the table of disks, with an ext4 super block in the
// last of two partitions.
func disc(t *testing.T) ([]byte, *gpt.Table) {
	t.Helper()
	table, err := gpt.New(gpt.NewGUID([16]byte{}), 512, diskSize)
	must(t, err)
	kind, err := gpt.Root("amd64")
	must(t, err)
	must(t, table.Append(gpt.ESP, gpt.NewGUID([16]byte{1}), "", 1<<20), table.Append(kind, gpt.NewGUID([16]byte{2}), "", 0))
	name := filepath.Join(t.TempDir(), "disc")
	f, err := os.Create(name)
	must(t, err)
	defer f.Close()
	super := make([]byte, 1024)
	copy(super[0x38:], []byte{0x53, 0xef})
	for i := range 16 {
		super[0x68+i] = byte(i)
	}
	_, err = f.WriteAt(super, table.Offset(table.Partitions[1])+1024)
	must(t, err, f.Truncate(diskSize), table.Write(f))
	data, err := os.ReadFile(name)
	must(t, err)
	return data, table
}

func TestNamesRoot(t *testing.T) {
	data, table := disc(t)
	const uuid = "00010203-0405-0607-0809-0a0b0c0d0e0f"
	guid := table.Partitions[1].GUID.String()
	for line, want := range map[string]bool{
		"ro root=UUID=" + uuid + " composefs=x":        true,
		`ro "root=UUID=` + strings.ToUpper(uuid) + `"`: true,
		"root=UUID=00010203-0405-0607-0809-0a0b0c0d0e": false,
		"root=PARTUUID=" + strings.ToUpper(guid):       true,
		"root=PARTUUID=" + uuid:                        false,
		"root=UUID=" + guid:                            false,
		"root=UUID=":                                   false,
		"root=LABEL=root":                              false,
		"root=/dev/sr0":                                false,
		"ro composefs=x":                               false,
	} {
		if got, err := initramfs.NamesRoot(line, bytes.NewReader(data), diskSize); err != nil || got != want {
			t.Errorf("%s: %t, %v, want %t", line, got, err, want)
		}
	}
	line := "root=UUID=" + uuid
	if got, err := initramfs.NamesRoot(line, bytes.NewReader(make([]byte, diskSize)), diskSize); err != nil || got {
		t.Errorf("a disc without a table: %t, %v", got, err)
	}
	if got, err := initramfs.NamesRoot(line, bytes.NewReader(data[:4096]), diskSize); err == nil {
		t.Errorf("a disc that ends in its table: %t, no error", got)
	}
}

// TestAttachMedium attaches a file, as a root that came over the network, once.
func TestAttachMedium(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("loop devices need root")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skipf("no loop devices here: %v", err)
	}
	name := filepath.Join(t.TempDir(), "root.img")
	data, _ := disc(t)
	must(t, os.WriteFile(name, data, 0o600))
	path, err := initramfs.AttachMedium(name, "")
	must(t, err)
	loop, err := os.Open(path)
	must(t, err)
	defer loop.Close()
	defer func() { must(t, unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_CLR_FD, 0)) }()
	got := make([]byte, len(data))
	if _, err := loop.ReadAt(got, 0); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%s has another content (%v)", path, err)
	}
	if again, err := initramfs.AttachMedium(name, ""); err != nil || again != "" {
		t.Errorf("attached again: %q, %v", again, err)
	}
	if none, err := initramfs.AttachMedium(name+".no", ""); err != nil || none != "" {
		t.Errorf("no file: %q, %v", none, err)
	}
}
