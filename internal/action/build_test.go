package action_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/build"
	"github.com/bootc-go/bootc/internal/action/install"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/dumpfile"
	"github.com/bootc-go/bootc/internal/format/gpt"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dirtree"
	"github.com/bootc-go/bootc/internal/machine"
)

// newStore is a lab without a machine, with the first image.
func newStore(t *testing.T) *lab {
	t.Helper()
	l := &lab{T: t, dir: t.TempDir(), store: t.TempDir()}
	saveEntries(l, "v1", "v1", append(v1().entries(), noise()...))
	return l
}

// noise is what is easily lost on the way: owners, modes, times, links.
func noise() []imagestest.Entry {
	return []imagestest.Entry{
		{Name: "etc/shadow", Body: "root:*\n", Mode: 0o640, Fraction: 123456789},
		{Name: "etc/shadow-too", Link: "etc/shadow", Hard: true},
		{Name: "etc/link", Link: "../usr/lib/os-release"},
		{Name: "etc/.updated", Body: "never copied"},
		{Name: "etc/deep/"},
		{Name: "etc/deep/file", Body: imagestest.Big("deep", 300), Xattrs: map[string]string{"user.of": "image"}},
		{Name: "var/spool/", Mode: 0o1777},
		{Name: "var/spool/large", Body: imagestest.Big("spool", 70000), Mode: 0o4711},
	}
}

// toBuild are the options of a disk image in a directory of its own.
func (l *lab) toBuild(types ...string) build.Options {
	return build.Options{
		Install: l.toInstall(), Types: types, Dir: l.TempDir(), Store: filepath.Join(l.TempDir(), "store"), Size: 2 << 30,
	}
}

func (l *lab) toInstall() install.Options {
	return install.Options{
		Source: l.ref("v1"), Target: bootc.Ref{Transport: bootc.Registry, Name: "registry.example.com/os:stable"},
		Kargs: []string{"local=1"}, SSHKeys: []byte("ssh-ed25519 AAAA user@host\n"), Registry: l.registry(),
	}
}

// build builds, and returns the files.
func (l *lab) build(o build.Options) []string {
	l.Helper()
	p, err := build.New(l.Context(), o)
	must(l, err)
	defer p.Close()
	_, files, err := p.Apply(l.Context(), nil)
	must(l, err)
	return files
}

// apply plans and builds.
func (l *lab) apply(o build.Options) (bootc.ID, []string, error) {
	p, err := build.New(l.Context(), o)
	if err != nil {
		return "", nil, err
	}
	defer p.Close()
	return p.Apply(l.Context(), nil)
}

// partitions reads the partition table of a raw disk.
func partitions(t *testing.T, raw string) []gpt.Partition {
	t.Helper()
	f, err := os.Open(raw)
	must(t, err)
	defer f.Close()
	st, err := f.Stat()
	must(t, err)
	table, err := gpt.Read(f, 512, st.Size())
	must(t, err)
	return table.Partitions
}

// partition finds a partition of a raw disk.
func partition(t *testing.T, raw, name string) gpt.Partition {
	t.Helper()
	for _, p := range partitions(t, raw) {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("no partition %s", name)
	return gpt.Partition{}
}

// extract copies a partition of a raw disk to a file.
func extract(t *testing.T, raw, name string) string {
	t.Helper()
	p := partition(t, raw, name)
	to := filepath.Join(t.TempDir(), name)
	tell(t, "dd", "if="+raw, "of="+to, "bs=1M", "iflag=skip_bytes,count_bytes",
		fmt.Sprintf("skip=%d", p.First*512), fmt.Sprintf("count=%d", (p.Last-p.First+1)*512), "conv=sparse", "status=none")
	return to
}

// tell runs a program, which must succeed.
func tell(t *testing.T, name string, args ...string) string {
	t.Helper()
	for _, dir := range []string{"", "/sbin", "/usr/sbin"} {
		path, err := exec.LookPath(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		out, err := exec.Command(path, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// TestBuild has a disk image in every format looked at by the programs of
// others.
func TestBuild(t *testing.T) {
	l := newStore(t)
	files := l.build(l.toBuild(build.Types()...))
	raw := files[slices.Index(build.Types(), "raw")]
	if out := tell(t, "sfdisk", "--verify", raw); !strings.Contains(out, "No errors detected") {
		t.Errorf("sfdisk: %s", out)
	}
	tell(t, "fsck.fat", "-n", extract(t, raw, "EFI-SYSTEM"))
	if out := tell(t, "e2fsck", "-f", "-n", extract(t, raw, "root")); strings.Contains(out, "? no") {
		t.Errorf("e2fsck: %s", out)
	}
	for k, name := range build.Types() {
		switch file := files[k]; {
		case strings.HasPrefix(name, "qcow2"):
			tell(t, "qemu-img", "check", "-q", file)
			fallthrough
		case name == "vhdx": // QEMU reads its holes byte by byte
			tell(t, "qemu-img", "check", "-q", file)
		case name == "vmdk":
			tell(t, "qemu-img", "compare", "-q", raw, file)
		case strings.HasPrefix(name, "vhd"):
			tell(t, "qemu-img", "compare", "-q", "-f", "raw", "-F", "vpc", raw, file)
		case name == "gce":
			if out := tell(t, "tar", "-tvf", file); !strings.Contains(out, "2147483648") || !strings.Contains(out, "disk.raw") {
				t.Errorf("tar: %s", out)
			}
		case name == "ova":
			tell(t, "tar", "-xf", file, "-C", t.TempDir(), "v1.ovf", "v1.mf", "v1.vmdk")
		case name == "ami":
			tell(t, "cmp", raw, file)
		}
	}
}

// TestBuildAMI reads what is beside an image for Amazon's cloud, in an order of types
// in which another one follows.
func TestBuildAMI(t *testing.T) {
	l := newStore(t)
	o := l.toBuild("ami", "vmdk")
	o.Size -= 1 << 20 // a volume has whole GiB
	p, err := build.New(t.Context(), o)
	must(t, err)
	defer p.Close()
	_, files, err := p.Apply(t.Context(), nil)
	must(t, err)
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(f))
		if !strings.Contains(p.String(), "File: "+f+"\n") {
			t.Errorf("the plan has no %s:\n%s", f, p)
		}
	}
	if diff := cmp.Diff([]string{"v1.ami.raw", "v1.vmdk", "v1.ami.json"}, names); diff != "" {
		t.Error("files", diff)
	}
	got, err := os.ReadFile(files[2])
	must(t, err)
	arch := map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]
	want := fmt.Sprintf(`{
  "ImportSnapshot": {
    "Description": "v1, image %[1]s",
    "DiskContainer": {
      "Description": "v1, image %[1]s",
      "Format": "RAW",
      "UserBucket": {
        "S3Key": "v1.ami.raw"
      }
    }
  },
  "RegisterImage": {
    "Name": "v1-%[2]s",
    "Description": "v1, image %[1]s",
    "Architecture": "%[3]s",
    "BootMode": "uefi",
    "VirtualizationType": "hvm",
    "EnaSupport": true,
    "RootDeviceName": "/dev/xvda",
    "BlockDeviceMappings": [
      {
        "DeviceName": "/dev/xvda",
        "Ebs": {
          "DeleteOnTermination": true,
          "VolumeSize": 2,
          "VolumeType": "gp3"
        }
      }
    ]
  }
}
`, p.Manifest, p.Manifest.Short(), arch)
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	st, err := os.Stat(files[2])
	must(t, err)
	if st.Mode() != 0o644 {
		t.Errorf("mode %v", st.Mode())
	}
}

// TestBuildIsInstallation compares a disk image with an installation of the same
// image on file systems that are mounted.
func TestBuildIsInstallation(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount and to install")
	}
	l := newStore(t)
	o := l.toInstall()
	o.AllowMissingVerity = true
	for _, d := range []string{"sysroot", "esp"} {
		must(t, os.Mkdir(filepath.Join(l.dir, d), 0o755))
	}
	p, err := install.New(t.Context(), o)
	must(t, err)
	defer p.Close()
	m, err := machine.CreateOn(l.root("sysroot"), l.root("esp"), true)
	must(t, err)
	_, err = p.Fill(t.Context(), m, nil)
	must(t, err)
	_, err = m.Repo.Collect(t.Context(), images.CollectOptions{})
	must(t, err)
	must(t, m.Close())

	b := l.toBuild("raw")
	b.Install.AllowMissingVerity = true
	raw := l.build(b)[0]
	dumped := filepath.Join(t.TempDir(), "root") // not mounted: kernels without fs-verity refuse to open files
	must(t, os.Mkdir(dumped, 0o755))
	tell(t, "debugfs", "-R", "rdump / "+dumped, extract(t, raw, "root"))
	want, got := readRoot(t, filepath.Join(l.dir, "sysroot")), readRoot(t, dumped)
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Error("root: installed (-) and built (+)\n", diff)
	}
	copied := t.TempDir()
	tell(t, "mcopy", "-s", "-Q", "-i", extract(t, raw, "EFI-SYSTEM"), "::*", copied)
	if diff := tell(t, "diff", "-r", filepath.Join(l.dir, "esp"), copied); diff != "" {
		t.Error("ESP: installed (<) and built (>)\n", diff)
	}
}

// readRoot describes a physical root, without the times of what the image does
// not date, and without what debugfs does not
// copy: extended attributes, setuid and the like, fractions of seconds, times of links.
func readRoot(t *testing.T, path string) string {
	t.Helper()
	root, err := os.Open(path)
	must(t, err)
	defer root.Close()
	got, err := dirtree.Read(t.Context(), root, dirtree.Options{Object: dirtree.Hash(verity.SHA512), Xattr: func(string) bool { return false }})
	must(t, err)
	got.Root.Mode = tree.TypeDir | 0o755
	got.Root.RemoveChild("lost+found")
	objects := got.Lookup("composefs/objects")
	for _, name := range objects.Names() {
		if objects.Child(name).Len() == 0 {
			objects.RemoveChild(name)
		}
	}
	must(t, got.Walk(func(path string, n *tree.Node) error {
		dated := strings.Contains(path, "/etc/") || strings.Contains(path, "/var/")
		n.Mode &^= 0o7000
		if n.Mtime.Nsec = 0; !dated || n.IsSymlink() || strings.Contains(path, "/tmpfiles.d") {
			n.Mtime = tree.Time{}
		}
		return nil
	}))
	var b bytes.Buffer
	must(t, dumpfile.Write(&b, got))
	return b.String()
}

// TestBuildSameBytes builds twice, in other circumstances. What is as large as
// the disk is compared by a program that knows of holes.
func TestBuildSameBytes(t *testing.T) {
	l := newStore(t)
	first := l.build(l.toBuild(build.Types()...))
	defer unix.Umask(unix.Umask(0o077))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU() + 1))
	t.Setenv("TZ", "Asia/Tokyo")
	for k, file := range l.build(l.toBuild(build.Types()...)) {
		if filepath.Ext(file) == ".pxe" {
			tell(t, "diff", "-r", first[k], file)
			continue
		}
		if st, err := os.Stat(file); err != nil || st.Size() > 1<<30 {
			tell(t, "qemu-img", "compare", "-q", "-f", "raw", "-F", "raw", first[k], file)
			continue
		}
		want, err := os.ReadFile(first[k])
		must(t, err)
		got, err := os.ReadFile(file)
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: other bytes", filepath.Base(file))
		}
	}
	o := l.toBuild("qcow2")
	o.Seed = "another"
	want, err := os.ReadFile(first[slices.Index(build.Types(), "qcow2")])
	must(t, err)
	got, err := os.ReadFile(l.build(o)[0])
	must(t, err)
	if bytes.Equal(got, want) {
		t.Error("another seed gave the same bytes")
	}
}

// TestBuildAgain builds from a store that has the image.
func TestBuildAgain(t *testing.T) {
	l := newStore(t)
	o := l.toBuild("raw")
	l.build(o)
	blobs := filepath.Join(l.store, "v1", "blobs", "sha256")
	entries, err := os.ReadDir(blobs)
	must(t, err)
	for _, e := range entries { // what is left are manifest and config
		if info, err := e.Info(); err == nil && info.Size() > 4096 {
			must(t, os.Remove(filepath.Join(blobs, e.Name())))
		}
	}
	l.build(o)
}

// TestBuildNameTaken is a second file that cannot have its name: the first has none
// either.
func TestBuildNameTaken(t *testing.T) {
	l := newStore(t)
	o := l.toBuild("raw", "qcow2")
	o.Name = "disk"
	must(t, os.Mkdir(filepath.Join(o.Dir, "disk.qcow2"), 0o755))
	p, err := build.New(t.Context(), o)
	must(t, err)
	defer p.Close()
	if _, _, err := p.Apply(t.Context(), nil); err == nil {
		t.Error("a directory was replaced")
	}
	left, err := os.ReadDir(o.Dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestBuildRefused is what cannot be built: it leaves no file.
func TestBuildRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(l *lab, o *build.Options)
		want   string
	}{
		{"unknown type", func(_ *lab, o *build.Options) { o.Types = []string{"raw", "floppy"} }, `unknown type "floppy" (known: raw, qcow2`},
		{"no directory", func(_ *lab, o *build.Options) { o.Dir = filepath.Join(o.Dir, "missing") }, "no such file or directory"},
		{"small disk", func(_ *lab, o *build.Options) { o.Size = 1 << 30 }, "the disk is too small: it has 1024 MiB"},
		{"composefs", func(_ *lab, o *build.Options) { o.Install.Kargs = []string{"composefs=1"} }, "--karg"},
		{"no image", func(_ *lab, o *build.Options) { o.Install.Source.Name += "x" }, "latestx"},
		{"sealed, with kernel arguments", func(l *lab, _ *build.Options) { v1().sealed("rw").save(l, "v1") }, "--karg and customizations.kernel.append cannot be used with a unified kernel image"},
		{"large image", func(l *lab, o *build.Options) {
			o.Size = 1539 << 20 // of which 512 MiB are the root's
			entries := v1().entries()
			for n := range 135_000 { // a block each
				entries = append(entries, imagestest.Entry{Name: fmt.Sprintf("var/spool/%d/", n)})
			}
			saveEntries(l, "v1", "v1", entries)
		}, "root file system of 512 MiB, for about 5"},
		{"no kernel", func(l *lab, _ *build.Options) {
			v1().with(spec{"usr/lib/modules/6.1/vmlinuz": "", "usr/lib/modules/6.1/initramfs.img": ""}).save(l, "v1")
		}, "has no kernel"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newStore(t)
			o := l.toBuild("raw", "qcow2")
			dir := o.Dir
			c.change(l, &o)
			p, err := build.New(t.Context(), o)
			if err == nil {
				defer p.Close()
				_, _, err = p.Apply(t.Context(), nil)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %q in it", err, c.want)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

// sealed is the image with a unified kernel image, as the content of which two sections
// are enough.
func (s spec) sealed(cmdline string) spec {
	image := imagestest.Program(runtime.GOARCH, [2]string{".linux", imagestest.Big("kernel", 600)}, [2]string{".cmdline", cmdline})
	return s.with(spec{"boot/EFI/Linux/os.efi": image})
}

// TestBuildSealed builds from an image with a unified kernel image, whose command
// line nothing can be added to.
func TestBuildSealed(t *testing.T) {
	l := newStore(t)
	defaults := spec{"usr/lib/bootc/install/a.toml": "[install]\nkargs = [\"console=ttyS0\"]\nkarg-deletes = [\"splash\"]\n"}
	o := l.toBuild("raw")
	o.Install.Kargs = nil
	apply := func(s spec) (bootc.ID, []string, error) {
		s.save(l, "v1")
		p, err := build.New(t.Context(), o)
		must(t, err)
		defer p.Close()
		return p.Apply(t.Context(), nil)
	}
	plain := v1().with(defaults)
	id, _, err := apply(plain)
	must(t, err)
	image := plain.sealed("rw console=ttyS0 composefs=" + string(id))
	got, files, err := apply(image)
	must(t, err)
	if got != id {
		t.Errorf("the deployment is %s, want %s", got, id)
	}
	to := filepath.Join(t.TempDir(), "os.efi")
	tell(t, "mcopy", "-Q", "-i", extract(t, files[0], "EFI-SYSTEM"), "::EFI/Linux/bootc/bootc_composefs-"+string(id)+".efi", to)
	if data, err := os.ReadFile(to); err != nil || string(data) != image["boot/EFI/Linux/os.efi"] {
		t.Errorf("the unified kernel image has %d bytes, %v", len(data), err)
	}
	for line, want := range map[string]string{"rw": `add the kernel argument "console=ttyS0"`, "splash console=ttyS0": `delete the kernel argument "splash"`} {
		if _, _, err := apply(plain.sealed(line + " composefs=" + string(id))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", line, err, want)
		}
	}
}
