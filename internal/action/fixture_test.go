// Package action_test follows a machine from its installation through upgrades,
// shutdowns and power cuts. The machine is a few directories.
package action_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/finalize"
	"github.com/bootc-go/bootc/internal/action/install"
	"github.com/bootc-go/bootc/internal/action/upgrade"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/content/registry"
	"github.com/bootc-go/bootc/internal/linux/dir"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// A lab is a computer in a directory: sysroot, esp and run; beside it the
// layouts that hold images.
type lab struct {
	*testing.T
	dir   string
	store string // of the images
	m     *machine.Machine
	esp   boot.Volume // in place of the directory esp, if not nil
	vol   *volume
	units []string            // that were started
	known map[bootc.ID]string // names of deployments, for tables
	close []func() error
}

// volume calls hook before each operation that writes.
type volume struct {
	boot.Volume
	hook func(op string) error
}

func (v *volume) before(op string) error {
	if v.hook == nil {
		return nil
	}
	return v.hook(op)
}

func (v *volume) Create(name string) (io.WriteCloser, error) {
	if err := v.before("create " + name); err != nil {
		return nil, err
	}
	return v.Volume.Create(name)
}

func (v *volume) Mkdir(name string) error {
	if err := v.before("mkdir " + name); err != nil {
		return err
	}
	return v.Volume.Mkdir(name)
}

func (v *volume) Flush() error {
	if err := v.before("flush"); err != nil {
		return err
	}
	return v.Volume.Flush()
}

func (v *volume) Remove(name string) error {
	if err := v.before("remove " + name); err != nil {
		return err
	}
	return v.Volume.Remove(name)
}

func (v *volume) Rename(from, to string) error {
	if err := v.before("rename " + from); err != nil {
		return err
	}
	return v.Volume.Rename(from, to)
}

func (v *volume) Exchange(d, a, b string) error {
	if err := v.before("exchange " + a); err != nil {
		return err
	}
	return v.Volume.Exchange(d, a, b)
}

// newLab installs and boots the first image, which gets the tag.
func newLab(t *testing.T, tag string) *lab {
	t.Helper()
	return newLabOf(t, tag, func(l *lab) { v1().save(l, tag) })
}

// newLabOf installs and boots the image that save saves with the tag.
func newLabOf(t *testing.T, tag string, save func(*lab)) *lab {
	t.Helper()
	return newLabWith(t, tag, []string{"local=1"}, save)
}

// newLabWith is newLabOf with other kernel arguments of the owner.
func newLabWith(t *testing.T, tag string, kargs []string, save func(*lab)) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, for the owners of files in /etc")
	}
	l := &lab{T: t, dir: t.TempDir(), store: t.TempDir()}
	for _, d := range []string{"sysroot", "esp", "run"} {
		must(t, os.Mkdir(filepath.Join(l.dir, d), 0o755))
	}
	save(l)
	p, err := install.New(t.Context(), install.Options{
		Source: l.ref(tag), Kargs: kargs, AllowMissingVerity: true, Registry: l.registry(),
	})
	must(t, err)
	defer p.Close()
	m, err := machine.CreateOn(l.root("sysroot"), l.root("esp"), true)
	must(t, err)
	_, err = p.Fill(t.Context(), m, nil)
	must(t, err)
	must(t, m.Close())
	l.boot()
	t.Cleanup(l.shut)
	return l
}

func (l *lab) root(name string) *os.Root {
	l.Helper()
	r, err := os.OpenRoot(filepath.Join(l.dir, name))
	must(l, err)
	l.close = append(l.close, r.Close)
	return r
}

func (l *lab) shut() {
	for _, f := range slices.Backward(l.close) {
		f()
	}
	l.close = nil
}

// boot starts what the loader would start, with an empty /run.
func (l *lab) boot() {
	l.Helper()
	l.shut()
	must(l, os.RemoveAll(l.dir+"/run"))
	must(l, os.Mkdir(l.dir+"/run", 0o755))
	l.open("")
	_, err := l.m.Restore(l.Context())
	must(l, err)
}

// open opens the machine on which the deployment runs, "" for the one that the
// loader starts.
func (l *lab) open(booted bootc.ID) {
	l.Helper()
	sysroot := l.root("sysroot")
	l.vol = &volume{Volume: l.esp}
	if l.esp == nil {
		l.vol.Volume = boot.Mounted(l.root("esp"))
	}
	repo, err := images.Open(l.root("sysroot/composefs"))
	must(l, err)
	l.close = append(l.close, repo.Close)
	l.m = &machine.Machine{Sysroot: sysroot, Repo: repo, State: deploy.New(sysroot), Loader: boot.On(l.vol), Run: l.root("run")}
	entries, err := l.m.Loader.Entries()
	must(l, err)
	if len(entries) == 0 {
		l.Fatal("the machine has no boot entry")
	}
	e := entries[0]
	if i := slices.IndexFunc(entries, func(e boot.Entry) bool { return e.ID == booted }); booted != "" && i >= 0 {
		e = entries[i]
	}
	for _, p := range e.Files() {
		f, err := l.vol.Open(p)
		if err != nil {
			l.Fatalf("entry %s names %s: %v", e.Name, p, err)
		}
		if info, err := f.Stat(); err != nil || info.Size() == 0 {
			l.Fatalf("entry %s names %s: %v", e.Name, p, err)
		}
		f.Close()
	}
	_, err = repo.ReadImage(e.ID)
	must(l, err)
	l.m.Booted = &machine.Booted{ID: e.ID, Cmdline: e.Cmdline}
	l.m.Etc, err = dir.Open(l.etc())
	must(l, err)
	l.close = append(l.close, l.m.Etc.Close)
}

// etc is the live /etc.
func (l *lab) etc() string {
	return filepath.Join(l.dir, "sysroot", deploy.Path(l.m.Booted.ID), "etc")
}

func (l *lab) write(name, text string) {
	l.Helper()
	must(l, os.WriteFile(filepath.Join(l.etc(), name), []byte(text), 0o644))
}

// wantEtc compares files of the live /etc; "" is a file that is not there.
func (l *lab) wantEtc(want map[string]string) {
	l.Helper()
	got := map[string]string{}
	for name := range want {
		data, _ := os.ReadFile(filepath.Join(l.etc(), name))
		got[name] = string(data)
	}
	if d := cmp.Diff(want, got); d != "" {
		l.Errorf("/etc (-want +got):\n%s", d)
	}
}

func (l *lab) ref(tag string) bootc.Ref {
	return bootc.Ref{Transport: bootc.OCI, Name: l.store + "/" + tag + ":latest"}
}

func (l *lab) registry() registry.Options {
	policy := l.store + "/policy.json"
	must(l, os.WriteFile(policy, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o644))
	return registry.Options{PolicyFile: policy, Architecture: "amd64", Root: l.store}
}

func (l *lab) plan(o upgrade.Options) *upgrade.Plan {
	l.Helper()
	p, err := upgrade.New(l.Context(), l.m, l.options(o))
	must(l, err)
	l.Cleanup(func() { p.Close() })
	return p
}

func (l *lab) options(o upgrade.Options) upgrade.Options {
	o.Registry = l.registry()
	if o.StartUnit == nil {
		o.StartUnit = func(_ context.Context, unit string) error {
			l.units = append(l.units, unit)
			return nil
		}
	}
	return o
}

// to is the way to the image with this tag.
func (l *lab) to(tag string) upgrade.Options {
	ref := l.ref(tag)
	return upgrade.Options{Target: &ref}
}

// stage brings the image with this tag.
func (l *lab) stage(o upgrade.Options) *upgrade.Result {
	l.Helper()
	r, err := l.plan(o).Apply(l.Context(), nil)
	must(l, err)
	return r
}

// shutdown is what happens at the end, as far as it concerns updates.
func (l *lab) shutdown() error {
	p, err := finalize.New(l.m)
	must(l, err)
	return p.Apply(l.Context(), nil)
}

// entries are the deployments in boot order.
func (l *lab) entries() []bootc.ID {
	l.Helper()
	all, err := l.m.Loader.Entries()
	must(l, err)
	var ids []bootc.ID
	for _, e := range all {
		ids = append(ids, e.ID)
	}
	return ids
}

func (l *lab) wantEntries(want ...bootc.ID) {
	l.Helper()
	if d := cmp.Diff(want, l.entries()); d != "" {
		l.Errorf("boot entries (-want +got):\n%s", d)
	}
}

func (l *lab) staged() *deploy.Staged {
	l.Helper()
	st, err := l.m.State.Staged()
	must(l, err)
	return st
}

// copy is the same computer after a power cut now. It is not booted yet.
func (l *lab) copy() *lab {
	l.Helper()
	c := &lab{T: l.T, dir: l.TempDir(), store: l.store}
	out, err := exec.Command("cp", "-a", l.dir+"/.", c.dir).CombinedOutput()
	if err != nil {
		l.Fatalf("cp: %v: %s", err, out)
	}
	return c
}

// snapshot is what decides what the machine is: boot partition, state with
// every /etc, tags, the mirror in /run.
func (l *lab) snapshot() map[string]string {
	l.Helper()
	all := map[string]string{}
	for _, top := range []string{"esp", "run", "sysroot/state", "sysroot/composefs/streams/refs"} {
		err := filepath.WalkDir(filepath.Join(l.dir, top), func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name, _ := filepath.Rel(l.dir, p)
			info, err := d.Info()
			if err != nil {
				return err
			}
			what := info.Mode().String()
			switch {
			case d.Type().IsRegular():
				data, err := os.ReadFile(p)
				if err != nil {
					return err
				}
				what += fmt.Sprintf(" %x", sha256.Sum256(data))
			case d.Type() == fs.ModeSymlink:
				target, err := os.Readlink(p)
				if err != nil {
					return err
				}
				what += " " + target
			case top == "run":
				return nil // its directories mean nothing
			}
			all[name] = what
			return nil
		})
		must(l, err)
	}
	return all
}

func (l *lab) wantSame(before map[string]string) {
	l.Helper()
	if d := cmp.Diff(before, l.snapshot()); d != "" {
		l.Errorf("the machine has changed (-before +now):\n%s", d)
	}
}

// spec is an image by its files.
type spec map[string]string

// v1 is the first image, and what the others are made from.
func v1() spec {
	return spec{
		"usr/lib/modules/6.1/vmlinuz":       imagestest.Kernel("kernel", 5000, runtime.GOARCH),
		"usr/lib/modules/6.1/initramfs.img": imagestest.Big("initrd", 9000),
		"usr/lib/os-release":                "ID=lab\nVERSION_ID=1\nPRETTY_NAME=Lab\n",
		"usr/lib/bootc/kargs.d/10.toml":     "kargs = [\"quiet\", \"image=1\"]\n",
		loaderBinary():                      "systemd-boot",
		"etc/kept":                          "image 1",
		"etc/taken":                         "image 1",
		"etc/removed":                       "image 1",
		"etc/gone":                          "image 1",
		"usr/bin/tool":                      imagestest.Big("tool 1", 700),
		"var/lib/data":                      "first",
	}
}

// v2 changes kernel, arguments and /etc.
func v2() spec {
	return v1().with(spec{
		"usr/lib/modules/6.1/vmlinuz":       "",
		"usr/lib/modules/6.1/initramfs.img": "",
		"usr/lib/modules/6.2/vmlinuz":       imagestest.Kernel("kernel 2", 6000, runtime.GOARCH),
		"usr/lib/modules/6.2/initramfs.img": imagestest.Big("initrd 2", 8000),
		"usr/lib/os-release":                "ID=lab\nVERSION_ID=2\nPRETTY_NAME=Lab\n",
		"usr/lib/bootc/kargs.d/10.toml":     "kargs = [\"quiet\", \"image=2\"]\n",
		"etc/taken":                         "image 2",
		"etc/gone":                          "",
		"etc/new":                           "image 2",
		"usr/bin/tool":                      imagestest.Big("tool 2", 700),
	})
}

func loaderBinary() string {
	source, _, err := boot.Binaries(runtime.GOARCH)
	if err != nil {
		panic(err)
	}
	return source[1:]
}

// with changes files; "" removes one.
func (s spec) with(files spec) spec {
	all := maps.Clone(s)
	for name, text := range files {
		all[name] = text
		if text == "" {
			delete(all, name)
		}
	}
	return all
}

func (s spec) entries() []imagestest.Entry {
	all := imagestest.Base()
	seen := map[string]bool{}
	for _, e := range all {
		seen[e.Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(s)) {
		for i, c := range name {
			if c == '/' && !seen[name[:i+1]] {
				seen[name[:i+1]] = true
				all = append(all, imagestest.Entry{Name: name[:i+1]})
			}
		}
		all = append(all, imagestest.File(name, s[name]))
	}
	return all
}

// save writes the image as an OCI layout in place of what had the tag.
func (s spec) save(l *lab, tag string) *imagestest.Image {
	l.Helper()
	return saveEntries(l, tag, tag, s.entries())
}

func saveEntries(l *lab, tag, version string, entries []imagestest.Entry) *imagestest.Image {
	l.Helper()
	i := imagestest.New(imagestest.Options{Version: version}, imagestest.Layer{Entries: entries, Compression: imagestest.Gzip})
	top := filepath.Join(l.store, tag)
	must(l, os.RemoveAll(top))
	must(l, i.SaveLayout(top))
	return i
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
