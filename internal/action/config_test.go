package action_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/build"
	"github.com/bootc-go/bootc/internal/action/install"
	"github.com/bootc-go/bootc/internal/action/upgrade"
	"github.com/bootc-go/bootc/internal/format/installconfig"
)

// withDefaults is an image that says how it wants to be installed.
func (s spec) withDefaults() spec {
	return s.with(spec{
		"usr/lib/bootc/install/00-os.toml":   "[install]\nkargs = [\"console=tty0\", \"console=ttyS0\"]\nroot-fs-type = \"xfs\"\n",
		"usr/lib/bootc/install/10-site.toml": "[install]\nkargs = [\"hidden\"]\n",
		"etc/bootc/install/10-site.toml":     "[install]\nkargs = [\"site=1\"]\nkarg-deletes = [\"quiet\"]\nfilesystem.root.type = \"ext4\"\n",
		"usr/lib/bootc/install/arm.toml":     "[install]\nkargs = [\"arm\"]\nmatch-architectures = [\"aarch64\"]\n",
	})
}

// TestInstallDefaults follows the arguments of the image's installation defaults
// into the boot entry, and through an update to an image that has others.
func TestInstallDefaults(t *testing.T) {
	l := newLabOf(t, "v1", func(l *lab) { v1().withDefaults().save(l, "v1") })
	want := "rw console=tty0 console=ttyS0 site=1 local=1 composefs=?" + string(l.m.Booted.ID) + " image=1"
	if diff := cmp.Diff(want, l.m.Booted.Cmdline); diff != "" {
		t.Errorf("installed (-want +got):\n%s", diff)
	}
	v2().with(spec{"usr/lib/bootc/install/00-os.toml": "[install]\nkargs = [\"new\"]\n"}).save(l, "v1")
	two := l.stage(upgrade.Options{}).ID
	must(t, l.shutdown())
	l.boot()
	want = "rw console=tty0 console=ttyS0 site=1 local=1 composefs=?" + string(two) + " image=2"
	if diff := cmp.Diff(want, l.m.Booted.Cmdline); diff != "" {
		t.Errorf("updated (-want +got):\n%s", diff)
	}
}

// TestBuildDefaults finds them in a disk image too.
func TestBuildDefaults(t *testing.T) {
	l := newStore(t)
	v1().withDefaults().save(l, "v1")
	raw := l.build(l.toBuild("raw"))[0]
	to := t.TempDir()
	tell(t, "mcopy", "-Q", "-i", extract(t, raw, "EFI-SYSTEM"), "::loader/entries/*", to)
	files, err := filepath.Glob(to + "/*.conf")
	if err != nil || len(files) != 1 {
		t.Fatalf("entries %q, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	must(t, err)
	for line := range strings.Lines(string(data)) {
		if options, ok := strings.CutPrefix(line, "options "); ok {
			before, after, _ := strings.Cut(strings.TrimSpace(options), " composefs=")
			if _, after, _ = strings.Cut(after, " "); before != "rw console=tty0 console=ttyS0 site=1 local=1" || after != "image=1" {
				t.Errorf("options %q", options)
			}
			return
		}
	}
	t.Errorf("no options in %q", data)
}

// TestDefaultsRefused ends before the boot entry, or before anything where the
// configuration is known.
func TestDefaultsRefused(t *testing.T) {
	l := newStore(t)
	v1().with(spec{"usr/lib/bootc/install/a.toml": "[install]\nroot-fs-type = \"btrfs\"\n"}).save(l, "v1")
	const want = `filesystem.root.type = "btrfs", and only "ext4" is supported`
	o := l.toBuild("raw")
	p, err := build.New(t.Context(), o)
	must(t, err)
	defer p.Close()
	if _, _, err := p.Apply(t.Context(), nil); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("build: %v, want %q in it", err, want)
	}
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	o.Install.Storage.Filesystem = "ext4"
	l.build(o)

	fs := installconfig.Filesystem("btrfs")
	i := l.toInstall()
	i.Config = &installconfig.Config{RootFSType: &fs}
	i.Source = bootc.Ref{Transport: bootc.OCI, Name: "/nowhere"}
	if _, err := install.New(t.Context(), i); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("install.New: %v, want %q in it", err, want)
	}
}

// TestDefaultsGiven installs by the configuration that is given: the image's own is
// not read.
func TestDefaultsGiven(t *testing.T) {
	l := newStore(t)
	v1().with(spec{"usr/lib/bootc/install/a.toml": "junk ["}).save(l, "v1")
	o := l.toBuild("raw")
	p, err := build.New(t.Context(), o)
	must(t, err)
	defer p.Close()
	var notices []string
	progress := func(e bootc.Event) {
		if n, ok := e.(bootc.Notice); ok {
			notices = append(notices, n.Text)
		}
	}
	if _, _, err := p.Apply(t.Context(), progress); err == nil || !strings.Contains(err.Error(), "/usr/lib/bootc/install/a.toml: line 1") {
		t.Errorf("the image's own: %v", err)
	}
	o.Install.Config = &installconfig.Config{Unknown: []string{"/etc/a.toml: install.ostree.x"}}
	if p, err = build.New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, _, err := p.Apply(t.Context(), progress); err != nil {
		t.Errorf("given: %v", err)
	}
	if got := strings.Join(notices, "\n"); !strings.Contains(got, "notice: /etc/a.toml: install.ostree.x: unknown key") {
		t.Errorf("notices %q", got)
	}
}
