package images_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// TestFormats reads which formats a repository has for new EROFS images.
func TestFormats(t *testing.T) {
	doc := func(feature, formats string) string {
		return `{"version":1,"algorithm":"fsverity-sha512-12","features":{"read-only-compatible":[` + feature + `]}` + formats + `}`
	}
	for _, c := range []struct {
		text string
		want []images.Format
	}{
		{doc(`"v1_erofs"`, `,"erofs_formats":{"default":1}`), []images.Format{images.V1}},
		{doc(``, `,"erofs_formats":{"default":1}`), []images.Format{images.V1}},
		{doc(``, `,"erofs_formats":{"default":0}`), []images.Format{images.V0}},
		{doc(`"v1_erofs"`, `,"erofs_formats":{"default":1,"extra":[2,0,1,2]}`), []images.Format{images.V1, images.V0, images.V2}},
		{doc(``, `,"erofs_formats":{"default":2,"extra":[1]}`), []images.Format{images.V2, images.V1}},
		{doc(``, ``), []images.Format{images.V2}},
		{doc(`"v1_erofs"`, ``), []images.Format{images.V1}},
		// What the absence of the field is read as is not told from it.
		{doc(`"v1_erofs"`, `,"erofs_formats":{"default":2}`), []images.Format{images.V1}},
		{doc(``, `,"erofs_formats":{"default":3}`), nil},
	} {
		_, path := newRepo(t)
		must(t, os.WriteFile(filepath.Join(path, "meta.json"), []byte(c.text), 0o644))
		r, err := images.Open(openRoot(t, path))
		if err != nil {
			if c.want != nil {
				t.Errorf("%s: %v", c.text, err)
			}
			continue
		}
		if diff := cmp.Diff(c.want, r.Formats()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.text, diff)
		}
		r.Close()
	}
}

// TestExtraFormats composes in every format of the repository.
func TestExtraFormats(t *testing.T) {
	path := t.TempDir()
	r, err := images.Init(openRoot(t, path), images.InitOptions{Unverified: true, Formats: []images.Format{images.V2, images.V1}})
	must(t, err)
	src := twoLayers(imagestest.Options{})
	id := compose(t, r, pull(t, r, src))
	named, err := images.Named(r, src.Digest())
	must(t, err)
	for _, name := range []string{"composefs.image", "composefs.image.boot", "composefs.image.v1", "composefs.image.boot.v1"} {
		if _, err := os.Stat(filepath.Join(path, "images", named[name].String())); named[name].IsZero() || err != nil {
			t.Errorf("%s is %v, %v", name, named[name], err)
		}
	}
	if got := named["composefs.image.boot"].String(); got != string(id) {
		t.Errorf("the ID is %s, want that of the first format, %s", id, got)
	}
	if want := composeAll(t, src); named["composefs.image.boot.v1"].String() != string(want) {
		t.Errorf("the image of format V1 is %v, want %s", named["composefs.image.boot.v1"], want)
	}
}

// TestNoMeta opens repositories that are older than meta.json. Reading leaves
// them as they are; a pull writes it.
func TestNoMeta(t *testing.T) {
	for name, want := range map[string]struct {
		a verity.Algorithm
		f images.Format
	}{"sha512-v1": {verity.SHA512, images.V1}, "sha256-v2": {verity.SHA256, images.V2}} {
		path := unpack(t, "testdata/"+name+".tar.gz")
		file := filepath.Join(path, "meta.json")
		before, err := os.ReadFile(file)
		must(t, err)
		must(t, os.Remove(file))
		r := openRepo(t, path)
		if f := r.Formats(); r.Algorithm() != want.a || len(f) != 1 || f[0] != want.f || r.Secure() || r.HasMeta() {
			t.Errorf("%s: algorithm %v, formats %v, secure %v", name, r.Algorithm(), f, r.Secure())
		}
		for _, u := range upstreamImages(t, name) {
			if _, err := r.ReadImage(u.bootable); err != nil {
				t.Error(err)
			}
		}
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: reading wrote meta.json: %v", name, err)
		}
		compose(t, r, pull(t, r, twoLayers(imagestest.Options{})))
		after, err := os.ReadFile(file)
		if diff := cmp.Diff(string(before), string(after)); diff != "" || err != nil || !r.HasMeta() {
			t.Errorf("%s: meta.json: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// TestReadOnlyFeature reads a repository that must not be written, and changes
// nothing in it.
func TestReadOnlyFeature(t *testing.T) {
	path := unpack(t, "testdata/sha512-v1.tar.gz")
	text := `{"version":1,"algorithm":"fsverity-sha512-12","features":{"compatible":[],"read-only-compatible":["v1_erofs","other"],"incompatible":[]},"erofs_formats":{"default":1}}`
	must(t, os.WriteFile(filepath.Join(path, "meta.json"), []byte(text), 0o644))
	r := openRepo(t, path)
	u := upstreamImages(t, "sha512-v1")[0]
	img, err := r.Image(u.manifest)
	if err != nil {
		t.Fatal(err)
	}
	before := links(t, path)
	for what, err := range map[string]error{
		"Compose": func() error { _, err := r.Compose(t.Context(), img); return err }(),
		"Tag":     r.Tag(u.manifest), "Untag": r.Untag(u.manifest), "RemoveImage": r.RemoveImage(u.bootable),
	} {
		if err == nil {
			t.Errorf("%s succeeds", what)
		}
	}
	if diff := cmp.Diff(before, links(t, path)); diff != "" {
		t.Errorf("links changed:\n%s", diff)
	}
}
