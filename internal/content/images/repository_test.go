package images_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// TestLayout compares a whole repository with what upstream's installer leaves.
func TestLayout(t *testing.T) {
	old := unix.Umask(0o077)
	_, path := newRepo(t)
	r := openRepo(t, path) // one that flushes
	src := twoLayers(imagestest.Options{})
	img := pull(t, r, src)
	id := compose(t, r, img)
	if err := r.Tag(src.Digest()); err != nil {
		t.Fatal(err)
	}
	unix.Umask(old)

	for name, mode := range map[string]os.FileMode{
		".": 0o700, "objects": 0o755, "images": 0o755, "streams": 0o755, "streams/refs": 0o755, "streams/refs/oci": 0o755, "meta.json": 0o644,
	} {
		info, err := os.Stat(filepath.Join(path, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: mode %v, %v; want %v", name, info.Mode(), err, mode)
		}
	}
	meta, err := os.ReadFile(filepath.Join(path, "meta.json"))
	upstream, err2 := os.ReadFile(filepath.Join(unpack(t, "testdata/sha512-v1.tar.gz"), "meta.json"))
	if err != nil || err2 != nil || string(meta) != string(upstream) {
		t.Errorf("meta.json is not upstream's: %v %v\n%s", err, err2, meta)
	}
	checkLayout(t, path)

	hex := src.Digest().Hex()
	tag := "streams/refs/oci/localhost%2Fbootc-sha256:" + hex
	all := links(t, path)
	if got, want := all[tag], "../../oci-manifest-sha256:"+hex; got != want {
		t.Errorf("tag leads to %q, want %q", got, want)
	}
	if got, want := all["images/"+string(id)], "../objects/"+string(id[:2])+"/"+string(id[2:]); got != want {
		t.Errorf("image leads to %q, want %q", got, want)
	}
	counts := map[string]int{}
	for name, target := range all {
		counts[strings.Split(filepath.Base(name), "sha256:")[0]]++
		if filepath.Dir(name) == "streams" && !strings.HasPrefix(target, "../objects/") {
			t.Errorf("%s leads to %q", name, target)
		}
		if filepath.Dir(name) == "images" {
			counts["images"]++
			delete(counts, filepath.Base(name))
		}
	}
	want := map[string]int{"oci-manifest-": 1, "oci-config-": 1, "oci-layer-": 2, "localhost%2Fbootc-": 1, "images": 2}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
}

func TestCompose(t *testing.T) {
	r, path := newRepo(t)
	src := twoLayers(imagestest.Options{Version: "7"})
	img := pull(t, r, src)
	before := paths(img.Tree)
	last := ""
	note := func(what string) func(func() error) error {
		return func(do func() error) error { last = what; return do() }
	}
	r.Intercept(note("flush"), note("link"))
	hard := img.Tree.Lookup("/usr/bin/hard")
	id := compose(t, r, img)
	if diff := cmp.Diff(before, paths(img.Tree)); diff != "" || hard.Nlink != 2 {
		t.Errorf("Compose changed the tree; links %d:\n%s", hard.Nlink, diff)
	}
	if last != "flush" {
		t.Errorf("Compose ended with a %s, want a flush", last)
	}
	boot, err := r.ReadImage(id)
	if err != nil {
		t.Fatal(err)
	}
	if boot.Lookup("/boot/file") != nil || boot.Lookup("/boot") == nil || boot.Lookup("/usr/bin/tool") == nil {
		t.Error("the boot image is not what boots")
	}
	got, err := r.ReadFile(boot.Lookup("/usr/bin/tool"))
	if err != nil || string(got) != imagestest.Big("tool", 300_000) {
		t.Errorf("a file of the image has %d bytes, %v", len(got), err)
	}
	info, err := r.FindByID(id)
	if err != nil || info.Manifest != src.Digest() || info.Version != "7" || info.Architecture != "amd64" || info.Labels["containers.bootc"] != "1" {
		t.Errorf("FindByID = %+v, %v", info, err)
	}
	if _, err := r.FindByID(bootc.ID(strings.Repeat("0", 128))); !errors.Is(err, images.ErrNotFound) {
		t.Errorf("FindByID of another = %v", err)
	}

	// Another pull of the same image knows what was composed.
	pull(t, r, src)
	if info, err := r.Info(src.Digest()); err != nil || info.ID != id {
		t.Errorf("after a second pull Info = %+v, %v; want ID %s", info, err, id)
	}
	if again := compose(t, r, img); again != id {
		t.Errorf("composed again: %s, want %s", again, id)
	}
	all, err := r.Images()
	if err != nil || len(all) != 2 {
		t.Errorf("Images = %v, %v; want 2", all, err)
	}
	if err := errors.Join(r.RemoveImage(id), r.RemoveImage(id)); err != nil {
		t.Error(err)
	}
	if _, err := r.OpenImage(id); !errors.Is(err, images.ErrNotFound) {
		t.Errorf("OpenImage of what was removed = %v", err)
	}
	checkLayout(t, path)
}

// TestTampered checks that content which is not what its name says is noticed
// where no fs-verity guards it.
func TestTampered(t *testing.T) {
	r, path := newRepo(t)
	src := twoLayers(imagestest.Options{})
	img := pull(t, r, src)
	id := compose(t, r, img)
	spoil := func(d string) func() {
		t.Helper()
		name := filepath.Join(path, "objects", d[:2], d[2:])
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		bad := append([]byte(nil), data...)
		bad[len(bad)-1] ^= 1
		write := func(p []byte) {
			if err := os.WriteFile(name, p, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		write(bad)
		return func() { write(data) }
	}
	n := img.Tree.Lookup("/usr/bin/tool")
	restore := spoil(n.Object.String())
	if _, err := r.ReadFile(n); err == nil || !strings.Contains(err.Error(), "has the content of") {
		t.Errorf("ReadFile of a changed object = %v", err)
	}
	restore()
	restore = spoil(string(id))
	if _, err := r.OpenImage(id); err == nil || !strings.Contains(err.Error(), "digest") {
		t.Errorf("OpenImage of a changed image = %v", err)
	}
	restore()
	link := links(t, path)["streams/oci-manifest-"+string(src.Digest())]
	restore = spoil(strings.ReplaceAll(strings.TrimPrefix(link, "../objects/"), "/", ""))
	if _, err := r.Info(src.Digest()); err == nil {
		t.Error("a changed manifest stream was read")
	}
	restore()

	// The stream of another image under this one's name.
	other := twoLayers(imagestest.Options{Version: "other"})
	pull(t, r, other)
	name := filepath.Join(path, "streams/oci-manifest-"+string(src.Digest()))
	target := links(t, path)["streams/oci-manifest-"+string(other.Digest())]
	if err := errors.Join(os.Remove(name), os.Symlink(target, name)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Image(src.Digest()); err == nil || !strings.Contains(err.Error(), "its digest is") {
		t.Errorf("Image under a wrong name = %v", err)
	}
	// A pull sets it right.
	pull(t, r, src)
	if info, err := r.Info(src.Digest()); err != nil || info.Manifest != src.Digest() {
		t.Errorf("after a pull: %v, %v", info, err)
	}
}

func TestTags(t *testing.T) {
	r, path := newRepo(t)
	a, b := twoLayers(imagestest.Options{Version: "a"}), twoLayers(imagestest.Options{Version: "b"})
	if err := r.Tag(a.Digest()); !errors.Is(err, images.ErrNotFound) {
		t.Errorf("Tag of what is not there = %v", err)
	}
	pull(t, r, a)
	pull(t, r, b)
	for _, d := range []bootc.Digest{a.Digest(), b.Digest(), a.Digest()} {
		if err := r.Tag(d); err != nil {
			t.Fatal(err)
		}
	}
	// What others keep here is not ours.
	for _, name := range []string{"localhost%2Fother:1", ".symlink-x", "localhost%2Fbootc-nonsense"} {
		if err := os.Symlink("x", filepath.Join(path, "streams/refs/oci", name)); err != nil {
			t.Fatal(err)
		}
	}
	tags, err := r.Tags()
	want := []bootc.Digest{min(a.Digest(), b.Digest()), max(a.Digest(), b.Digest())}
	if diff := cmp.Diff(want, tags); diff != "" || err != nil {
		t.Errorf("Tags: %v (-want +got):\n%s", err, diff)
	}
	if err := errors.Join(r.Untag(a.Digest()), r.Untag(a.Digest())); err != nil {
		t.Error(err)
	}
	if tags, err := r.Tags(); err != nil || len(tags) != 1 || tags[0] != b.Digest() {
		t.Errorf("Tags = %v, %v; want b", tags, err)
	}
}

func TestInit(t *testing.T) {
	root := openRoot(t, t.TempDir())
	r, err := images.Init(root, images.InitOptions{})
	if err == nil { // a file system with fs-verity
		if !r.Secure() {
			t.Error("a repository that must be secure is not")
		}
		r.Close()
		return
	}
	if !strings.Contains(err.Error(), "fs-verity") {
		t.Errorf("Init without fs-verity = %v", err)
	}
	if _, err := images.Open(root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open after a failed Init = %v", err)
	}
	for range 2 { // the second finds the first's
		r, err := images.Init(root, images.InitOptions{Insecure: true})
		if err != nil {
			t.Fatal(err)
		}
		if r.Secure() || r.Algorithm() != verity.SHA512 {
			t.Errorf("secure %v, algorithm %v", r.Secure(), r.Algorithm())
		}
		r.Close()
	}
	if _, err := images.Init(root, images.InitOptions{}); err == nil || !strings.Contains(err.Error(), "without fs-verity") {
		t.Errorf("Init over an insecure repository = %v", err)
	}
}

func TestMeta(t *testing.T) {
	doc := func(version, algorithm, readOnly, incompatible string) string {
		return `{"version":` + version + `,"algorithm":"` + algorithm + `","features":{"compatible":["x"],"read-only-compatible":[` + readOnly + `],"incompatible":[` + incompatible + `]}}`
	}
	for _, c := range []struct{ text, open, change string }{
		{doc("1", "fsverity-sha512-12", `"v1_erofs"`, ""), "", ""},
		{doc("1", "fsverity-sha256-12", "", ""), "", ""},
		{doc("1", "fsverity-sha512-12", `"v1_erofs","new"`, ""), "", `feature "new", which allows only reading`},
		{doc("1", "fsverity-sha512-12", "", `"new"`), `feature "new" is not supported`, ""},
		{doc("2", "fsverity-sha512-12", "", ""), "version 2", ""},
		{doc("1", "fsverity-sha512-16", "", ""), `algorithm "fsverity-sha512-16"`, ""},
		{"{", "reading meta.json", ""},
		{"", "reading meta.json", ""},
	} {
		_, path := newRepo(t)
		if err := os.WriteFile(filepath.Join(path, "meta.json"), []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := images.Open(openRoot(t, path))
		if c.open != "" {
			if err == nil || !strings.Contains(err.Error(), c.open) {
				t.Errorf("Open with %s = %v, want %q", c.text, err, c.open)
			}
			continue
		}
		if err != nil {
			t.Errorf("Open with %s = %v", c.text, err)
			continue
		}
		_, err = r.Pull(context.Background(), twoLayers(imagestest.Options{}), nil)
		if c.change == "" && err != nil || c.change != "" && (err == nil || !strings.Contains(err.Error(), c.change)) {
			t.Errorf("Pull with %s = %v, want %q", c.text, err, c.change)
		}
		r.Close()
	}
}

func TestExclusive(t *testing.T) {
	r, path := newRepo(t)
	other := openRepo(t, path) // a shared lock of its own
	if _, err := r.Exclusive(); !errors.Is(err, images.ErrInUse) {
		t.Errorf("Exclusive beside another = %v, want ErrInUse", err)
	}
	if _, err := other.Exclusive(); !errors.Is(err, images.ErrInUse) {
		t.Errorf("after a vain attempt the shared lock is gone: %v", err)
	}
	other.Close()
	release, err := r.Exclusive()
	if err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	openRepo(t, path) // does not wait
}
