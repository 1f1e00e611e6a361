package boot_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/format/osrelease"
	"github.com/bootc-go/bootc/internal/machine/boot"
)

// A partition is a FAT32 file system in a file that the kernel mounts, as a machine
// mounts its EFI system partition.
type partition struct {
	*testing.T
	image, at string
	root      *os.Root
}

func newPartition(t *testing.T) *partition {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	p := &partition{T: t, image: filepath.Join(t.TempDir(), "esp"), at: t.TempDir()}
	p.run("mkfs.fat", "-C", "-F", "32", "-s", "1", p.image, "40000")
	p.mount()
	t.Cleanup(p.umount)
	return p
}

func (p *partition) run(command ...string) {
	p.Helper()
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		p.Fatalf("%v: %v\n%s", command, err, out)
	}
}

func (p *partition) mount() {
	p.Helper()
	out, err := exec.Command("mount", "-o", "loop,errors=continue", p.image, p.at).CombinedOutput()
	if bytes.Contains(out, []byte("unknown filesystem type")) {
		p.Skip("this kernel has no FAT; a story of test/vm runs the test in a machine")
	}
	if err != nil {
		p.Fatalf("mounting: %v\n%s", err, out)
	}
	root, err := os.OpenRoot(p.at)
	if err != nil {
		p.Fatal(err)
	}
	p.root = root
}

func (p *partition) umount() {
	p.Helper()
	if p.root != nil {
		p.root.Close()
		p.run("umount", p.at)
		p.root = nil
	}
}

// tear makes the clusters of directories free, as a power cut does in which their
// names have reached the disk and the table has not. short is the name in the slot:
// eight and three characters.
func (p *partition) tear(short ...string) {
	p.Helper()
	p.umount()
	data, err := os.ReadFile(p.image)
	if err != nil {
		p.Fatal(err)
	}
	le := binary.LittleEndian
	tables, each := int(le.Uint16(data[14:]))*512, int(le.Uint32(data[36:]))*512
	for _, name := range short {
		at := bytes.Index(data, []byte(name))
		if at < 0 {
			p.Fatalf("there is no %q", name)
		}
		cluster := int(le.Uint16(data[at+20:]))<<16 | int(le.Uint16(data[at+26:]))
		for table := range 2 {
			le.PutUint32(data[tables+table*each+4*cluster:], 0)
		}
	}
	if err := os.WriteFile(p.image, data, 0o600); err != nil {
		p.Fatal(err)
	}
	p.mount()
}

// TestNamesThatLeadNowhere: each verb goes on beside directories that the kernel can
// neither read nor remove, on the file system itself.
func TestNamesThatLeadNowhere(t *testing.T) {
	p := newPartition(t)
	setUp(t, p.root)
	for _, name := range []string{"loader/entries.next", "loader/entries.staged", "EFI/Linux/bootc_composefs-x"} {
		if err := p.root.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.tear("ENTRIE~1NEX", "ENTRIE~1STA", "BOOTC_~3   ")
	if _, err := p.root.Stat("loader/entries.next"); err == nil {
		t.Fatal("loader/entries.next can be read: this test tests nothing")
	}
	l := boot.New(p.root)
	ok := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	ok("Recover", l.Recover(""))
	a, err := l.WriteKernel(ctx, v2.id, content(v2.linux()), content(v2.initrd()))
	ok("WriteKernel", err)
	ok("StageEntries", l.StageEntries(boot.NewEntry(v2.id, osrelease.Release{ID: "debian", VersionID: "2"}, a, "rw composefs="+string(v2.id)), v3.id))
	ok("SwitchEntries", l.SwitchEntries())
	ok("MakeFirst", l.MakeFirst(v3.id))
	ok("Collect", l.Collect())

	p.umount()
	p.mount()
	l = boot.New(p.root)
	ok("Recover", l.Recover(""))
	entries, err := l.Entries()
	ok("Entries", err)
	kernels := map[string][]byte{string(v2.id): v2.linux(), string(v3.id): v3.linux()}
	var order []string
	for _, e := range entries {
		if !e.Ours() {
			continue
		}
		order = append(order, e.ID.Short())
		kernel, err := p.root.ReadFile(e.Files()[0])
		if err != nil || !bytes.Equal(kernel, kernels[string(e.ID)]) {
			t.Errorf("the kernel of %s is not whole: %v", e.ID.Short(), err)
		}
	}
	if got, want := strings.Join(order, " "), v3.id.Short()+" "+v2.id.Short(); got != want {
		t.Errorf("deployments %s, want %s", got, want)
	}
}
