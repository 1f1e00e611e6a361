package images_test

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/splitstream"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// age gives all streams of a repository the header that bootc before 1.16
// wrote. The digest of a stream changes by that, and so do the references to
// it: layers come first, then configs, then manifests.
func age(t *testing.T, path string, a verity.Algorithm) {
	t.Helper()
	renamed := map[verity.Digest]verity.Digest{}
	for _, kind := range []string{"oci-layer-", "oci-config-", "oci-manifest-"} {
		for _, name := range slices.Sorted(maps.Keys(links(t, path))) {
			if !strings.HasPrefix(name, "streams/"+kind) {
				continue
			}
			link := filepath.Join(path, name)
			data, err := os.ReadFile(link)
			if err != nil {
				t.Fatal(err)
			}
			was := verity.Sum(a, data)
			for from, to := range renamed {
				data = bytes.ReplaceAll(data, from.Bytes(), to.Bytes())
			}
			aged := slices.Concat(data[16:32], data[12:14], data[:12], data[14:16], data[32:])
			now := verity.Sum(a, aged)
			renamed[was] = now
			object := filepath.Join(path, "objects", now.ObjectPath())
			must(t, os.MkdirAll(filepath.Dir(object), 0o755))
			must(t, os.WriteFile(object, aged, 0o644))
			must(t, os.Remove(filepath.Join(path, "objects", was.ObjectPath())))
			must(t, os.Remove(link))
			must(t, os.Symlink("../objects/"+now.ObjectPath(), link))
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestOldStreams reads a repository with the streams of bootc before 1.16.
func TestOldStreams(t *testing.T) {
	for name, a := range map[string]verity.Algorithm{"sha512-v1": verity.SHA512, "sha256-v2": verity.SHA256} {
		path := unpack(t, "testdata/"+name+".tar.gz")
		age(t, path, a)
		r := openRepo(t, path)
		for _, u := range upstreamImages(t, name) {
			img, err := r.Image(u.manifest)
			if err != nil {
				t.Errorf("%s: %v", u.tag, err)
				continue
			}
			for _, d := range img.Config.RootFS.DiffIDs {
				h := &digester{}
				if err := r.CatLayer(h, bootc.Digest(d)); err != nil || h.digest() != bootc.Digest(d) {
					t.Errorf("%s: layer %s comes back as %s, %v", u.tag, d, h.digest(), err)
				}
			}
		}
	}
}

// TestPullRenews pulls an image that is there in old streams: nothing is
// fetched, and all its streams are written anew.
func TestPullRenews(t *testing.T) {
	r, path := newRepo(t)
	src := twoLayers(imagestest.Options{})
	id := compose(t, r, pull(t, r, src))
	must(t, r.Tag(src.Digest()))
	age(t, path, verity.SHA512)

	src.Opened()
	img := pull(t, r, src)
	if opened := src.Opened(); len(opened) != 0 {
		t.Errorf("fetched again: %v", opened)
	}
	for name := range links(t, path) {
		if !strings.HasPrefix(name, "streams/oci-") {
			continue
		}
		f, err := os.Open(filepath.Join(path, name))
		must(t, err)
		defer f.Close()
		st, err := f.Stat()
		must(t, err)
		if s, err := splitstream.Open(f, st.Size()); err != nil || s.Old {
			t.Errorf("%s: %+v, %v; want the current layout", name, s, err)
		}
	}
	if named, err := images.Named(r, src.Digest()); err != nil || named["composefs.image.boot.v1"].String() != string(id) {
		t.Errorf("the composed image is no longer named: %v, %v", named, err)
	}
	if again := compose(t, r, img); again != id {
		t.Errorf("composed %s, want %s", again, id)
	}
	checkLayout(t, path)
}
