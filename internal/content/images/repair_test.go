package images_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// repair checks, repairs and checks again.
func repair(t *testing.T, r *images.Repository, src *imagestest.Image, ids ...bootc.ID) *images.Report {
	t.Helper()
	report, err := r.Check(t.Context(), images.CheckOptions{})
	must(t, err)
	r.Condemn(report)
	_, err = r.Upgrade()
	must(t, err)
	if r.Damaged(src.Digest(), ids...) {
		must(t, r.Repair(t.Context(), src, nil, ids...))
	}
	report, err = r.Check(t.Context(), images.CheckOptions{})
	must(t, err)
	return report
}

// TestRepair damages a repository in many ways and repairs it from the image. A
// layer whose objects are whole is not fetched.
func TestRepair(t *testing.T) {
	src := twoLayers(imagestest.Options{})
	tool := "objects/" + verity.Sum(verity.SHA512, []byte(imagestest.Big("tool", 300_000))).ObjectPath()
	conf := "objects/" + verity.Sum(verity.SHA512, []byte(imagestest.Big("conf", 65))).ObjectPath()
	one := func(path, pattern string) string {
		all, err := filepath.Glob(filepath.Join(path, pattern))
		if err != nil || len(all) == 0 {
			t.Fatalf("%s: %v, %v", pattern, all, err)
		}
		return strings.TrimPrefix(all[0], path+"/")
	}
	for _, d := range []struct {
		name    string
		do      func(path string)
		fetched int
	}{
		{"an object of the first layer flipped", func(path string) { flipAt(tool, 5)(t, path) }, 1},
		{"an object of the second layer removed", func(path string) { remove(conf)(t, path) }, 1},
		{"objects of both layers", func(path string) { flipAt(tool, 5)(t, path); remove(conf)(t, path) }, 2},
		{"the image that boots flipped", func(path string) { flipAt(one(path, "images/*"), 1024)(t, path) }, 0},
		{"an image removed", func(path string) { removeObject(one(path, "images/*"))(t, path) }, 0},
		{"the link of an image removed", func(path string) { remove(one(path, "images/*"))(t, path) }, 0},
		{"all images removed", func(path string) { remove("images")(t, path) }, 0},
		{"the manifest's stream flipped", func(path string) { flipAt(one(path, "streams/oci-manifest*"), 3)(t, path) }, 0},
		{"the link of the manifest removed", func(path string) { remove(one(path, "streams/oci-manifest*"))(t, path) }, 0},
		{"the config's stream removed", func(path string) { removeObject(one(path, "streams/oci-config*"))(t, path) }, 0},
		{"the link of the config removed", func(path string) { remove(one(path, "streams/oci-config*"))(t, path) }, 0},
		{"a layer's stream flipped", func(path string) { flipAt(one(path, "streams/oci-layer*"), -1)(t, path) }, 1},
		{"the link of a layer removed", func(path string) { remove(one(path, "streams/oci-layer*"))(t, path) }, 1},
		{"meta.json removed", func(path string) { remove("meta.json")(t, path) }, 0},
	} {
		w, path := newRepo(t)
		id, err := keep(w, src)
		must(t, err)
		w.Close()
		d.do(path)
		r := openRepo(t, path)
		src.Opened()
		if report := repair(t, r, src); !report.OK() {
			t.Errorf("%s: left %v", d.name, report.Problems)
		}
		if got := len(src.Opened()); got != d.fetched {
			t.Errorf("%s: fetched %d layers, want %d", d.name, got, d.fetched)
		}
		checkImage(t, r, d.name, src.Digest(), id)
		checkLayout(t, path)
	}
}

// TestRepairFormats composes what a config names: the images of other formats,
// too.
func TestRepairFormats(t *testing.T) {
	src := twoLayers(imagestest.Options{})
	path := t.TempDir()
	w, err := images.Init(openRoot(t, path), images.InitOptions{Unverified: true, Formats: []images.Format{images.V0, images.V2}})
	must(t, err)
	_, err = keep(w, src)
	must(t, err)
	w.Close()
	for name := range links(t, path) {
		if strings.HasPrefix(name, "images/") {
			flipAt(name, -1)(t, path)
		}
	}
	if report := repair(t, openRepo(t, path), src); !report.OK() || report.Images != 4 {
		t.Errorf("%d images, problems %v", report.Images, report.Problems)
	}
}

// TestRepairFails leaves things as they are when the image cannot be fetched,
// and tells of an EROFS image that was not made from it.
func TestRepairFails(t *testing.T) {
	src := twoLayers(imagestest.Options{})
	w, path := newRepo(t)
	_, err := keep(w, src)
	must(t, err)
	w.Close()
	object := filepath.Join(path, "objects", verity.Sum(verity.SHA512, []byte(imagestest.Big("tool", 300_000))).ObjectPath())
	must(t, flip(object, 7))
	damaged, err := os.ReadFile(object)
	must(t, err)
	broken := errors.New("broken")
	src.Spoil(0, imagestest.Fault{Truncate: 100, Err: broken})
	r := openRepo(t, path)
	report, err := r.Check(t.Context(), images.CheckOptions{})
	must(t, err)
	r.Condemn(report)
	if err := r.Repair(t.Context(), src, nil); !errors.Is(err, broken) {
		t.Errorf("Repair = %v", err)
	}
	if now, err := os.ReadFile(object); err != nil || string(now) != string(damaged) {
		t.Errorf("the damaged object has changed: %v", err)
	}
	src.Spoil(0, imagestest.Fault{})
	err = r.Repair(t.Context(), src, nil, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff")
	if err == nil || !strings.Contains(err.Error(), "001122") {
		t.Errorf("Repair with an image that was not made from it = %v", err)
	}
	if report, err := r.Check(t.Context(), images.CheckOptions{}); err != nil || !report.OK() {
		t.Errorf("after all: %v, %v", report.Problems, err)
	}
}
