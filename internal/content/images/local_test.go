package images_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/tree"
)

// medium makes a repository with an image, composed.
func medium(t *testing.T) (r *images.Repository, path string, manifest bootc.Digest, id bootc.ID) {
	t.Helper()
	r, path = newRepo(t)
	img := pull(t, r, twoLayers(imagestest.Options{}))
	return r, path, img.Manifest, compose(t, r, img)
}

func source(t *testing.T, r *images.Repository, manifest bootc.Digest) images.Source {
	t.Helper()
	src, err := r.Source(manifest)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// TestSource copies an image from one repository to another one: the same manifest,
// the same ID, the same objects and links as a pull from where it came from gives.
func TestSource(t *testing.T) {
	from, _, manifest, id := medium(t)
	to, path := newRepo(t)
	img := pull(t, to, source(t, from, manifest))
	if got := compose(t, to, img); got != id || img.Manifest != manifest {
		t.Errorf("the copy is %s of %s, want %s of %s", got.Short(), img.Manifest, id.Short(), manifest)
	}
	checkLayout(t, path)
	direct, directPath := newRepo(t)
	compose(t, direct, pull(t, direct, twoLayers(imagestest.Options{})))
	if diff := cmp.Diff(links(t, directPath), links(t, path)); diff != "" {
		t.Errorf("links, pulled and copied (-pulled +copied):\n%s", diff)
	}
	if got, want := len(objectFiles(t, path)), len(objectFiles(t, directPath)); got != want {
		t.Errorf("%d objects were copied, want %d", got, want)
	}
	if _, err := from.Source("sha256:" + bootc.Digest(strings.Repeat("0", 64))); !errors.Is(err, images.ErrNotFound) {
		t.Errorf("an image that is not there: %v", err)
	}
}

// TestSourceDamaged spoils each object that a layer needs, in turn: the copy is
// refused, the object is named, and nothing refers to what was copied.
func TestSourceDamaged(t *testing.T) {
	from, fromPath, manifest, _ := medium(t)
	img, err := from.Image(manifest)
	if err != nil {
		t.Fatal(err)
	}
	img.Tree.Walk(func(name string, n *tree.Node) error {
		if n.Object.IsZero() {
			return nil
		}
		p := filepath.Join(fromPath, "objects", n.Object.ObjectPath())
		good, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for fault, bad := range map[string][]byte{
			"a flipped bit": append([]byte{good[0] ^ 1}, good[1:]...),
			"cut short":     good[:len(good)-1],
			"longer":        append(good[:len(good):len(good)], 0),
		} {
			write(t, p, bad)
			to, path := newRepo(t)
			_, err = to.Pull(context.Background(), source(t, from, manifest), nil)
			if err == nil || !strings.Contains(err.Error(), n.Object.String()) {
				t.Errorf("%s, %s: %v, want the object %v in it", name, fault, err, n.Object)
			}
			for link := range links(t, path) {
				if strings.Contains(link, "manifest") || strings.Contains(link, "images/") {
					t.Errorf("%s, %s: there is %s", name, fault, link)
				}
			}
		}
		write(t, p, good)
		return nil
	})
	to, _ := newRepo(t)
	pull(t, to, source(t, from, manifest))
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestSourceInterrupted ends a copy after its first layer, and repeats it.
func TestSourceInterrupted(t *testing.T) {
	from, _, manifest, id := medium(t)
	to, path := newRepo(t)
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(context.Background())
	_, err := to.Pull(ctx, source(t, from, manifest), func(e bootc.Event) {
		if b, ok := e.(bootc.Bytes); ok && b.Steps > 0 {
			cancel(stop)
		}
	})
	if !errors.Is(err, stop) {
		t.Fatalf("Pull = %v, want to be stopped", err)
	}
	if got := compose(t, to, pull(t, to, source(t, from, manifest))); got != id {
		t.Errorf("the copy is %s, want %s", got.Short(), id.Short())
	}
	checkLayout(t, path)
}
