package images_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/erofs"
	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// TestWays composes an image in each of the ways in which there are images, by
// the ID that each gives.
func TestWays(t *testing.T) {
	entries := append(imagestest.Base(),
		imagestest.Entry{Name: "boot/", Fraction: 5},
		imagestest.Entry{Name: "usr/bin/a", Body: "a", Xattrs: map[string]string{"user.x": "y"}})
	src := imagestest.New(imagestest.Options{}, imagestest.Layer{Entries: entries})
	data := imagestest.Tar(entries)
	seen := map[bootc.ID]bool{}
	for _, o := range []layer.Options{{}, {KeepNanoseconds: true}, {KeepUserXattrs: true}, {KeepUserXattrs: true, KeepNanoseconds: true}} {
		for _, version := range []erofs.Version{erofs.V1, erofs.V2} {
			want := idOf(t, data, o, version)
			r, _ := newRepo(t)
			img := pull(t, r, src)
			before := paths(img.Tree)
			if ok, err := r.Makes(context.Background(), img, want); err != nil || !ok {
				t.Errorf("Makes %+v, version %d: %v, %v", o, version, ok, err)
			}
			id, err := r.ComposeAs(context.Background(), img, want)
			if err != nil || id != want {
				t.Errorf("ComposeAs %+v, version %d: %s, %v; want %s", o, version, id, err, want)
				continue
			}
			seen[id] = true
			if _, err := r.ReadImage(id); err != nil {
				t.Error(err)
			}
			if info, err := r.FindByID(id); err != nil || info.Manifest != src.Digest() {
				t.Errorf("FindByID: %v, %v", info, err)
			}
			if ok, err := r.Makes(context.Background(), img, id); err != nil || !ok {
				t.Errorf("Makes of what it has composed: %v, %v", ok, err)
			}
			if diff := cmp.Diff(before, paths(img.Tree)); diff != "" {
				t.Errorf("composing has changed the tree: %s", diff)
			}
		}
	}
	if len(seen) != 6 { // version 2 has no nanoseconds
		t.Errorf("%d different IDs, want 6", len(seen))
	}
}

// TestWaysOthers checks that another image is not taken for the same, and what
// is composed for an ID that no way gives.
func TestWaysOthers(t *testing.T) {
	r, _ := newRepo(t)
	one := pull(t, r, imagestest.New(imagestest.Options{}, imagestest.Layer{Entries: append(imagestest.Base(), imagestest.File("usr/bin/a", "a"))}))
	two := pull(t, r, imagestest.New(imagestest.Options{}, imagestest.Layer{Entries: append(imagestest.Base(), imagestest.File("usr/bin/a", "b"))}))
	id := compose(t, r, one)
	if got, err := r.ID(one); err != nil || got != id {
		t.Errorf("ID = %s, %v; want %s as composed", got, err, id)
	}
	if ok, err := r.Makes(context.Background(), two, id); err != nil || ok {
		t.Errorf("Makes of another image: %v, %v", ok, err)
	}
	if err := r.RemoveImage(id); err != nil {
		t.Fatal(err)
	}
	if ok, err := r.Makes(context.Background(), two, id); err != nil || ok {
		t.Errorf("Makes of another image that is not there: %v, %v", ok, err)
	}
	got, err := r.ComposeAs(context.Background(), two, id)
	if want := compose(t, r, two); err != nil || got != want {
		t.Errorf("ComposeAs = %s, %v; want %s as of Compose", got, err, want)
	}
}

// idOf makes the ID of an image of one layer, without a repository.
func idOf(t *testing.T, data []byte, o layer.Options, version erofs.Version) bootc.ID {
	t.Helper()
	l, err := layer.Read(bytes.NewReader(data), nil, nil, layer.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	tr := tree.New()
	if err := layer.Apply(tr, l); err != nil {
		t.Fatal(err)
	}
	if err := o.Plain(tr); err != nil {
		t.Fatal(err)
	}
	if err := o.Boot(tr, func(n *tree.Node) ([]byte, error) { return n.Content, nil }); err != nil {
		t.Fatal(err)
	}
	h := verity.New(verity.SHA512)
	if err := erofs.Write(h, tr, erofs.Options{Version: version}); err != nil {
		t.Fatal(err)
	}
	return bootc.ID(h.Sum().String())
}
