package registry_test

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/storage"
	"go.podman.io/storage/pkg/reexec"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/registry"
)

// TestMain lets the containers storage start this program again, as it does
// to unpack a layer.
func TestMain(m *testing.M) {
	if reexec.Init() {
		return
	}
	os.Exit(m.Run())
}

func writeLayout(t *testing.T, dir string, images map[string]v1.Image) {
	t.Helper()
	idx := newIndex(nil)
	path, err := layout.Write(dir, idx)
	if err != nil {
		t.Fatal(err)
	}
	for tag, img := range images {
		if err := path.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag})); err != nil {
			t.Fatal(err)
		}
	}
}

// archive makes a tar file of a directory.
func archive(t *testing.T, dir, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(f)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// writeDir makes an image in the form of the dir: transport.
func writeDir(t *testing.T, dir string, img v1.Image) {
	t.Helper()
	write(t, filepath.Join(dir, "version"), "Directory Transport Version: 1.1\n")
	raw, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "manifest.json"), string(raw))
	config, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	h, _ := img.ConfigName()
	write(t, filepath.Join(dir, h.Hex), string(config))
	layers, _ := img.Layers()
	for _, l := range layers {
		h, _ := l.Digest()
		r, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, h.Hex), string(data))
	}
}

func ref(transport bootc.Transport, name string) bootc.Ref {
	return bootc.Ref{Transport: transport, Name: name}
}

func TestLayout(t *testing.T) {
	dir := t.TempDir()
	one, two := newImage(t, true, "amd64", 2), newImage(t, true, "amd64", 1)
	writeLayout(t, dir+"/both", map[string]v1.Image{"v1": one, "v2": two})
	writeLayout(t, dir+"/single", map[string]v1.Image{"v1": one})
	o := options(t)
	for name, want := range map[string]v1.Image{"/both:v1": one, "/both:v2": two, "/single": one} {
		got := open(t, ref(bootc.OCI, dir+name), o)
		original(t, got, want)
		same(t, got, want, false)
	}
	_, err := registry.Open(t.Context(), ref(bootc.OCI, dir+"/both"), o)
	if err == nil || !strings.Contains(err.Error(), "more than one image in oci, choose an image") {
		t.Errorf("Open without a tag = %v, want that there is more than one image", err)
	}
}

func TestLayoutIndex(t *testing.T) {
	dir := t.TempDir()
	images := map[string]v1.Image{"amd64": newImage(t, true, "amd64", 1), "arm64": newImage(t, true, "arm64", 1)}
	path, err := layout.Write(dir, newIndex(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendIndex(newIndex(images), layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "v1"})); err != nil {
		t.Fatal(err)
	}
	o := options(t)
	for arch, want := range images {
		o.Architecture = arch
		original(t, open(t, ref(bootc.OCI, dir+":v1"), o), want)
	}
}

func TestOCIArchive(t *testing.T) {
	dir := t.TempDir()
	want := newImage(t, true, "amd64", 2)
	writeLayout(t, dir+"/l", map[string]v1.Image{"v1": want})
	archive(t, dir+"/l", dir+"/os.tar")
	o := options(t)
	got := open(t, ref(bootc.OCIArchive, dir+"/os.tar:v1"), o)
	original(t, got, want)
	same(t, got, want, false)
	if err := got.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(o.TempDir); len(left) != 0 {
		t.Errorf("Close leaves %v in the temporary directory", left)
	}
	// A refused image leaves nothing either.
	write(t, o.PolicyFile, `{"default": [{"type": "reject"}]}`)
	if _, err := registry.Open(t.Context(), ref(bootc.OCIArchive, dir+"/os.tar:v1"), o); err == nil {
		t.Error("Open of a refused image: no error")
	}
	if left, _ := os.ReadDir(o.TempDir); len(left) != 0 {
		t.Errorf("a refused image leaves %v in the temporary directory", left)
	}
}

func TestDockerArchive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "os.tar")
	want := newImage(t, false, "amd64", 2)
	tag, err := name.NewTag("example.test/os:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(file, tag, want); err != nil {
		t.Fatal(err)
	}
	o := options(t)
	for _, n := range []string{file, file + ":example.test/os:v1"} {
		// The archive has no manifest: the library makes one, of layers that
		// are named by their diff_ids.
		same(t, open(t, ref(bootc.DockerArchive, n), o), want, true)
	}
}

func TestDir(t *testing.T) {
	for name, oci := range map[string]bool{"oci": true, "docker": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			want := newImage(t, oci, "amd64", 2)
			writeDir(t, dir, want)
			got := open(t, ref(bootc.Dir, dir), options(t))
			original(t, got, want)
			same(t, got, want, false)

			b := got.Layers()[1]
			if err := os.Truncate(filepath.Join(dir, b.Digest.Hex()), 100); err != nil {
				t.Fatal(err)
			}
			if _, err := read(t, got, b); err == nil || !strings.Contains(err.Error(), "is truncated: 100 of") {
				t.Errorf("reading a truncated layer = %v", err)
			}
		})
	}
}

// newStorage makes a containers storage with one image in it, as a pull by
// podman leaves it, and returns the prefix of names in it.
func newStorage(t *testing.T, img v1.Image, name string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a containers storage of the system needs root")
	}
	root, run := t.TempDir(), t.TempDir()
	store, err := storage.GetStore(storage.StoreOptions{GraphDriverName: "vfs", GraphRoot: root, RunRoot: run})
	if err != nil {
		t.Skipf("no containers storage here: %v", err)
	}
	t.Cleanup(func() {
		if _, err := store.Shutdown(true); err != nil {
			t.Error(err)
		}
	})
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	parent := ""
	for _, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		layer, _, err := store.PutLayer("", parent, nil, "", false, nil, r)
		if err != nil {
			t.Fatal(err)
		}
		parent = layer.ID
	}
	kept, err := store.CreateImage("", []string{name}, parent, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := img.RawManifest()
	if err := store.SetImageBigData(kept.ID, storage.ImageDigestBigDataKey, raw, manifest.Digest); err != nil {
		t.Fatal(err)
	}
	config, _ := img.RawConfigFile()
	h, _ := img.ConfigName()
	if err := store.SetImageBigData(kept.ID, h.String(), config, nil); err != nil {
		t.Fatal(err)
	}
	return "[vfs@" + root + "+" + run + "]"
}

func TestContainersStorage(t *testing.T) {
	want := newTarImage(t, 2)
	prefix := newStorage(t, want, "localhost/os:v1")
	o := options(t)
	got := open(t, ref(bootc.ContainersStorage, prefix+"localhost/os:v1"), o)
	original(t, got, want)
	same(t, got, want, true)

	_, err := registry.Open(t.Context(), ref(bootc.ContainersStorage, prefix+"localhost/os:v9"), o)
	if !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("Open of a tag that is not there = %v, want ErrNotFound", err)
	}
	root := filepath.Join(t.TempDir(), "none")
	_, err = registry.Open(t.Context(), ref(bootc.ContainersStorage, "[vfs@"+root+"+"+root+"]localhost/os:v1"), o)
	if !errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), "there is no storage at "+root) {
		t.Errorf("Open where there is no storage = %v, want ErrNotFound", err)
	}
	if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
		t.Error("opening made a storage where there was none")
	}
}

func TestLocalNotFound(t *testing.T) {
	dir := t.TempDir()
	img := newImage(t, true, "amd64", 1)
	writeLayout(t, dir+"/layout", map[string]v1.Image{"v1": img})
	archive(t, dir+"/layout", dir+"/oci.tar")
	tag, _ := name.NewTag("example.test/os:v1")
	if err := tarball.WriteToFile(dir+"/docker.tar", tag, newImage(t, false, "amd64", 1)); err != nil {
		t.Fatal(err)
	}
	o := options(t)
	for _, r := range []bootc.Ref{
		ref(bootc.OCI, dir+"/layout:v9"),
		ref(bootc.OCI, dir+"/none:v1"),
		ref(bootc.OCIArchive, dir+"/oci.tar:v9"),
		ref(bootc.OCIArchive, dir+"/none.tar:v1"),
		ref(bootc.DockerArchive, dir+"/docker.tar:example.test/os:v9"),
		ref(bootc.DockerArchive, dir+"/none.tar"),
		ref(bootc.Dir, dir+"/none"),
		ref(bootc.Dir, dir+"/none/none"),
		ref(bootc.OCI, dir+"/none/none:v1"),
	} {
		img, err := registry.Open(t.Context(), r, o)
		if err == nil {
			img.Close()
		}
		if !errors.Is(err, registry.ErrNotFound) || !strings.HasPrefix(err.Error(), "image not found: "+r.String()) {
			t.Errorf("Open(%s) = %v, want ErrNotFound", r, err)
		}
	}
}
