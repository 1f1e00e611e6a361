package boot_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/bls"
	"github.com/bootc-go/bootc/internal/format/osrelease"
	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/boot/boottest"
)

var ctx = context.Background()

// record is what a machine of upstream had on its EFI system partition: text
// files by name.
func record(t *testing.T, moment string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(path.Join("testdata", moment+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for part := range strings.SplitSeq(string(data), "=== ") {
		if name, text, ok := strings.Cut(part, "\n"); ok {
			all[name] = text
		}
	}
	return all
}

func openRoot(t *testing.T) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func write(t *testing.T, root *os.Root, name, text string) {
	t.Helper()
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := root.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tree lists the files below a directory with their content.
func tree(t *testing.T, root *os.Root, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(root.FS(), dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := root.ReadFile(name)
		all[strings.TrimPrefix(name, dir+"/")] = string(data)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return all
}

func texts(s ...string) map[string]string {
	all := map[string]string{}
	for i := 0; i < len(s); i += 2 {
		all[s[i]] = s[i+1]
	}
	return all
}

// TestNewEntry compares with the entries that upstream wrote.
func TestNewEntry(t *testing.T) {
	const (
		a  = "a105e796a455d5a49486f750313836f6520137c87d6cee987905b92acad67f97849e0bbfdb871462a7d23fc4b2bb8f74331ae2579e83c654dbb393ac53027839"
		v3 = "615446fdfd987007fb1ebbbaee2de90a965a50eed92f02b499ad9f97a7e0e2897482fde175d196440f78181ca0b7921ca270708a8a41774748624dc8eb72b874"
		u  = "5db1f0978bad07ace5cc0fbb679116e12e55b4303f3f18cacecb45dd49123b921a351ba0484ba84994bd064024704a8be8fe9c32f64cdb5a8ed3f6de074af3be"
	)
	debian := osrelease.Release{ID: "debian", VersionID: "13", Version: "13 (trixie)", PrettyName: "Debian GNU/Linux 13 (trixie)"}
	debian139 := debian
	debian139.VersionID = "13.9"
	kernel := func(id string) boot.Artefacts {
		d := "/EFI/Linux/bootc_composefs-" + id
		return boot.Artefacts{Linux: d + "/vmlinuz", Initrd: d + "/initrd"}
	}
	for _, test := range []struct {
		moment, file string
		release      osrelease.Release
		artefacts    boot.Artefacts
		options      string
	}{
		{"1-installed-v1", "bootc_debian-13-1.conf", debian, kernel(a),
			"rw lab.installkarg=1 composefs=" + a + " console=ttyS0,115200n8 lab.common=1 lab.kargsd=v1"},
		{"5-booted-v3", "bootc_debian-13.9-1.conf", debian139, kernel(v3),
			"rw lab.installkarg=1 composefs=" + v3 + " console=ttyS0,115200n8 lab.common=1 lab.kargsd=v3"},
		{"6-uki-installed", "bootc_debian-13-1.conf", debian, boot.Artefacts{UKI: "/EFI/Linux/bootc/bootc_composefs-" + u + ".efi"}, "not used"},
	} {
		want := record(t, test.moment)["loader/entries/"+test.file]
		e := boot.NewEntry(a, test.release, test.artefacts, test.options)
		if e.Name.String() != test.file || string(e.Bytes()) != want {
			t.Errorf("%s: NewEntry = %s:\n%s", test.moment, e.Name, cmp.Diff(want, string(e.Bytes())))
		}
	}
}

// TestNewEntryOddRelease uses texts that do not fit into file names.
func TestNewEntryOddRelease(t *testing.T) {
	id := bootc.ID(strings.Repeat("ab", 64))
	for _, test := range []struct {
		release        osrelease.Release
		file, key, top string
	}{
		{osrelease.Release{}, "bootc_linux-abababababab-1.conf", "bootc-linux-0", "title Linux\nversion abababababab\n"},
		{osrelease.Release{ID: "opensuse-leap", VersionID: "15.6"}, "bootc_opensuse_leap-15.6-1.conf", "bootc-opensuse-leap-0", "title Linux\nversion 15.6\n"},
		{osrelease.Release{ID: "arch", BuildID: "rolling"}, "bootc_arch-rolling-1.conf", "bootc-arch-0", "title Linux\nversion rolling\n"},
		// A plus would begin a boot counter.
		{osrelease.Release{ID: "x", VersionID: "13+5"}, "bootc_x-13_5-1.conf", "bootc-x-0", "title Linux\nversion 13+5\n"},
		{osrelease.Release{ID: "../x", Version: "1/2 \"a\"", PrettyName: "A\nlinux /evil"}, "bootc_.._x-1_2__a_-1.conf", "bootc-.._x-0", "title A linux /evil\nversion 1/2 \"a\"\n"},
	} {
		e := boot.NewEntry(id, test.release, boot.Artefacts{Linux: "/l", Initrd: "/i"}, "")
		if got := e.Name.String(); got != test.file {
			t.Errorf("%+v: name %q, want %q", test.release, got, test.file)
		}
		if got := e.Get("sort-key"); got != test.key {
			t.Errorf("%+v: sort-key %q, want %q", test.release, got, test.key)
		}
		if got := string(e.Bytes()); !strings.HasPrefix(got, test.top+"linux /l\ninitrd /i\nsort-key ") {
			t.Errorf("%+v: text %q", test.release, got)
		}
		if n, err := bls.ParseName(e.Name.String()); err != nil || n != e.Name {
			t.Errorf("%+v: name is read back as %+v, %v", test.release, n, err)
		}
	}
}

// TestEntriesOfUpstream reads the partitions of a machine of upstream.
func TestEntriesOfUpstream(t *testing.T) {
	for _, test := range []struct {
		moment          string
		entries, staged []string
	}{
		{"1-installed-v1", []string{"bootc_debian-13-1.conf a105e796a455"}, nil},
		{"2-staged-v2", []string{"bootc_debian-13-1.conf a105e796a455"}, []string{"bootc_debian-13-1.conf 26ff2a1b0a55", "bootc_debian-13-0.conf a105e796a455"}},
		{"3-booted-v2", []string{"bootc_debian-13-1.conf 26ff2a1b0a55", "bootc_debian-13-0.conf a105e796a455"}, nil},
		{"4-booted-after-rollback", []string{"bootc_bootc-13-1.conf a105e796a455", "bootc_bootc-13-0.conf 26ff2a1b0a55"}, nil},
		{"5-booted-v3", []string{"bootc_debian-13.9-1.conf 615446fdfd98", "bootc_debian-13-0.conf a105e796a455"}, nil},
		{"6-uki-installed", []string{"bootc_debian-13-1.conf 5db1f0978bad"}, nil},
	} {
		root := openRoot(t)
		for name, text := range record(t, test.moment) {
			write(t, root, name, text)
			if _, image, ok := strings.Cut(text, "\nefi /"); ok {
				image, _, _ = strings.Cut(image, "\n")
				id := strings.TrimSuffix(path.Base(image), ".efi")[len("bootc_composefs-"):]
				write(t, root, image, string(makeUKI(system{id: bootc.ID(id), kernel: "k"})))
			}
		}
		l := boot.New(root)
		if got := list(t, l.Entries); !cmp.Equal(got, test.entries) {
			t.Errorf("%s: entries %v, want %v", test.moment, got, test.entries)
		}
		if got := list(t, l.StagedEntries); !cmp.Equal(got, test.staged) {
			t.Errorf("%s: staged entries %v, want %v", test.moment, got, test.staged)
		}
	}
}

func list(t *testing.T, read func() ([]boot.Entry, error)) []string {
	t.Helper()
	entries, err := read()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name.String()+" "+e.ID.Short())
	}
	return all
}

// machineOfOurs has two deployments and foreign files.
func machineOfOurs(t *testing.T) (*os.Root, *boot.SystemdBoot) {
	t.Helper()
	root := openRoot(t)
	return root, setUp(t, root)
}

// setUp installs v1 on a partition and upgrades it to v3, beside entries of others.
func setUp(t *testing.T, root *os.Root) *boot.SystemdBoot {
	t.Helper()
	l := boot.New(root)
	if err := l.Install(ctx, content([]byte("systemd-boot")), []string{"EFI/systemd/systemd-bootx64.efi", "EFI/BOOT/BOOTX64.EFI"}); err != nil {
		t.Fatal(err)
	}
	c := func(s system, osID string) bls.Entry {
		a, err := l.WriteKernel(ctx, s.id, content(s.linux()), content(s.initrd()))
		if err != nil {
			t.Fatal(err)
		}
		return boot.NewEntry(s.id, osrelease.Release{ID: osID, VersionID: "1", PrettyName: osID}, a, "rw composefs="+string(s.id))
	}
	if err := l.WriteFirst(c(v1, "debian")); err != nil {
		t.Fatal(err)
	}
	write(t, root, "loader/entries/memtest+2.conf", "efi  /memtest.efi\n# by hand\n")
	write(t, root, "loader/entries/zz-rescue.conf", "title Rescue\nlinux /EFI/Linux/bootc_composefs-"+string(v1.id)+"/vmlinuz\noptions composefs="+string(v1.id)+"\n")
	if err := l.StageEntries(c(v3, "fedora"), v1.id); err != nil {
		t.Fatal(err)
	}
	if err := l.SwitchEntries(); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestInstall looks at the whole partition of a machine that was installed and
// upgraded from one system to another.
func TestInstall(t *testing.T) {
	root, l := machineOfOurs(t)
	d1, d3 := "EFI/Linux/bootc_composefs-"+string(v1.id), "EFI/Linux/bootc_composefs-"+string(v3.id)
	want := texts(
		"EFI/BOOT/BOOTX64.EFI", "systemd-boot",
		"EFI/systemd/systemd-bootx64.efi", "systemd-boot",
		"loader/entries.srel", "type1\n",
		"loader/loader.conf", "#timeout 3\n#console-mode keep\n",
		d1+"/vmlinuz", string(v1.linux()), d1+"/initrd", string(v1.initrd()),
		d3+"/vmlinuz", string(v3.linux()), d3+"/initrd", string(v3.initrd()),
		"loader/entries/bootc_fedora-1-1.conf", "title fedora\nversion 1\nlinux /"+d3+"/vmlinuz\ninitrd /"+d3+"/initrd\noptions rw composefs="+string(v3.id)+"\nsort-key bootc-fedora-0\n",
		// The second one has the sort-key of the first: debian comes before
		// fedora.
		"loader/entries/bootc_debian-1-0.conf", "title debian\nversion 1\nlinux /"+d1+"/vmlinuz\ninitrd /"+d1+"/initrd\noptions rw composefs="+string(v1.id)+"\nsort-key bootc-fedora-1\n",
		"loader/entries/memtest+2.conf", "efi  /memtest.efi\n# by hand\n",
		"loader/entries/zz-rescue.conf", "title Rescue\nlinux /"+d1+"/vmlinuz\noptions composefs="+string(v1.id)+"\n",
	)
	if diff := cmp.Diff(want, tree(t, root, ".")); diff != "" {
		t.Errorf("partition (-want +got):\n%s", diff)
	}
	for _, name := range []string{"loader/entries.staged", "loader/entries.next"} {
		if _, err := root.Stat(name); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	// A second run changes nothing.
	before := tree(t, root, ".")
	if err := l.Install(ctx, content([]byte("systemd-boot")), []string{"EFI/BOOT/BOOTX64.EFI"}); err != nil {
		t.Error(err)
	}
	if err := l.Recover(""); err != nil {
		t.Error(err)
	}
	if err := l.Collect(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(before, tree(t, root, ".")); diff != "" {
		t.Errorf("running again changed (-want +got):\n%s", diff)
	}
}

// TestMakeFirst swaps two deployments twice.
func TestMakeFirst(t *testing.T) {
	root, l := machineOfOurs(t)
	before := tree(t, root, "loader/entries")
	want := [][]string{
		{"bootc_debian-1-1.conf 111111111111", "bootc_fedora-1-0.conf 333333333333"},
		{"bootc_debian-1-1.conf 111111111111", "bootc_fedora-1-0.conf 333333333333"},
		{"bootc_fedora-1-1.conf 333333333333", "bootc_debian-1-0.conf 111111111111"},
	}
	for i, id := range []bootc.ID{v1.id, v1.id, v3.id} {
		if err := l.MakeFirst(id); err != nil {
			t.Fatal(err)
		}
		if got := list(t, l.Entries)[:2]; !cmp.Equal(got, want[i]) {
			t.Errorf("step %d: %v, want %v", i, got, want[i])
		}
	}
	if diff := cmp.Diff(before, tree(t, root, "loader/entries")); diff != "" {
		t.Errorf("back and forth (-want +got):\n%s", diff)
	}
	err := l.MakeFirst(v4.id)
	if err == nil || err.Error() != "deployment 444444444444 has no boot entry" {
		t.Errorf("MakeFirst of an unknown deployment: %v", err)
	}
	if diff := cmp.Diff(before, tree(t, root, "loader/entries")); diff != "" {
		t.Errorf("an error changed (-want +got):\n%s", diff)
	}
}

// TestMakeFirstOfAny needs no exact number of entries.
func TestMakeFirstOfAny(t *testing.T) {
	root := openRoot(t)
	l := boot.New(root)
	ids := []bootc.ID{v1.id, v2.id, v3.id, v4.id}
	for i, id := range ids {
		name := "loader/entries/bootc_bootc-13-" + string(rune('0'+i)) + ".conf"
		write(t, root, name, "version 13\nlinux /l\nx-unknown kept\noptions composefs="+string(id)+"\nsort-key bootc-bootc-"+string(rune('0'+i))+"\n")
	}
	if err := l.MakeFirst(v3.id); err != nil {
		t.Fatal(err)
	}
	want := []string{"bootc_bootc-13-1.conf 333333333333", "bootc_bootc-13-0.conf 111111111111", "bootc_bootc-13_2-0.conf 222222222222", "bootc_bootc-13_3-0.conf 444444444444"}
	if got := list(t, l.Entries); !cmp.Equal(got, want) {
		t.Errorf("entries %v, want %v", got, want)
	}
	for name, text := range tree(t, root, "loader/entries") {
		if !strings.Contains(text, "x-unknown kept\n") {
			t.Errorf("%s: the unknown key is gone", name)
		}
	}
}

// TestCounters keeps the tries of an entry through a switch, as they are at
// that moment.
func TestCounters(t *testing.T) {
	root, l := machineOfOurs(t)
	rename := func(from, to string) {
		t.Helper()
		if err := root.Rename("loader/entries/"+from, "loader/entries/"+to); err != nil {
			t.Fatal(err)
		}
	}
	rename("bootc_fedora-1-1.conf", "bootc_fedora-1-1+2-1.conf")
	a, err := l.WriteKernel(ctx, v4.id, content(v4.linux()), content(v4.initrd()))
	if err != nil {
		t.Fatal(err)
	}
	e := boot.OnTrial(boot.NewEntry(v4.id, osrelease.Release{ID: "fedora", VersionID: "2"}, a, "composefs="+string(v4.id)))
	if err := l.StageEntries(e, v3.id); err != nil {
		t.Fatal(err)
	}
	want := []string{"bootc_fedora-2-1+3.conf 444444444444", "bootc_fedora-1-0+2-1.conf 333333333333"}
	if got := list(t, l.StagedEntries)[:2]; !cmp.Equal(got, want) {
		t.Errorf("staged %v, want %v", got, want)
	}
	rename("bootc_fedora-1-1+2-1.conf", "bootc_fedora-1-1.conf") // it was found good
	if err := l.SwitchEntries(); err != nil {
		t.Fatal(err)
	}
	want = []string{"bootc_fedora-2-1+3.conf 444444444444", "bootc_fedora-1-0.conf 333333333333"}
	if got := list(t, l.Entries)[:2]; !cmp.Equal(got, want) {
		t.Errorf("switched %v, want %v", got, want)
	}
	// An entry that the loader has given up on can be chosen again.
	rename("bootc_fedora-2-1+3.conf", "bootc_fedora-2-1+0-3.conf")
	if got := list(t, l.Entries); got[len(got)-1] != "bootc_fedora-2-1+0-3.conf 444444444444" {
		t.Errorf("order with an entry that failed: %v", got)
	}
	if err := l.MakeFirst(v4.id); err != nil {
		t.Fatal(err)
	}
	if got := list(t, l.Entries)[0]; got != "bootc_fedora-2-1+3.conf 444444444444" {
		t.Errorf("first is %s", got)
	}
}

// TestSharedKernel shares a directory named after another deployment, and keeps
// it as long as an entry names it.
func TestSharedKernel(t *testing.T) {
	root, l := machineOfOurs(t)
	stage := func(s system) string {
		t.Helper()
		a, err := l.WriteKernel(ctx, s.id, content(s.linux()), content(s.initrd()))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.StageEntries(boot.NewEntry(s.id, osrelease.Release{ID: "fedora"}, a, "composefs="+string(s.id)), v3.id); err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(path.Dir(a.Linux), "/EFI/Linux/bootc_composefs-")
	}
	if got := stage(v2); got != string(v1.id) { // v1's kernel
		t.Errorf("the kernel is in %.8s…, want it shared with v1", got)
	}
	if err := root.Remove("loader/entries/zz-rescue.conf"); err != nil {
		t.Fatal(err)
	}
	if err := l.SwitchEntries(); err != nil { // v2 and v3; v1 goes
		t.Fatal(err)
	}
	if err := l.Collect(); err != nil {
		t.Fatal(err)
	}
	kept := tree(t, root, "EFI/Linux/bootc_composefs-"+string(v1.id))
	if diff := cmp.Diff(texts("vmlinuz", string(v2.linux()), "initrd", string(v2.initrd())), kept); diff != "" {
		t.Errorf("the shared kernel (-want +got):\n%s", diff)
	}
	// A kernel on the partition that was damaged is not shared, nor overwritten.
	write(t, root, "EFI/Linux/bootc_composefs-"+string(v1.id)+"/vmlinuz", "damaged")
	if got := stage(v1); got != string(v1.id)+".1" {
		t.Errorf("the kernel is in %.8s…, want a directory of its own", got)
	}
}

// TestCollect removes only what is surely ours and unused.
func TestCollect(t *testing.T) {
	root, l := machineOfOurs(t)
	id := strings.Repeat("9", 128)
	gone := []string{
		"EFI/Linux/bootc_composefs-" + id + "/vmlinuz",
		"EFI/Linux/bootc_composefs-" + id + "/initrd",
		"EFI/Linux/bootc_composefs-" + string(v3.id)[:127] + "/vmlinuz", // no whole name
		"EFI/Linux/bootc/bootc_composefs-" + id + ".efi",
		"EFI/Linux/bootc/bootc_composefs-" + id + ".efi.extra.d/a.addon.efi",
		"loader/entries.next/bootc_x-1-1.conf",
	}
	kept := []string{
		"EFI/Linux/bootc_composefs-" + id + "8/vmlinuz",
		"EFI/Linux/bootc_composefs-" + id + "8/notes.txt", // not ours
		"EFI/Linux/linux.efi",
		"EFI/Linux/other/vmlinuz",
		"EFI/Linux/bootc/bootc_composefs-" + strings.Repeat("8", 128) + ".efi",
		"EFI/Linux/bootc/bootc_composefs-" + strings.Repeat("8", 128) + ".efi.extra.d/a.addon.efi",
		"EFI/Linux/bootc/other.efi",
	}
	write(t, root, "loader/entries/hand.conf", "efi \\EFI\\linux\\BOOTC\\bootc_composefs-"+strings.Repeat("8", 128)+".EFI\n")
	before := tree(t, root, ".")
	for _, name := range gone {
		write(t, root, name, name)
	}
	for _, name := range kept {
		write(t, root, name, name)
		before[name] = name
	}
	if err := l.Collect(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, tree(t, root, ".")); diff != "" {
		t.Errorf("after Collect (-want +got):\n%s", diff)
	}
}

// TestAlias meets both names of one directory after a torn exchange. A real
// file system cannot have that; equal contents stand for it.
func TestAlias(t *testing.T) {
	root, l := machineOfOurs(t)
	for name, text := range tree(t, root, "loader/entries") {
		write(t, root, "loader/entries.next/"+name, text)
	}
	want := tree(t, root, "loader/entries")
	if err := l.Recover(""); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, tree(t, root, "loader/entries.torn-1")); diff != "" {
		t.Errorf("set aside (-want +got):\n%s", diff)
	}
	if err := l.MakeFirst(v1.id); err != nil { // the old entries equal those set aside
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, tree(t, root, "loader/entries.torn-2")); diff != "" {
		t.Errorf("set aside the second time (-want +got):\n%s", diff)
	}
}

// TestRefusals are errors that change nothing.
func TestRefusals(t *testing.T) {
	root, l := machineOfOurs(t)
	before := tree(t, root, ".")
	broken := boot.File{Size: 10, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("short")), nil }}
	turns := 0
	changing := boot.File{Size: 4, Open: func() (io.ReadCloser, error) {
		turns++
		return io.NopCloser(strings.NewReader(strings.Repeat("x", 3+turns))), nil
	}}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, test := range []struct {
		name string
		do   func() error
		want string
	}{
		{"nothing staged", l.SwitchEntries, "no boot entries are staged"},
		{"unknown deployment stays", func() error { return l.StageEntries(bls.Entry{}, v4.id) }, "deployment 444444444444 has no boot entry"},
		{"short source", func() error {
			_, err := l.WriteKernel(ctx, v4.id, content([]byte("k")), broken)
			return err
		}, "source has 5 bytes or more where 10 were expected"},
		{"source changes", func() error {
			_, err := l.WriteKernel(ctx, v4.id, changing, content([]byte("i")))
			return err
		}, "writing EFI/Linux/bootc_composefs-" + string(v4.id) + "/vmlinuz: source has 5 bytes or more where 4 were expected"},
		{"cancelled", func() error {
			_, err := l.WriteKernel(ended, v4.id, content([]byte("k")), content([]byte("i")))
			return err
		}, "writing EFI/Linux/bootc_composefs-" + string(v4.id) + "/vmlinuz: context canceled"},
		{"not a UKI", func() error {
			_, err := l.WriteUKI(ctx, v4.id, content(bytes.Repeat([]byte("x"), 99)))
			return err
		}, "not a unified kernel image: it does not begin with MZ"},
		{"addon leaves its directory", func() error {
			_, err := l.WriteUKI(ctx, v5.id, content(makeUKI(v5)), boot.Named{Name: "../x.addon.efi", File: content(nil)})
			return err
		}, `"../x.addon.efi" is not the name of an addon (want *.addon.efi)`},
	} {
		err := test.do()
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
		if diff := cmp.Diff(before, tree(t, root, ".")); diff != "" {
			t.Errorf("%s: changed (-want +got):\n%s", test.name, diff)
		}
	}
}

// TestSwitchChecksPaths refuses staged entries whose kernel is gone.
func TestSwitchChecksPaths(t *testing.T) {
	root, l := machineOfOurs(t)
	a, err := l.WriteKernel(ctx, v4.id, content(v4.linux()), content(v4.initrd()))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.StageEntries(boot.NewEntry(v4.id, osrelease.Release{}, a, "composefs="+string(v4.id)), v3.id); err != nil {
		t.Fatal(err)
	}
	if err := root.Remove(a.Initrd[1:]); err != nil {
		t.Fatal(err)
	}
	before := tree(t, root, "loader")
	err = l.SwitchEntries()
	if want := `boot entry bootc_linux-444444444444-1.conf names "` + a.Initrd + `", which is not on the ESP`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
	if diff := cmp.Diff(before, tree(t, root, "loader")); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
}

// TestUKI writes an image with addons, and finds it again.
func TestUKI(t *testing.T) {
	root, l := machineOfOurs(t)
	addon := boot.Named{Name: "console.addon.efi", File: content([]byte("addon"))}
	a, err := l.WriteUKI(ctx, v5.id, content(makeUKI(v5)), addon)
	if err != nil {
		t.Fatal(err)
	}
	same, err := l.WriteKernel(ctx, v4.id, content(v5.linux()), content(v5.initrd()))
	if err != nil {
		t.Fatal(err)
	}
	if a.Digest != same.Digest || len(a.Digest) != 64 {
		t.Errorf("digest %s, want that of the same kernel and initrd, %s", a.Digest, same.Digest)
	}
	if a, err = l.WriteUKI(ctx, v5.id, content(makeUKI(v5)), addon); err != nil {
		t.Fatal(err)
	}
	if err := l.StageEntries(boot.NewEntry(v5.id, osrelease.Release{}, a, ""), v3.id); err != nil {
		t.Fatal(err)
	}
	if err := l.SwitchEntries(); err != nil {
		t.Fatal(err)
	}
	entries, err := l.Entries()
	if err != nil || entries[0].ID != v5.id || entries[0].Options() != "" || entries[0].Cmdline != "rw composefs="+string(v5.id) {
		t.Errorf("first entry: %+v, %v", entries[0], err)
	}
	before := tree(t, root, "EFI/Linux/bootc")
	name := path.Base(a.UKI)
	if diff := cmp.Diff(texts(name, string(makeUKI(v5)), name+".extra.d/console.addon.efi", "addon"), before); diff != "" {
		t.Errorf("UKI (-want +got):\n%s", diff)
	}
	again, err := l.WriteUKI(ctx, v5.id, content(makeUKI(v5)), addon)
	if err != nil || again.UKI != a.UKI {
		t.Errorf("written again as %s, %v", again.UKI, err)
	}
	if diff := cmp.Diff(before, tree(t, root, "EFI/Linux/bootc")); diff != "" {
		t.Errorf("written again (-want +got):\n%s", diff)
	}
}

// TestNoRoom checks before it writes.
func TestNoRoom(t *testing.T) {
	f := boottest.New(100)
	c := &computer{fat: f}
	if err := c.install(v1); err != nil {
		t.Fatal(err)
	}
	free, _, _ := f.Room()
	_, err := c.loader().WriteKernel(ctx, v4.id, content(make([]byte, 50*boottest.ClusterSize-1)), content(nil))
	var room *boot.RoomError
	if !errors.As(err, &room) || room.Free != free || room.Needed != (50+1+24+4)*boottest.ClusterSize {
		t.Errorf("error %v, want the kernel, its directory, two sets of entries and what is spare", err)
	}
	if after, _, _ := f.Room(); after != free {
		t.Errorf("%d bytes free, before %d", after, free)
	}
	want := "no room on the ESP: 12 MiB free, 97 MiB needed"
	if got := (&boot.RoomError{Free: 13<<20 - 1, Needed: 96<<20 + 1}).Error(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestKeys copies signature lists for enrolment.
func TestKeys(t *testing.T) {
	root, l := machineOfOurs(t)
	for range 2 {
		err := l.InstallKeys(ctx, "auto", []boot.Named{{Name: "PK.auth", File: content([]byte("pk"))}, {Name: "db.auth", File: content([]byte("db"))}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(texts("auto/PK.auth", "pk", "auto/db.auth", "db"), tree(t, root, "loader/keys")); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func TestBinaries(t *testing.T) {
	source, targets, err := boot.Binaries("arm64")
	if err != nil || source != "/usr/lib/systemd/boot/efi/systemd-bootaa64.efi" ||
		!cmp.Equal(targets, []string{"EFI/systemd/systemd-bootaa64.efi", "EFI/BOOT/BOOTAA64.EFI"}) {
		t.Errorf("Binaries(arm64) = %s, %v, %v", source, targets, err)
	}
	if _, _, err := boot.Binaries("s390x"); err == nil {
		t.Error("Binaries(s390x): no error")
	}
}
