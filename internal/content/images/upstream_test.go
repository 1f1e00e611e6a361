package images_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
)

// A pulled image of one of upstream's repositories.
type upstreamImage struct {
	tag             string
	manifest        bootc.Digest
	plain, bootable bootc.ID
}

func upstreamImages(t *testing.T, name string) []upstreamImage {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name + ".tsv")
	if err != nil {
		t.Fatal(err)
	}
	var all []upstreamImage
	for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		if c := strings.Split(line, "\t"); i > 0 {
			all = append(all, upstreamImage{c[0], bootc.Digest(c[1]), bootc.ID(c[2]), bootc.ID(c[3])})
		}
	}
	return all
}

// TestUpstream opens repositories that upstream's tool made, reads their images
// and composes them again: the same IDs.
func TestUpstream(t *testing.T) {
	for _, name := range []string{"sha512-v1", "sha256-v2"} {
		t.Run(name, func(t *testing.T) {
			path := unpack(t, "testdata/"+name+".tar.gz")
			r := openRepo(t, path)
			for _, u := range upstreamImages(t, name) {
				img, err := r.Image(u.manifest)
				if err != nil {
					t.Errorf("%s: %v", u.tag, err)
					continue
				}
				if info, err := r.Info(u.manifest); err != nil || info.ID != u.bootable {
					t.Errorf("%s: Info = %v, %v; want ID %s", u.tag, info, err, u.bootable)
				}
				if info, err := r.FindByID(u.bootable); err != nil || info.ID != u.bootable {
					t.Errorf("%s: FindByID = %v, %v", u.tag, info, err)
				}
				plain, err := r.ReadImage(u.plain)
				if err != nil {
					t.Errorf("%s: %v", u.tag, err)
					continue
				}
				if diff := cmp.Diff(paths(plain), paths(img.Tree)); diff != "" {
					t.Errorf("%s: EROFS image and layers differ:\n%s", u.tag, diff)
				}
				for _, d := range img.Config.RootFS.DiffIDs {
					h := &digester{}
					if err := r.CatLayer(h, bootc.Digest(d)); err != nil || h.digest() != bootc.Digest(d) {
						t.Errorf("%s: layer %s comes back as %s, %v", u.tag, d, h.digest(), err)
					}
				}
				id, err := r.Compose(context.Background(), img)
				switch {
				case err != nil:
					t.Errorf("%s: %v", u.tag, err)
				case id != u.bootable:
					t.Errorf("%s: composed %s, want %s", u.tag, id, u.bootable)
				}
				named, err := images.Named(r, u.manifest)
				if plain := named[map[string]string{"sha512-v1": "composefs.image.v1", "sha256-v2": "composefs.image"}[name]]; err != nil || plain.String() != string(u.plain) {
					t.Errorf("%s: plain image %v, %v; want %s", u.tag, plain, err, u.plain)
				}
			}
			// Pulling into it.
			src := twoLayers(imagestest.Options{})
			compose(t, r, pull(t, r, src))
			if err := r.Tag(src.Digest()); err != nil {
				t.Error(err)
			}
			if _, err := openRepo(t, path).Image(src.Digest()); err != nil {
				t.Error(err)
			}
			for link := range links(t, path) {
				if _, err := os.Stat(filepath.Join(path, link)); err != nil {
					t.Errorf("%s leads nowhere: %v", link, err)
				}
			}
			if tags, err := r.Tags(); err != nil || len(tags) != 1 {
				t.Errorf("Tags = %v, %v; want ours only", tags, err)
			}
		})
	}
}

// TestUpstreamPlainImageNames checks that what upstream composed stays named
// when ours adds to it.
func TestUpstreamPlainImageNames(t *testing.T) {
	path := unpack(t, "testdata/sha256-v2.tar.gz")
	r := openRepo(t, path)
	u := upstreamImages(t, "sha256-v2")[0]
	f, err := r.OpenImage(u.bootable)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	img, err := r.Image(u.manifest)
	if err != nil {
		t.Fatal(err)
	}
	r.UseFormat(images.V1)
	id := compose(t, r, img)
	named, err := images.Named(r, u.manifest)
	if err != nil {
		t.Fatal(err)
	}
	if got := named["composefs.image.boot.v1"].String(); got != string(id) {
		t.Errorf("composefs.image.boot.v1 is %s, want %s", got, id)
	}
	if got := named["composefs.image.boot"].String(); got != string(u.bootable) {
		t.Errorf("composefs.image.boot is %s, want upstream's %s", got, u.bootable)
	}
}
