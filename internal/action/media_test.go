package action_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/build"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/blueprint"
	"github.com/bootc-go/bootc/internal/format/gpt"
)

// toMedia are the options of media, which have no size.
func (l *lab) toMedia(types ...string) build.Options {
	o := l.toBuild(types...)
	o.Size = 0
	return o
}

// plan makes a plan that is closed at the end of the test.
func planOf(t *testing.T, o build.Options) *build.Plan {
	t.Helper()
	p, err := build.New(t.Context(), o)
	must(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

// TestBuildISO has the programs of others look at an ISO image: as a disk, as a disc,
// and at what is on it.
func TestBuildISO(t *testing.T) {
	l := newStore(t)
	p := planOf(t, l.toMedia("iso"))
	var said []string
	id, files, err := p.Apply(t.Context(), func(e bootc.Event) {
		if n, ok := e.(bootc.Notice); ok {
			said = append(said, n.Text)
		}
	})
	must(t, err)
	iso := files[0]
	if want := "File: " + iso + "\n"; len(files) != 1 || filepath.Base(iso) != "v1.iso" || !strings.Contains(p.String(), want) || strings.Contains(p.String(), "Disk:") {
		t.Errorf("the files are %q, the plan is\n%s", files, p)
	}
	const noBIOS = "notice: the ISO boots by UEFI only, not by BIOS (the image has no GRUB for it, /usr/lib/grub/i386-pc)"
	if slices.Contains(said, noBIOS) != (runtime.GOARCH == "amd64") {
		t.Errorf("said %q", said)
	}
	if out := tell(t, "sfdisk", "--verify", iso); !strings.Contains(out, "No errors detected") {
		t.Errorf("sfdisk: %s", out)
	}
	if out := tell(t, "sgdisk", "--verify", iso); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk: %s", out)
	}
	parts := partitions(t, iso)
	rootType, err := gpt.Root(runtime.GOARCH)
	must(t, err)
	if len(parts) != 2 || parts[0].Type != gpt.ESP || parts[1].Type != rootType || parts[1].Attributes != gpt.ReadOnly {
		t.Errorf("the partitions are %+v", parts)
	}
	st, err := os.Stat(iso)
	must(t, err)
	if st.Size() > 80<<20 { // FAT32 has 33 MiB at least, ext4 not less than 16 here
		t.Errorf("it has %d bytes", st.Size())
	}
	esp, root := extract(t, iso, "EFI-SYSTEM"), extract(t, iso, "root")
	tell(t, "fsck.fat", "-n", esp)
	if out := tell(t, "e2fsck", "-f", "-n", root); strings.Contains(out, "? no") {
		t.Errorf("e2fsck: %s", out)
	}
	dir := t.TempDir()
	out := tell(t, "xorriso", "-abort_on", "WARNING", "-indev", iso, "-report_el_torito", "plain", "-osirrox", "on", "-extract", "/", dir)
	for _, want := range []string{
		`Volume id    : 'V1'`, `El Torito boot img :   1  UEFI  y   none  0x0000  0x00 `, `El Torito img path :   1  /EFI.IMG`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("xorriso does not say %q:\n%s", want, out)
		}
	}
	for name, part := range map[string]string{"EFI.IMG": esp, "ROOT.IMG": root} {
		tell(t, "cmp", part, filepath.Join(dir, name))
	}
	if got := debugfs(t, root, "cat /state/bootc/medium.json")[0]; got != "{\"version\":1,\"kargs\":[\"local=1\"]}\n" {
		t.Errorf("the marker is %q", got)
	}
	entry := tell(t, "mtype", "-i", esp, "::loader/entries/bootc_lab-1-1.conf")
	want := fmt.Sprintf("options root=UUID=%s ro fsck.mode=skip local=1 composefs=%s quiet image=1\n", uuidOf(t, root), id)
	if !strings.Contains(entry, want) {
		t.Errorf("the entry is\n%s, want %s in it", entry, want)
	}
}

// TestBuildISOForBIOS has xorriso look at the ISO image of an image with GRUB's
// modules, which come from this machine.
func TestBuildISOForBIOS(t *testing.T) {
	const modules = "/usr/lib/grub/i386-pc"
	if runtime.GOARCH != "amd64" {
		t.Skip("only amd64 has a BIOS")
	}
	files, err := os.ReadDir(modules)
	if err != nil {
		t.Skip(err)
	}
	l := newStore(t)
	image := v1()
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(modules, f.Name()))
		must(t, err)
		image[filepath.Join(modules[1:], f.Name())] = string(data)
	}
	image.save(l, "v1")
	var said []string
	_, built, err := planOf(t, l.toMedia("iso")).Apply(t.Context(), func(e bootc.Event) {
		if n, ok := e.(bootc.Notice); ok && strings.Contains(n.Text, "BIOS") {
			said = append(said, n.Text)
		}
	})
	must(t, err)
	iso := built[0]
	if len(said) > 0 {
		t.Errorf("said %q", said)
	}
	out := tell(t, "xorriso", "-abort_on", "WARNING", "-indev", iso, "-report_el_torito", "plain", "-report_system_area", "plain")
	for _, want := range []string{
		`El Torito boot img :   1  BIOS  y   none  0x0000  0x00      4          32`, `El Torito img opts :   1  boot-info-table grub2-boot-info`,
		`El Torito boot img :   2  UEFI  y   none`, `System area summary: MBR protective-msdos-label grub2-mbr`, `GPT`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("xorriso does not say %q:\n%s", want, out)
		}
	}
	if out := tell(t, "sgdisk", "--verify", iso); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk: %s", out)
	}
	// GRUB's own drivers find what its configuration names.
	if out := tell(t, "grub-fstest", iso, "ls", "(loop0)/"); out != "bios.img efi.img root.img \n" {
		t.Errorf("grub-fstest lists %q", out)
	}
	tell(t, "grub-fstest", iso, "cmp", "(loop0)/efi.img", extract(t, iso, "EFI-SYSTEM"))
	if same := l.build(l.toMedia("iso"))[0]; tell(t, "cmp", iso, same) != "" {
		t.Error("other bytes")
	}
}

// uuidOf is the UUID of an ext4 file system.
func uuidOf(t *testing.T, file string) string {
	t.Helper()
	return strings.TrimSpace(tell(t, "blkid", "--probe", "--match-tag", "UUID", "--output", "value", file))
}

// TestBuildPXE has cpio and others look at the files for a boot over the network.
func TestBuildPXE(t *testing.T) {
	l := newStore(t)
	p := planOf(t, l.toMedia("iso", "pxe"))
	id, files, err := p.Apply(t.Context(), nil)
	must(t, err)
	iso, dir := files[0], files[1]
	var names []string
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
		info, err := e.Info()
		must(t, err)
		if info.Mode() != 0o644 {
			t.Errorf("%s has the mode %v", e.Name(), info.Mode())
		}
		if want := "File: " + filepath.Join(dir, e.Name()) + "\n"; !strings.Contains(p.String(), want) {
			t.Errorf("the plan is\n%s, want %s in it", p, want)
		}
	}
	if diff := cmp.Diff([]string{"boot.ipxe", "grub.cfg", "initrd", "root.cpio", "vmlinuz"}, names); diff != "" || len(files) != 2 {
		t.Errorf("%q: %s", files, diff)
	}
	if st, err := os.Stat(dir); err != nil || st.Mode() != os.ModeDir|0o755 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	root := extract(t, iso, "root")
	options := fmt.Sprintf("root=UUID=%s ro fsck.mode=skip local=1 composefs=%s quiet image=1", uuidOf(t, root), id)
	for name, want := range map[string]string{
		"vmlinuz":   imagestest.Kernel("kernel", 5000, runtime.GOARCH),
		"initrd":    imagestest.Big("initrd", 9000),
		"boot.ipxe": "#!ipxe\nkernel vmlinuz initrd=initrd initrd=root.cpio " + options + "\ninitrd initrd\ninitrd root.cpio\nboot\n",
		"grub.cfg":  "linux $config_directory/vmlinuz " + options + "\ninitrd $config_directory/initrd $config_directory/root.cpio\nboot\n",
	} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s has %d bytes, want %d: %.300s; %v", name, len(got), len(want), got, err)
		}
	}
	archive, to := filepath.Join(dir, "root.cpio"), t.TempDir()
	if got := tell(t, "cpio", "--list", "--quiet", "--file", archive); got != "bootc\nbootc/root.img\n" {
		t.Errorf("cpio lists %q", got)
	}
	tell(t, "cpio", "--extract", "--quiet", "--directory", to, "--file", archive)
	tell(t, "cmp", root, filepath.Join(to, "bootc/root.img"))
}

// read reads a file, or the files in a directory.
func read(t *testing.T, path string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		all[strings.TrimPrefix(name, filepath.Dir(path))] = string(data)
		return err
	}))
	return all
}

// TestBuildMediaSameBytes builds media alone and beside disks, in other circumstances,
// and for another seed.
func TestBuildMediaSameBytes(t *testing.T) {
	l := newStore(t)
	first := l.build(l.toMedia("iso", "pxe"))
	defer unix.Umask(unix.Umask(0o077))
	t.Setenv("TZ", "Asia/Tokyo")
	second := l.build(l.toBuild("pxe", "qcow2", "iso"))
	same := func(a, b string) bool {
		x, y := read(t, a), read(t, b)
		if len(x) != len(y) {
			t.Errorf("%d and %d files", len(x), len(y))
		}
		for name := range x {
			if x[name] != y[name] {
				return false
			}
		}
		return true
	}
	if !same(first[0], second[2]) || !same(first[1], second[1]) {
		t.Error("other bytes")
	}
	alone := l.build(l.toBuild("qcow2"))
	if !same(alone[0], second[0]) {
		t.Error("the disk has other bytes beside a medium")
	}
	o := l.toMedia("iso")
	o.Seed = "another"
	if same(first[0], l.build(o)[0]) {
		t.Error("another seed gave the same bytes")
	}
}

// TestBuildPXEAgain replaces a directory, but not one with something else in it.
func TestBuildPXEAgain(t *testing.T) {
	l := newStore(t)
	o := l.toMedia("pxe")
	dir := l.build(o)[0]
	must(t, os.WriteFile(filepath.Join(dir, "vmlinuz"), []byte("old"), 0o600))
	l.build(o)
	if data, err := os.ReadFile(filepath.Join(dir, "vmlinuz")); err != nil || len(data) != 5000 {
		t.Errorf("the kernel has %d bytes, %v", len(data), err)
	}
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "notes"), nil, 0o600))
	if _, err := build.New(t.Context(), o); err == nil || !strings.Contains(err.Error(), `has "notes" in it`) {
		t.Errorf("a directory with something else in it: %v", err)
	}
}

// TestBuildPXENameTaken is a file that cannot have its name: the directory of before is
// there again.
func TestBuildPXENameTaken(t *testing.T) {
	l := newStore(t)
	o := l.toMedia("pxe", "iso")
	must(t, os.MkdirAll(filepath.Join(o.Dir, "v1.pxe"), 0o755))
	must(t, os.WriteFile(filepath.Join(o.Dir, "v1.pxe/vmlinuz"), []byte("old"), 0o600))
	must(t, os.Mkdir(filepath.Join(o.Dir, "v1.iso"), 0o755))
	if _, _, err := planOf(t, o).Apply(t.Context(), nil); err == nil {
		t.Error("a directory was replaced by a file")
	}
	if diff := cmp.Diff(map[string]string{"/v1.pxe/vmlinuz": "old"}, read(t, filepath.Join(o.Dir, "v1.pxe"))); diff != "" {
		t.Error(diff)
	}
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) != 2 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestBuildMediaSealed makes media of an image with a unified kernel image.
func TestBuildMediaSealed(t *testing.T) {
	l := newStore(t)
	o := l.toMedia("iso")
	o.Install.Kargs = nil
	v1().save(l, "v1")
	id, _, err := planOf(t, o).Apply(t.Context(), nil)
	must(t, err)
	v1().sealed("rw composefs="+string(id)).save(l, "v1")
	var said bytes.Buffer
	_, files, err := planOf(t, o).Apply(t.Context(), func(e bootc.Event) {
		if n, ok := e.(bootc.Notice); ok {
			fmt.Fprintln(&said, n.Text)
		}
	})
	must(t, err)
	if !strings.Contains(said.String(), "notice: the command line of the unified kernel image is fixed, so the ISO boots where that finds its root") {
		t.Errorf("said\n%s", &said)
	}
	tell(t, "mtype", "-i", extract(t, files[0], "EFI-SYSTEM"), "::EFI/Linux/bootc/bootc_composefs-"+string(id)+".efi")
	must(t, os.Remove(files[0]))
	o.Types = []string{"iso", "pxe"}
	if _, _, err := planOf(t, o).Apply(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "type pxe: the image has a unified kernel image") {
		t.Errorf("pxe of a unified kernel image: %v", err)
	}
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestBuildMediaRefused is what no medium can have.
func TestBuildMediaRefused(t *testing.T) {
	for _, c := range []struct {
		change func(o *build.Options)
		want   string
	}{
		{func(o *build.Options) { o.Size = 2 << 30 }, "--size: is for disks"},
		{func(o *build.Options) { o.Install.Storage.RootSize = 2 << 30 }, "--root-size: is for disks"},
		{func(o *build.Options) {
			o.Customize.DiskSize = blueprint.Size{Key: "customizations.disk.minsize", Bytes: 1}
		}, "customizations.disk.minsize: is for disks"},
		{func(o *build.Options) {
			o.Customize.RootSize = blueprint.Size{Key: "customizations.filesystem[0].minsize", Bytes: 1}
		}, "customizations.filesystem[0].minsize: is for disks"},
		{func(o *build.Options) {
			o.Customize.Partitions = []blueprint.Partition{{Key: "customizations.disk.partitions[0]", Filesystem: "swap", Size: 1 << 20}}
		}, "customizations.disk.partitions[0]: is for disks"},
		{func(o *build.Options) { o.Install.Kargs = []string{"a=${b}"} }, `type pxe: the kernel argument "a=${b}" has the character '$'`},
		{func(o *build.Options) { must(t, os.WriteFile(filepath.Join(o.Dir, "v1.pxe"), nil, 0o600)) }, "v1.pxe: not a directory"},
	} {
		l := newStore(t)
		o := l.toMedia("iso", "pxe")
		c.change(&o)
		p, err := build.New(t.Context(), o)
		if err == nil {
			_, _, err = p.Apply(t.Context(), nil)
			p.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("the error is %v, want %q in it", err, c.want)
		}
		left, err := os.ReadDir(o.Dir)
		must(t, err)
		for _, e := range left {
			if e.Name() != "v1.pxe" || e.IsDir() { // what was there
				t.Errorf("%s: left behind: %v", c.want, e)
			}
		}
	}
}
