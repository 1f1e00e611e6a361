package crash

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/build"
	"github.com/bootc-go/bootc/internal/action/install"
	"github.com/bootc-go/bootc/internal/content/registry"
	"github.com/bootc-go/bootc/internal/format/gpt"
)

// built has bootc make a disk image of the first image, and loads it.
func built(t *testing.T) (*Disk, []Image) {
	t.Helper()
	dir := t.TempDir()
	images, err := SaveImages(dir, nil)
	must(t, err)
	policy, out := filepath.Join(dir, "policy.json"), filepath.Join(dir, "out")
	must(t, os.WriteFile(policy, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o644), os.Mkdir(out, 0o755))
	p, err := build.New(t.Context(), build.Options{
		Install: install.Options{
			Source:   bootc.Ref{Transport: bootc.OCI, Name: dir + "/v1:latest"},
			Target:   bootc.Ref{Transport: bootc.Registry, Name: "registry.example.com/os:stable"},
			Registry: registry.Options{PolicyFile: policy, Architecture: "amd64", Root: dir},
		},
		Types: []string{"raw"}, Dir: out, Store: filepath.Join(dir, "store"), Size: diskSize,
	})
	must(t, err)
	defer p.Close()
	_, files, err := p.Apply(t.Context(), nil)
	must(t, err)
	return load(t, files[0]).d, images
}

// TestLook looks at a machine that is whole, and at one from which each thing that
// a boot needs was taken.
func TestLook(t *testing.T) {
	d, images := built(t)
	c := newCache()
	v := look(d, images, c, nil)
	if v.Outcome != "1" || len(v.Wrong) > 0 || v.Given || v.Torn {
		t.Fatalf("%+v", v)
	}
	whole := *v
	if v.Var == 0 || len(v.Deployments) != 1 || v.Deployments[0].Etc == 0 {
		t.Errorf("%+v", v)
	}
	table, err := gpt.Read(d, sectorSize, d.Size())
	must(t, err)
	m := machine{d: d, images: images}
	esp, err := m.partition(table, gpt.ESP)
	must(t, err)
	m.esp, err = openFAT(esp, c)
	must(t, err)
	must(t, m.mountRoot(table, c))
	entries, err := m.entries("loader/entries")
	must(t, err)
	id := v.Deployments[0].ID

	ofFAT := func(name string) func() {
		return func() {
			e, err := m.esp.find(name)
			must(t, err)
			m.esp.v.write((m.esp.data+int64(e.first-2)*m.esp.perClust)*sectorSize, bytes.Repeat([]byte{7}, sectorSize))
		}
	}
	ofRoot := func(name string) func() {
		return func() {
			in, err := m.root.lookup(rootInode, name)
			must(t, err)
			m.root.v.write(in.extents[0].start*blockSize, bytes.Repeat([]byte{7}, sectorSize))
		}
	}
	link, err := m.root.lookup(rootInode, "composefs/images/"+id)
	must(t, err)
	text, err := m.root.link(link)
	must(t, err)
	image, err := m.image(id)
	must(t, err)
	objects, err := m.root.objectsOf(image)
	must(t, err)
	for name, tt := range map[string]struct {
		spoil func()
		want  string // in what is wrong, or the outcome
	}{
		"kernel":         {ofFAT(entries[0].Get("linux")), "linux of entry"},
		"initrd":         {ofFAT(entries[0].Get("initrd")), "initrd of entry"},
		"loader":         {ofFAT("EFI/BOOT/BOOTX64.EFI"), "the loader"},
		"entries":        {ofFAT("loader/entries"), nothing},
		"image":          {ofRoot(filepath.Join("composefs/images", text)), "the image"},
		"object":         {ofRoot("composefs/objects/" + objects[0].ObjectPath()), "object " + objects[0].String()[:12]},
		"store":          {ofRoot("composefs/objects/" + objects[0].ObjectPath()), "which looks whole"},
		"table":          {func() { (&Volume{d, 0, int64(len(d.at))}).write(sectorSize, make([]byte, sectorSize)) }, "1"},
		"superblock":     {func() { m.root.v.write(1536, bytes.Repeat([]byte{7}, sectorSize)) }, "torn"},
		"/etc":           {ofRoot("state/deploy/" + id + "/etc"), "/etc of version 1"},
		"origin":         {ofRoot("state/deploy/" + id + "/" + id + ".origin"), "the origin"},
		"links":          {ofRoot("composefs/streams"), "composefs/streams"},
		"a file in /etc": {ofRoot("state/deploy/" + id + "/etc/app.d/19"), "changed"},
	} {
		t.Run(name, func(t *testing.T) {
			d.hold()
			defer d.release()
			tt.spoil()
			got := look(d, images, c, nil)
			all := strings.Join(append(got.Wrong, got.Outcome), "\n")
			if got.Torn {
				all = "torn"
			} else if len(got.Wrong) == 0 && got.Deployments[0].Etc != whole.Deployments[0].Etc {
				all = "changed"
			}
			if !strings.Contains(all, tt.want) {
				t.Errorf("%q, want %q", all, tt.want)
			}
		})
	}
	if again := look(d, images, c, nil); again.Outcome != "1" || len(again.Wrong) > 0 {
		t.Errorf("in the end: %+v", again)
	}
}
