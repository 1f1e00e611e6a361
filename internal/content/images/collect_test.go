package images_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
)

func collect(t *testing.T, r *images.Repository, o images.CollectOptions) images.Garbage {
	t.Helper()
	g, err := r.Collect(t.Context(), o)
	if err != nil {
		t.Fatalf("Collect: %v", err)
	}
	return g
}

// TestCollectUpstream collects the garbage of repositories that upstream's tool
// made: as many objects and bytes as that tool finds; all tagged images stay.
func TestCollectUpstream(t *testing.T) {
	for name, want := range map[string]images.Garbage{
		"sha512-v1": {Objects: 36, Bytes: 47496, Images: 2, Streams: 3},
		"sha256-v2": {Objects: 36, Bytes: 19885, Images: 2, Streams: 3},
	} {
		path := unpack(t, "testdata/"+name+".tar.gz")
		r := openRepo(t, path)
		before := slices.Concat(objectFiles(t, path), sortedKeys(links(t, path)))
		if got := collect(t, r, images.CollectOptions{DryRun: true}); got != want {
			t.Errorf("%s: a dry run finds %+v, want %+v", name, got, want)
		}
		if diff := cmp.Diff(before, slices.Concat(objectFiles(t, path), sortedKeys(links(t, path)))); diff != "" {
			t.Errorf("%s: a dry run changed something:\n%s", name, diff)
		}
		objects := len(objectFiles(t, path))
		if got := collect(t, r, images.CollectOptions{}); got != want || objects-len(objectFiles(t, path)) != want.Objects {
			t.Errorf("%s: collected %+v, want %+v; %d objects of %d are left", name, got, want, len(objectFiles(t, path)), objects)
		}
		if got := collect(t, r, images.CollectOptions{}); !got.None() {
			t.Errorf("%s: a second time %+v", name, got)
		}
		checkLayout(t, path)
		for _, u := range upstreamImages(t, name) {
			if _, err := os.Lstat(filepath.Join(path, "streams/refs/oci", strings.ReplaceAll(u.tag, "/", "%2F"))); err == nil {
				checkImage(t, r, name+" "+u.tag, u.manifest, u.bootable)
			}
		}
	}
}

// TestCollectRoots keeps what a tag, a deployment or a name given needs, and
// nothing else.
func TestCollectRoots(t *testing.T) {
	tagged := twoLayers(imagestest.Options{Version: "tagged"})
	deployed := imagestest.New(imagestest.Options{Version: "deployed"}, imagestest.Layer{Entries: append(imagestest.Base(), imagestest.File("usr/d", imagestest.Big("d", 9000)))})
	named := imagestest.New(imagestest.Options{Version: "named"}, imagestest.Layer{Entries: append(imagestest.Base(), imagestest.File("usr/n", imagestest.Big("n", 9000)))})
	gone := imagestest.New(imagestest.Options{Version: "gone"}, imagestest.Layer{Entries: append(imagestest.Base(),
		imagestest.File("usr/g", imagestest.Big("g", 9000)), imagestest.File("usr/same", imagestest.Big("tool", 300_000)))})
	r, path := newRepo(t)
	ids := map[*imagestest.Image]bootc.ID{}
	for _, src := range []*imagestest.Image{tagged, deployed, named, gone} {
		ids[src] = compose(t, r, pull(t, r, src))
	}
	must(t, r.Tag(tagged.Digest()))
	for _, temp := range []string{".tmp-object-x", "../streams/.symlink-x", "../images/.symlink-x", "../.tmp-meta"} {
		must(t, os.WriteFile(filepath.Join(path, "objects", temp), nil, 0o644))
	}
	stray := filepath.Join(path, "objects", filepath.Dir(strings.TrimPrefix(objectFiles(t, path)[0], path+"/objects/")), "stray")
	must(t, os.WriteFile(stray, nil, 0o644))

	collect(t, r, images.CollectOptions{
		Images: []bootc.ID{ids[deployed]},
		Roots:  []string{"oci-manifest-" + string(named.Digest()), "nothing"},
	})
	checkImage(t, r, "tagged", tagged.Digest(), ids[tagged])
	checkImage(t, r, "named", named.Digest(), ids[named])
	tree, err := r.ReadImage(ids[deployed])
	must(t, err)
	for name, n := range files(tree) {
		if _, err := r.ReadFile(n); err != nil {
			t.Errorf("%s of the deployed image: %v", name, err)
		}
	}
	for _, src := range []*imagestest.Image{deployed, gone} {
		if _, err := r.Info(src.Digest()); !errors.Is(err, images.ErrNotFound) {
			t.Errorf("an image that nothing keeps is there: %v", err)
		}
	}
	if _, err := r.ReadImage(ids[gone]); !errors.Is(err, images.ErrNotFound) {
		t.Errorf("an EROFS image that nothing keeps is there: %v", err)
	}
	if _, err := os.Stat(stray); err != nil {
		t.Errorf("what is not an object was removed: %v", err)
	}
	must(t, os.Remove(stray))
	checkLayout(t, path)
	if left, _ := filepath.Glob(path + "/objects/.tmp*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}

	// The last one goes, too.
	must(t, r.Untag(tagged.Digest()))
	collect(t, r, images.CollectOptions{})
	if objects, links := objectFiles(t, path), links(t, path); len(objects)+len(links) > 0 {
		t.Errorf("without any root there are %d objects, %d links", len(objects), len(links))
	}
}

// TestCollectRefuses removes nothing where it cannot know what is needed.
func TestCollectRefuses(t *testing.T) {
	src := twoLayers(imagestest.Options{})
	for name, spoil := range map[string]func(path string, id bootc.ID) error{
		"spoiled image": func(path string, id bootc.ID) error {
			return flip(filepath.Join(path, "images", string(id)), 1024)
		},
		"missing image": func(path string, id bootc.ID) error { return os.Remove(filepath.Join(path, "images", string(id))) },
		"spoiled manifest stream": func(path string, _ bootc.ID) error {
			return flip(filepath.Join(path, "streams/oci-manifest-"+string(src.Digest())), 40)
		},
		"dangling tag": func(path string, _ bootc.ID) error {
			return os.Symlink("../../oci-manifest-sha256:none", filepath.Join(path, "streams/refs/oci/x"))
		},
		"foreign tag": func(path string, _ bootc.ID) error {
			return os.Symlink("../../../meta.json", filepath.Join(path, "streams/refs/oci/x"))
		},
		"foreign link": func(path string, _ bootc.ID) error {
			return os.Symlink("../meta.json", filepath.Join(path, "streams/x"))
		},
		"read-only": func(path string, _ bootc.ID) error {
			text := `{"version":1,"algorithm":"fsverity-sha512-12","features":{"read-only-compatible":["x"]}}`
			return os.WriteFile(filepath.Join(path, "meta.json"), []byte(text), 0o644)
		},
	} {
		w, path := newRepo(t)
		compose(t, w, pull(t, w, imagestest.New(imagestest.Options{Version: "garbage"}, imagestest.Layer{Entries: imagestest.Base()})))
		id := compose(t, w, pull(t, w, src))
		must(t, w.Tag(src.Digest()))
		w.Close()
		must(t, spoil(path, id))
		r := openRepo(t, path)
		before := len(objectFiles(t, path))
		_, err := r.Collect(t.Context(), images.CollectOptions{Images: []bootc.ID{id}})
		if err == nil {
			t.Errorf("%s: Collect succeeds", name)
		}
		if after := len(objectFiles(t, path)); after != before {
			t.Errorf("%s: %d objects of %d are left", name, after, before)
		}
		r.Close()
	}
}

// flip changes one bit of a file.
func flip(name string, at int64) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	data[at] ^= 1
	return os.WriteFile(name, data, 0o644)
}

// TestCollectWaits does not collect while another has the repository open.
func TestCollectWaits(t *testing.T) {
	r, path := newRepo(t)
	other := openRepo(t, path)
	if _, err := r.Collect(t.Context(), images.CollectOptions{}); !errors.Is(err, images.ErrInUse) {
		t.Errorf("Collect beside another = %v, want ErrInUse", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped")
	cancel(stop)
	if _, err := r.Collect(ctx, images.CollectOptions{Wait: time.Hour}); !errors.Is(err, stop) {
		t.Errorf("Collect that is stopped = %v", err)
	}
	if _, err := r.Collect(t.Context(), images.CollectOptions{DryRun: true}); err != nil {
		t.Errorf("a dry run beside another: %v", err)
	}
	done := make(chan error)
	go func() {
		_, err := r.Collect(context.Background(), images.CollectOptions{Wait: time.Hour})
		done <- err
	}()
	must(t, other.Close())
	must(t, <-done)
}

// TestCollectPowerCut cuts the power before every removal and every flush of a
// collection. What was removed since the last flush may have happened or not:
// either all links that went are back, with the tag that was removed before, or
// the tag alone.
func TestCollectPowerCut(t *testing.T) {
	for _, tagOnly := range []bool{false, true} {
		testCollectPowerCut(t, tagOnly)
	}
}

func testCollectPowerCut(t *testing.T, tagOnly bool) {
	kept := twoLayers(imagestest.Options{Version: "kept"})
	dropped := imagestest.New(imagestest.Options{Version: "dropped"},
		imagestest.Layer{Entries: append(imagestest.Base(), imagestest.File("usr/old", imagestest.Big("old", 200_000)))})
	cuts := 0
	for done := false; !done; cuts++ {
		r, path := newRepo(t)
		id := compose(t, r, pull(t, r, kept))
		must(t, r.Tag(kept.Digest()))
		compose(t, r, pull(t, r, dropped))
		must(t, r.Tag(dropped.Digest()))
		tag := "streams/refs/oci/localhost%2Fbootc-" + string(dropped.Digest())
		back := map[string]string{tag: links(t, path)[tag]} // links that come back
		must(t, os.Remove(filepath.Join(path, tag)))        // not flushed

		left := cuts
		step := func(do func() error) error {
			if left == 0 {
				return errCut
			}
			left--
			return do()
		}
		r.Intercept(func(do func() error) error {
			err := step(do)
			if err == nil {
				clear(back)
			}
			return err
		}, func(do func() error) error { return do() })
		r.InterceptRemove(func(name string, do func() error) error {
			if target, err := os.Readlink(filepath.Join(path, name)); err == nil && left > 0 && !tagOnly {
				back[name] = target
			}
			return step(do)
		})
		_, err := r.Collect(t.Context(), images.CollectOptions{})
		done = err == nil
		if !done && !errors.Is(err, errCut) {
			t.Fatalf("cut %d: %v", cuts, err)
		}
		r.Close()
		for _, name := range slices.Sorted(maps.Keys(back)) {
			if err := os.Symlink(back[name], filepath.Join(path, name)); err != nil && !errors.Is(err, os.ErrExist) {
				t.Fatal(err)
			}
		}

		where := fmt.Sprintf("cut %d", cuts)
		checkLinks(t, where, path)
		r = openRepo(t, path)
		checkImage(t, r, where, kept.Digest(), id)
		if _, err := os.Lstat(filepath.Join(path, tag)); err == nil {
			if _, err := r.Image(dropped.Digest()); err != nil {
				t.Errorf("%s: the tag is back and the image is not: %v", where, err)
			}
			must(t, os.Remove(filepath.Join(path, tag)))
		}
		collect(t, r, images.CollectOptions{})
		if g := collect(t, r, images.CollectOptions{DryRun: true}); !g.None() {
			t.Errorf("%s: left %+v", where, g)
		}
		checkLayout(t, path)
	}
	if cuts < 15 {
		t.Errorf("%d cuts, want at least 15", cuts)
	}
	t.Logf("%d cuts", cuts)
}
