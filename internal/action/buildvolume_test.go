package action_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/build"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/gpt"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

const divided = `
[[customizations.disk.partitions]]
mountpoint = "/var/spool"
minsize = "64 MiB"

[[customizations.disk.partitions]]
mountpoint = "/var/spool/inner/deep"
minsize = "20 MiB"
label = "inner"

[[customizations.disk.partitions]]
fs_type = "swap"
minsize = "100 MiB"

[[customizations.disk.partitions]]
mountpoint = "/var/exchange"
fs_type = "vfat"
minsize = "40 MiB"
label = "EXCHANGE"

[[customizations.directories]]
path = "/var/spool/inner/deep"
mode = "0750"
ensure_parents = true

[[customizations.directories]]
path = "/var/exchange/in"
ensure_parents = true

[[customizations.files]]
path = "/var/spool/inner/deep/file"
data = "deep"

[[customizations.files]]
path = "/var/exchange/in/Some File.txt"
data = "exchange"
`

// saveSpool saves an image with something in /var, an fstab and a policy.
func saveSpool(l *lab) {
	s := v1().policy("/.* file_t\n/var(/.*)? var_t\n/var/spool(/.*)? spool_t\n").with(spec{"etc/fstab": "# nothing"})
	saveEntries(l, "v1", "v1", append(s.entries(), imagestest.Entry{Name: "var/spool/", Mode: 0o1777},
		imagestest.Entry{Name: "var/spool/large", Body: imagestest.Big("spool", 70000), Mode: 0o600}))
}

// TestBuildVolumes has further partitions looked at by the programs of others.
func TestBuildVolumes(t *testing.T) {
	l := newStore(t)
	saveSpool(l)
	o := l.customize(divided, "raw")
	p, err := build.New(t.Context(), o)
	must(t, err)
	defer p.Close()
	for _, want := range []string{"var-spool", "inner", "100 MiB  swap", "  /var/exchange\n", "  /var/spool/inner/deep\n"} {
		if !strings.Contains(p.String(), want) {
			t.Errorf("the plan is\n%s, want %q in it", p, want)
		}
	}
	id, files, err := p.Apply(t.Context(), nil)
	must(t, err)
	raw := files[0]
	if out := tell(t, "sfdisk", "--verify", raw); !strings.Contains(out, "No errors detected") {
		t.Errorf("sfdisk: %s", out)
	}
	var names []string
	for _, part := range partitions(t, raw) {
		names = append(names, part.Name)
		if want := map[string]gpt.GUID{"swap": gpt.Swap, "inner": gpt.Linux}[part.Name]; !want.IsZero() && part.Type != want {
			t.Errorf("%s has the type %v, want %v", part.Name, part.Type, want)
		}
	}
	if diff := cmp.Diff([]string{"EFI-SYSTEM", "var-spool", "inner", "swap", "EXCHANGE", "root"}, names[len(names)-6:]); diff != "" {
		t.Error("partitions", diff)
	}
	root, spool, inner := extract(t, raw, "root"), extract(t, raw, "var-spool"), extract(t, raw, "inner")
	for _, file := range []string{root, spool, inner} {
		if out := tell(t, "e2fsck", "-f", "-n", file); strings.Contains(out, "? no") {
			t.Errorf("e2fsck: %s", out)
		}
	}
	exchange, swap := extract(t, raw, "EXCHANGE"), extract(t, raw, "swap")
	tell(t, "fsck.fat", "-n", exchange)

	fstab := "# nothing\n"
	for _, part := range []struct{ file, kind, rest string }{
		{spool, "ext4", " /var/spool ext4 defaults 0 2\n"}, {inner, "ext4", " /var/spool/inner/deep ext4 defaults 0 2\n"},
		{swap, "swap", " none swap defaults 0 0\n"}, {exchange, "vfat", " /var/exchange vfat defaults 0 2\n"},
	} {
		fstab += "UUID=" + strings.TrimSpace(tell(t, "blkid", "-p", "-o", "value", "-s", "UUID", part.file)) + part.rest
		if kind := strings.TrimSpace(tell(t, "blkid", "-p", "-o", "value", "-s", "TYPE", part.file)); kind != part.kind {
			t.Errorf("%s is %s, want %s", part.file, kind, part.kind)
		}
	}
	varDir := "/" + deploy.VarPath()
	out := debugfs(t, root, "cat /"+deploy.EtcPath(id)+"/fstab", "ls -p "+varDir+"/spool", "ls -p "+varDir+"/exchange", "ls -p "+varDir)
	if diff := cmp.Diff(fstab, out[0]); diff != "" {
		t.Errorf("fstab (-want +got):\n%s", diff)
	}
	if strings.Count(out[1], "\n") != 3 || strings.Count(out[2], "\n") != 3 { // two of them dots
		t.Errorf("what is mounted over is not empty:\n%s%s", out[1], out[2])
	}
	if !strings.Contains(out[3], "/041777/0/0/spool/") {
		t.Errorf("the mountpoint is\n%s", out[3])
	}
	out = debugfs(t, spool, "cat /large", "ls -p /", "ls -p /inner/deep", "ea_get / security.selinux")
	if out[0] != imagestest.Big("spool", 70000) {
		t.Errorf("the file in /var/spool has %d bytes", len(out[0]))
	}
	if !strings.Contains(out[1], "/100600/0/0/large/") || !strings.Contains(out[1], "/041777/0/0/./") || strings.Contains(out[2], "file") {
		t.Errorf("/var/spool and inner/deep are\n%s%s", out[1], out[2])
	}
	if !strings.Contains(out[3], "spool_t") {
		t.Errorf("the label of /var/spool is %s", out[3])
	}
	out = debugfs(t, inner, "cat /file", "ls -p /")
	if strings.TrimSpace(out[0]) != "deep" || !strings.Contains(out[1], "/040750/0/0/./") {
		t.Errorf("the inner one is\n%s%s", out[0], out[1])
	}
	if got := tell(t, "mtype", "-i", exchange, "::in/Some File.txt"); got != "exchange" {
		t.Errorf("the file on the FAT is %q", got)
	}
}

// TestBuildVolumesSameBytes builds twice.
func TestBuildVolumesSameBytes(t *testing.T) {
	l := newStore(t)
	saveSpool(l)
	var all [2][]byte
	for n := range all {
		var err error
		all[n], err = os.ReadFile(l.build(l.customize(divided, "qcow2"))[0])
		must(t, err)
	}
	if !bytes.Equal(all[0], all[1]) {
		t.Error("other bytes")
	}
}

// TestBuildVolumeSizes has partitions that make a disk larger, which was not given a
// size, and one that is larger than it was wanted.
func TestBuildVolumeSizes(t *testing.T) {
	l := newStore(t)
	saveEntries(l, "v1", "v1", append(v1().entries(), imagestest.Entry{Name: "var/spool/large", Body: imagestest.Big("spool", 40<<20)}))
	o := l.customize("[[customizations.filesystem]]\nmountpoint = \"/var/spool\"\nminsize = \"20 MiB\"", "qcow2")
	o.Size, o.Types = 0, []string{"raw"}
	raw := l.build(o)[0]
	spool := partition(t, raw, "var-spool")
	if size := (spool.Last - spool.First + 1) * 512; size < 80<<20 || size > 90<<20 {
		t.Errorf("the partition has %d bytes", size)
	}
	tell(t, "e2fsck", "-f", "-n", extract(t, raw, "var-spool"))
	if st, err := os.Stat(raw); err != nil || st.Size() <= build.DefaultSize+80<<20 {
		t.Errorf("the disk has %d bytes", st.Size())
	}
}

// TestBuildDivision lets the image say how the disk is divided.
func TestBuildDivision(t *testing.T) {
	l := newStore(t)
	const one = "[[customizations.disk.partitions]]\nfs_type = \"swap\"\nminsize = \"64 MiB\"\nlabel = \"%s\"\n[[customizations.user]]\nname = \"x\"\n"
	v1().with(spec{
		"usr/lib/bootc-image-builder/config.toml": strings.ReplaceAll(one, "%s", "old"),
		"usr/lib/image-builder/bootc/config.toml": strings.ReplaceAll(one, "%s", "new"),
	}).save(l, "v1")
	names := func(o build.Options) (all []string, said string) {
		t.Helper()
		p, err := build.New(t.Context(), o)
		must(t, err)
		defer p.Close()
		_, files, err := p.Apply(t.Context(), func(e bootc.Event) {
			if n, ok := e.(bootc.Notice); ok && strings.Contains(n.Text, "config.toml") {
				said += n.Text
			}
		})
		must(t, err)
		for _, part := range partitions(t, files[0]) {
			all = append(all, part.Name)
		}
		return all, said
	}
	all, said := names(l.toBuild("raw"))
	if !slices.Contains(all, "new") || slices.Contains(all, "old") || said != "notice: /usr/lib/image-builder/bootc/config.toml of the image: customizations.user is passed over" {
		t.Errorf("the partitions are %q; said %q", all, said)
	}
	if all, said := names(l.customize("[customizations.disk]", "raw")); slices.Contains(all, "new") || said != "" {
		t.Errorf("the partitions are %q in spite of the config; said %q", all, said)
	}
	v1().with(spec{"usr/lib/bootc-image-builder/config.json": `{"customizations": {"filesystem": [{"mountpoint": "/boot", "minsize": 1}]}}`}).save(l, "v1")
	_, _, err := l.apply(l.toBuild("raw"))
	const want = "/usr/lib/bootc-image-builder/config.json of the image, in place of which [customizations.disk] in --config counts: customizations.filesystem[0].mountpoint: /boot is the image's"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("the error is %v, want %q at its beginning", err, want)
	}
}

// TestBuildVolumesRefused is what only the image can tell.
func TestBuildVolumesRefused(t *testing.T) {
	l := newStore(t)
	entries := append(v1().with(spec{"etc/fstab": "LABEL=x  /var/taken ext4 defaults\n"}).entries(), imagestest.Entry{Name: "var/run", Link: "../run"},
		imagestest.Entry{Name: "var/file", Body: "x"}, imagestest.Entry{Name: "var/links/"}, imagestest.Entry{Name: "var/links/one", Link: "x"})
	saveEntries(l, "v1", "v1", entries)
	for _, c := range []struct{ mount, kind, want string }{
		{"/var/run", "ext4", "customizations.disk.partitions[0].mountpoint: in the image /var/run leads to /run"},
		{"/var/file", "ext4", "customizations.disk.partitions[0].mountpoint: /var/file of the image is not a directory"},
		{"/var/taken", "ext4", "customizations.disk.partitions[0].mountpoint: /etc/fstab of the image mounts something at /var/taken"},
		{"/var/links", "vfat", "customizations.disk.partitions[0]: /one is neither a file nor a directory"},
		{"/var/x", "ext4\"\nminsize = \"3 GiB", "the disk is too small"},
	} {
		text := "[[customizations.disk.partitions]]\nmountpoint = \"" + c.mount + "\"\nfs_type = \"" + c.kind + "\"\n"
		if !strings.Contains(text, "minsize") {
			text += "minsize = \"64 MiB\"\n"
		}
		o := l.customize(text, "raw")
		_, _, err := l.apply(o)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q at its beginning", c.mount, err, c.want)
		}
		if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	}
}
