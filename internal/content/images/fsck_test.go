package images_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
)

// A damage spoils one of upstream's repositories.
type damage struct {
	name string
	do   func(t *testing.T, path string)
	// counts are those of upstream's tool.
	counts string
	// kinds are the problems, each once.
	kinds string
}

const (
	sharedObject = "objects/5d/d0a908e53c92d8a28f39c60511194d552d182b3f32817d891753f5964a2a8d7a5e2d089bc491c6009006a4c448651764d2a01920d1615e99df4b12421fc4af"
	someManifest = "streams/oci-manifest-sha256:011b0ed9a1a78ab0dad1adee0f74419aa8112c314e421297115cae39c693c0cf"
	someConfig   = "streams/oci-config-sha256:fe0dba721132fc39b5486c61e3f1a2e07eebc0164f6ddb91433e5ccf8d620a1f"
	someLayer    = "streams/oci-layer-sha256:01175661fdeabf8b730e23f3aa47adca480bd5109a376fbbce4e39acd844f8e1"
	someImage    = "images/3426aabbb9e46a74d1b9ffedc227fbb2e531a555e61c545800a638aac2671efffbd7ee40b0b7b80d771aef305172ae54913ee8a322e33fabb645ab7a4b02932e"
	otherImage   = "images/3e468f7e306a2dd7252b8716c6aa778644342c4f446cad7b5c2d4d07ac600bf89e5c276f619f01068cdea2002d662ec3d3921989e30bee34be761d20e6d9549b"
)

func flipAt(name string, at int64) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		name := filepath.Join(path, name)
		if at < 0 {
			info, err := os.Stat(name)
			must(t, err)
			at += info.Size()
		}
		must(t, flip(name, at))
	}
}

func remove(name string) func(*testing.T, string) {
	return func(t *testing.T, path string) { must(t, os.RemoveAll(filepath.Join(path, name))) }
}

// removeObject removes what a link leads to.
func removeObject(name string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		target, err := filepath.EvalSymlinks(filepath.Join(path, name))
		must(t, err)
		must(t, os.Remove(target))
	}
}

func relink(name, target string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		_ = os.Remove(filepath.Join(path, name))
		must(t, os.Symlink(target, filepath.Join(path, name)))
	}
}

func touch(name string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(path, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(path, name), []byte("x"), 0o644))
	}
}

func damages() []damage {
	return []damage{
		{"untouched", func(*testing.T, string) {}, "", ""},
		{"data object: last byte flipped", flipAt(sharedObject, -1), "objects 1", "object-digest-mismatch"},
		{"data object: truncated", func(t *testing.T, path string) { must(t, os.Truncate(filepath.Join(path, sharedObject), 0)) }, "objects 1", "object-digest-mismatch"},
		{"data object: removed", remove(sharedObject), "missing 19", "image-missing-object missing-object-ref"},
		{"image object: last byte flipped", flipAt(someImage, -1), "objects 1", "object-digest-mismatch"},
		{"image object: magic flipped", flipAt(someImage, 1024), "objects 1 images 1", "image-invalid object-digest-mismatch"},
		{"image object: removed", removeObject(someImage), "images 1 broken 1 missing 1", "broken-symlink missing-named-ref"},
		{"image link: removed", remove(someImage), "", "link-missing"},
		{"image link: to another object", func(t *testing.T, path string) {
			target, err := os.Readlink(filepath.Join(path, otherImage))
			must(t, err)
			relink(someImage, target)(t, path)
		}, "images 1", "image-digest-mismatch"},
		{"layer stream: last byte flipped", flipAt(someLayer, -1), "objects 1", "object-digest-mismatch"},
		{"layer stream: magic flipped", flipAt(someLayer, 0), "objects 1 streams 1", "object-digest-mismatch stream-open-failed"},
		{"layer stream: object removed", removeObject(someLayer), "streams 1 broken 1 missing 6", "broken-symlink missing-named-ref"},
		{"layer stream: link removed", remove(someLayer), "", "link-missing"},
		{"layer stream: another layer", func(t *testing.T, path string) {
			for name, target := range links(t, path) {
				if strings.Contains(name, "oci-layer") && name != someLayer {
					relink(someLayer, target)(t, path)
					return
				}
			}
		}, "streams 1", "stream-content-mismatch"},
		{"manifest stream: another manifest", func(t *testing.T, path string) {
			for name, target := range links(t, path) {
				if strings.Contains(name, "streams/oci-manifest") && name != someManifest {
					relink(someManifest, target)(t, path)
					return
				}
			}
		}, "streams 1", "stream-content-mismatch"},
		{"manifest stream: link removed", remove(someManifest), "broken 1", "broken-symlink"},
		{"config stream: link removed", remove(someConfig), "", "link-missing"},
		{"config stream: object removed", removeObject(someConfig), "streams 1 broken 1 missing 1", "broken-symlink missing-named-ref"},
		{"tag: dangling", relink("streams/refs/oci/x", "../../oci-manifest-sha256:none"), "broken 1", "broken-symlink"},
		{"tag: to a file outside", relink("streams/refs/oci/x", "../../../meta.json"), "", "unexpected-link"},
		{"stray file in objects", touch("objects/x"), "", "object-invalid-name"},
		{"stray file in objects/5d", touch("objects/5d/x"), "objects 1", "object-invalid-name"},
		{"directory objects/zz", touch("objects/zz/x"), "", "object-invalid-name"},
		{"file in streams", touch("streams/x"), "streams 1", "entry-not-symlink"},
		{"link in images to no object", relink("images/x", "../meta.json"), "images 1", "unexpected-link"},
		{"meta.json: removed", remove("meta.json"), "", "metadata-missing"},
		{"meta.json: another algorithm", func(t *testing.T, path string) {
			must(t, os.WriteFile(filepath.Join(path, "meta.json"), []byte(`{"version":1,"algorithm":"fsverity-sha256-12"}`), 0o644))
		}, "objects 85 streams 21 images 14 broken 6", "broken-symlink object-invalid-name unexpected-link"},
		{"streams: removed", remove("streams"), "", "directory-missing"},
		{"images: removed", remove("images"), "", "directory-missing link-missing"},
	}
}

func counts(r *images.Report) string {
	var all []string
	for _, c := range []struct {
		name string
		n    int
	}{{"objects", r.BadObjects}, {"streams", r.BadStreams}, {"images", r.BadImages}, {"broken", r.Broken}, {"missing", r.Missing}} {
		if c.n > 0 {
			all = append(all, fmt.Sprint(c.name, " ", c.n))
		}
	}
	return strings.Join(all, " ")
}

func kinds(r *images.Report) string {
	var all []string
	for _, p := range r.Problems {
		all = append(all, p.Kind)
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), " ")
}

// TestCheckDamages finds what upstream's tool finds, with the same counts, and
// what it does not find.
func TestCheckDamages(t *testing.T) {
	for _, d := range damages() {
		path := unpack(t, "testdata/sha512-v1.tar.gz")
		d.do(t, path)
		r, err := openRepo(t, path).Check(t.Context(), images.CheckOptions{})
		if err != nil {
			t.Errorf("%s: %v", d.name, err)
			continue
		}
		if got := counts(r); got != d.counts {
			t.Errorf("%s: counts %q, want %q", d.name, got, d.counts)
		}
		if got := kinds(r); got != d.kinds || r.OK() != (d.kinds == "") {
			t.Errorf("%s: %q, want %q: %v", d.name, got, d.kinds, r.Problems)
		}
	}
}

// TestCheckSound checks repositories in order: upstream's, ours, one of each
// old kind.
func TestCheckSound(t *testing.T) {
	ours, oursPath := newRepo(t)
	must(t, func() error { _, err := keep(ours, twoLayers(imagestest.Options{})); return err }())
	paths := []string{oursPath, unpack(t, "testdata/sha512-v1.tar.gz"), unpack(t, "testdata/sha256-v2.tar.gz")}
	want := [][]int{{0, 4, 2}, {85, 21, 14}, {85, 21, 14}}
	for i, path := range paths {
		r, err := openRepo(t, path).Check(t.Context(), images.CheckOptions{})
		must(t, err)
		if !r.OK() || !r.HasMeta || len(r.Notes) > 0 {
			t.Errorf("%s: %v, notes %v", path, r.Problems, r.Notes)
		}
		if i == 0 {
			want[0][0] = len(objectFiles(t, path))
			// The streams as they were before the images were composed.
			if len(r.Orphans) != 2 || r.OrphanBytes == 0 {
				t.Errorf("orphans: %v", r.Orphans)
			}
		}
		if diff := cmp.Diff(want[i], []int{r.Objects, r.Streams, r.Images}); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

// TestCheckGarbage does not call garbage wrong that a collection or a verb has
// taken half of.
func TestCheckGarbage(t *testing.T) {
	r, path := newRepo(t)
	src := twoLayers(imagestest.Options{})
	id, err := keep(r, src)
	must(t, err)
	must(t, r.Untag(src.Digest()))
	must(t, r.RemoveImage(id))
	report, err := openRepo(t, path).Check(t.Context(), images.CheckOptions{})
	must(t, err)
	if !report.OK() || len(report.Notes) != 1 || report.Notes[0].Path != "images/"+string(id) {
		t.Errorf("problems %v, notes %v", report.Problems, report.Notes)
	}
}

// TestCheckMetadataOnly leaves the content of objects alone.
func TestCheckMetadataOnly(t *testing.T) {
	path := unpack(t, "testdata/sha512-v1.tar.gz")
	must(t, flip(filepath.Join(path, sharedObject), 0))
	r, err := openRepo(t, path).Check(t.Context(), images.CheckOptions{MetadataOnly: true})
	must(t, err)
	if !r.OK() || r.Objects != 0 || r.Streams != 21 {
		t.Errorf("%d objects, %d streams, problems %v", r.Objects, r.Streams, r.Problems)
	}
}
