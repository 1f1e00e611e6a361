package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/gpt"
)

// asProgram in the environment makes the test the program itself.
const asProgram = "BOOTC_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A workshop is a directory that every user can enter, with the program and an
// image.
type workshop struct {
	*testing.T
	dir string
}

func newWorkshop(t *testing.T, arch, loader string) *workshop {
	t.Helper()
	// The directories of testing are closed to others.
	dir, err := os.MkdirTemp("/var/tmp", "bootc-test-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	w := &workshop{t, dir}
	self, err := os.Executable()
	must(t, err)
	w.tool("cp", self, w.path("bootc"))
	must(t, os.MkdirAll(w.path("home/.config/containers"), 0o755))
	must(t, os.WriteFile(w.path("home/.config/containers/policy.json"), []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o644))
	must(t, os.WriteFile(w.path("keys"), []byte("ssh-ed25519 AAAA user@host\n"), 0o644))
	image := imagestest.New(imagestest.Options{Version: "1", Arch: arch}, imagestest.Layer{Entries: content(arch, loader), Compression: imagestest.Gzip})
	must(t, image.SaveLayout(w.path("os")))
	return w
}

// content is an image that can be booted, as far as a disk image shows, in more
// directories than one, and with what is easily lost on the way.
func content(arch, loader string) []imagestest.Entry {
	all := imagestest.Base()
	for _, d := range []string{"usr/lib/modules/", "usr/lib/modules/6.1/", "usr/lib/systemd/", "usr/lib/systemd/boot/", "usr/lib/systemd/boot/efi/", "usr/share/", "var/spool/"} {
		all = append(all, imagestest.Entry{Name: d})
	}
	all = append(all,
		imagestest.File("usr/lib/modules/6.1/vmlinuz", imagestest.Kernel("kernel", 900_000, arch)),
		imagestest.File("usr/lib/modules/6.1/initramfs.img", imagestest.Big("initrd", 2_000_000)),
		imagestest.File("usr/lib/os-release", "ID=lab\nVERSION_ID=1\nPRETTY_NAME=Lab\n"),
		imagestest.File(loader, "systemd-boot"),
		imagestest.Entry{Name: "etc/shadow", Body: "root:*\n", Mode: 0o640, Fraction: 123456789},
		imagestest.Entry{Name: "etc/shadow-too", Link: "etc/shadow", Hard: true},
		imagestest.Entry{Name: "etc/link", Link: "../usr/lib/os-release"},
		imagestest.Entry{Name: "var/spool/large", Body: imagestest.Big("spool", 70000), Mode: 0o4711},
	)
	for i := range 300 {
		all = append(all, imagestest.File(fmt.Sprintf("usr/share/%d", i), imagestest.Big(strconv.Itoa(i), 100*i)))
	}
	return all
}

func (w *workshop) path(name string) string { return filepath.Join(w.dir, name) }

// build makes disk images in a new directory, which begins as the user's own. The
// program is started by a shell script, to which "$@" is its command line.
func (w *workshop) build(name, script string, env []string, options ...string) string {
	w.Helper()
	out := w.path(name)
	must(w.T, os.MkdirAll(filepath.Join(out, "work"), 0o755))
	if os.Geteuid() == 0 {
		w.tool("chown", "-R", "65534:65534", out)
	}
	args := append([]string{
		"-euc", script, "sh", w.path("bootc"), "build-disk", "oci:" + w.path("os") + ":latest", "--target-imgref", "registry.example.com/os:stable",
		"--output", out, "--store", filepath.Join(out, "work", "store"), "--name", "disk", "--size", "2G", "--quiet", "--root-ssh-authorized-keys", w.path("keys"),
	}, options...)
	cmd := exec.CommandContext(w.Context(), "sh", args...)
	cmd.Env = append([]string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=" + w.path("home"), asProgram + "=1", "PLACE=" + out}, env...)
	if said, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("%s: %v\n%s", name, err, said)
	}
	return out
}

// tool runs a program of others, which must succeed.
func (w *workshop) tool(name string, args ...string) string {
	w.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if name = filepath.Join("/usr/sbin", name); exec.Command("test", "-x", name).Run() != nil {
			w.Skipf("%s is not installed", filepath.Base(name))
		}
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		w.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// as makes the workshop report to a part of its test.
func (w *workshop) as(t *testing.T) *workshop { return &workshop{t, w.dir} }

// partitions reads the table of a raw disk.
func (w *workshop) partitions(raw string) []gpt.Partition {
	w.Helper()
	f, err := os.Open(raw)
	must(w.T, err)
	defer f.Close()
	table, err := gpt.Read(f, 512, 2<<30)
	must(w.T, err)
	return table.Partitions
}

// extract copies the EFI system partition of a raw disk to a file.
func (w *workshop) extract(raw string) string {
	w.Helper()
	list := w.partitions(raw)
	p := list[slices.IndexFunc(list, func(p gpt.Partition) bool { return p.Name == "EFI-SYSTEM" })]
	to := filepath.Join(w.TempDir(), "esp")
	w.tool("dd", "if="+raw, "of="+to, "bs=1M", "iflag=skip_bytes,count_bytes",
		fmt.Sprintf("skip=%d", p.First*512), fmt.Sprintf("count=%d", (p.Last-p.First+1)*512), "conv=sparse", "status=none")
	return to
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// diskTypes are those that hold a disk.
const diskTypes = "raw,qcow2,qcow2-compressed,vmdk,vhd,vhd-fixed,vhdx,gce,ova,ami"

// strange runs the program as an ordinary user, without any device node, with one
// processor, the last that there is, and with its store and its temporary files on
// another file system, which lists names in another order.
const strange = `
	mount -t tmpfs -o mode=1777 none "$PLACE/work"
	mount -t tmpfs -o mode=0555 none /dev
	test -z "$(ls -A /dev)"
	umask 077
	exec setpriv --reuid 65534 --regid 65534 --clear-groups taskset -c "$PROCESSOR" "$@"`

// TestBuildDisk makes every type of disk image twice: by who runs the test, and as
// strange says. All bytes are the same, and programs of others judge them.
func TestBuildDisk(t *testing.T) {
	w := newWorkshop(t, "amd64", "usr/lib/systemd/boot/efi/systemd-bootx64.efi")
	const epoch = "SOURCE_DATE_EPOCH=1700000000"
	options := []string{"--arch", "amd64", "--type", diskTypes}
	first := w.build("first", `exec "$@"`, []string{epoch, "GOMAXPROCS=7"}, options...)
	script, env := strange, []string{epoch, "TZ=Asia/Tokyo", "LC_ALL=C.UTF-8", "TMPDIR=" + w.path("second/work"), "PROCESSOR=" + lastProcessor(t)}
	if os.Geteuid() == 0 {
		script = "exec unshare --mount --propagation private -- sh -euc '" + script + `' sh "$@"`
	} else {
		t.Log("not run as root: by the same user, with devices, on the same file system")
		script = `umask 077; exec taskset -c "$PROCESSOR" "$@"`
	}
	second := w.build("second", script, env, options...)
	compare(w, first, second)
	judge(w, second)
	if other := w.build("other", `exec "$@"`, []string{"SOURCE_DATE_EPOCH=1700000001"}, "--arch", "amd64", "--type", "qcow2"); sameFile(t, filepath.Join(first, "disk.qcow2"), filepath.Join(other, "disk.qcow2")) {
		t.Error("another time gave the same bytes")
	}
}

// lastProcessor is the last processor that this process may use.
func lastProcessor(t *testing.T) string {
	t.Helper()
	var set unix.CPUSet
	must(t, unix.SchedGetaffinity(0, &set))
	last := 0
	for i := range 1024 {
		if set.IsSet(i) {
			last = i
		}
	}
	return strconv.Itoa(last)
}

// compare compares the files of two directories.
func compare(w *workshop, first, second string) {
	w.Helper()
	want, err := filepath.Glob(filepath.Join(first, "disk.*"))
	must(w.T, err)
	got, err := filepath.Glob(filepath.Join(second, "disk.*"))
	must(w.T, err)
	if len(want) != strings.Count(diskTypes, ",")+2 || len(got) != len(want) {
		w.Fatalf("files %q and %q", want, got)
	}
	for _, path := range want {
		other := filepath.Join(second, filepath.Base(path))
		if st, err := os.Stat(path); err == nil && st.Size() > 1<<30 { // QEMU knows of holes
			w.tool("qemu-img", "compare", "-q", "-f", "raw", "-F", "raw", path, other)
			continue
		}
		if !sameFile(w.T, path, other) {
			w.Errorf("%s: other bytes", filepath.Base(path))
		}
	}
}

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	x, err := os.ReadFile(a)
	must(t, err)
	y, err := os.ReadFile(b)
	must(t, err)
	return bytes.Equal(x, y)
}

// judge has programs of others look at the disk, and compare it in all formats.
func judge(w *workshop, dir string) {
	raw := filepath.Join(dir, "disk.raw")
	for name, check := range map[string]func(w *workshop){
		"sfdisk": func(w *workshop) { w.wantIn(w.tool("sfdisk", "--verify", raw), "No errors detected") },
		"sgdisk": func(w *workshop) { w.wantIn(w.tool("sgdisk", "--verify", raw), "No problems found") },
		"fsck":   func(w *workshop) { w.tool("fsck.fat", "-n", w.extract(raw)) },
		"e2fsck": func(w *workshop) {
			list := w.partitions(raw)
			if out := w.tool("e2fsck", "-f", "-n", fmt.Sprintf("%s?offset=%d", raw, list[len(list)-1].First*512)); strings.Contains(out, "? no") {
				w.Error(out)
			}
		},
		"qcow2":      func(w *workshop) { w.wantDisk(raw, filepath.Join(dir, "disk.qcow2"), "qcow2") },
		"compressed": func(w *workshop) { w.wantDisk(raw, filepath.Join(dir, "disk.compressed.qcow2"), "qcow2") },
		"vmdk":       func(w *workshop) { w.wantDisk(raw, filepath.Join(dir, "disk.vmdk"), "vmdk") },
		"vhd":        func(w *workshop) { w.wantDisk(raw, filepath.Join(dir, "disk.vhd"), "vpc") },
		"vhd-fixed":  func(w *workshop) { w.wantDisk(raw, filepath.Join(dir, "disk.fixed.vhd"), "vpc") },
		"vhdx":       func(w *workshop) { w.wantDisk(raw, filepath.Join(dir, "disk.vhdx"), "vhdx") },
		"ami":        func(w *workshop) { w.wantDisk(raw, filepath.Join(dir, "disk.ami.raw"), "raw") },
		"gce": func(w *workshop) {
			w.tool("sh", "-c", "tar -xOf '"+filepath.Join(dir, "disk.tar.gz")+"' disk.raw | cmp - '"+raw+"'")
		},
		"ova": func(w *workshop) {
			to := w.TempDir()
			w.tool("tar", "-xf", filepath.Join(dir, "disk.ova"), "-C", to)
			w.wantDisk(raw, filepath.Join(to, "disk.vmdk"), "vmdk")
		},
	} {
		w.Run(name, func(t *testing.T) { check(w.as(t)) })
	}
}

// wantDisk has QEMU check a disk image, and compare the disk.
func (w *workshop) wantDisk(raw, file, format string) {
	w.Helper()
	switch format {
	case "qcow2", "vmdk", "vhdx": // of the others there is nothing to check
		w.tool("qemu-img", "check", "-q", "-f", format, file)
	}
	w.tool("qemu-img", "compare", "-q", "-f", "raw", "-F", format, raw, file)
}

func (w *workshop) wantIn(text, want string) {
	w.Helper()
	if !strings.Contains(text, want) {
		w.Errorf("%q is not in:\n%s", want, text)
	}
}

// TestBuildDiskArm64 builds from an image for another architecture, of which nothing
// is executed: its programs are noise.
func TestBuildDiskArm64(t *testing.T) {
	w := newWorkshop(t, "arm64", "usr/lib/systemd/boot/efi/systemd-bootaa64.efi")
	raw := filepath.Join(w.build("out", `exec "$@"`, nil, "--arch", "arm64"), "disk.raw")
	var disk struct {
		PartitionTable struct {
			Partitions []struct{ Name, Type string }
		}
	}
	must(t, json.Unmarshal([]byte(w.tool("sfdisk", "--json", raw)), &disk))
	types := map[string]string{}
	for _, p := range disk.PartitionTable.Partitions {
		types[p.Name] = p.Type
	}
	// The types of the specification of discoverable partitions.
	want := map[string]string{"EFI-SYSTEM": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "root": "B921B045-1DF0-41C3-AF44-4C6F280D3FAE"}
	if diff := cmp.Diff(want, types); diff != "" {
		t.Errorf("partitions (-want +got):\n%s", diff)
	}
	esp := w.extract(raw)
	for _, name := range []string{"EFI/BOOT/BOOTAA64.EFI", "EFI/systemd/systemd-bootaa64.efi"} {
		if got := w.tool("mtype", "-i", esp, "::"+name); got != "systemd-boot" {
			t.Errorf("%s is %q", name, got)
		}
	}
	w.wantIn(w.tool("sh", "-c", "mdir -b -i '"+esp+"' ::loader/entries; mtype -i '"+esp+"' ::loader/entries/*.conf"), "linux /EFI/Linux/bootc_composefs-")
}
