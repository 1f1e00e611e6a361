package images_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
)

// newSmallRepo makes a repository on a file system of its own.
func newSmallRepo(t *testing.T, size string) (*images.Repository, string) {
	t.Helper()
	path := t.TempDir()
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, "mode=755,size="+size); err != nil {
		t.Skipf("needs a file system of its own: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(path, 0) })
	r, err := images.Init(openRoot(t, path), images.InitOptions{Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, path
}

func noise(seed string, n int) imagestest.Layer {
	return imagestest.Layer{Entries: append(imagestest.Base(), imagestest.File("usr/"+seed, imagestest.Big(seed, n))), Compression: imagestest.Gzip}
}

// TestFull: a full file system is an error that says so, and what was stored
// can be collected.
func TestFull(t *testing.T) {
	for _, tt := range []struct {
		name, size string
		content    int // of one file
		want       string
	}{
		{"while an object is written", "8m", 12 << 20, "no space left on device"},
		{"what is left is kept", "400m", 0, "kept for the running system"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, path := newSmallRepo(t, tt.size)
			layer := noise("big", tt.content)
			if tt.content == 0 { // fill it up to the part that is kept
				fill(t, path, r)
				layer.Entries = append(layer.Entries, imagestest.File("usr/more", imagestest.Big("more", 6<<20)), imagestest.File("usr/most", imagestest.Big("most", 6<<20)))
			}
			before := links(t, path)
			_, err := r.Pull(context.Background(), imagestest.New(imagestest.Options{}, noise("small", 10_000), layer), nil)
			if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Pull = %v, want ENOSPC and %q", err, tt.want)
			}
			if _, err := r.Collect(context.Background(), images.CollectOptions{}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, links(t, path)); diff != "" {
				t.Errorf("links (-before +now):\n%s", diff)
			}
			if n := objectFiles(t, path); len(n) != 0 {
				t.Errorf("%d objects stay", len(n))
			}
		})
	}
}

// fill takes nearly all that the repository may take.
func fill(t *testing.T, path string, r *images.Repository) {
	t.Helper()
	n, err := r.Need(context.Background(), imagestest.New(imagestest.Options{}, noise("x", 1)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path + "/filler")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, n.Free-(5<<20)); err != nil {
		t.Fatal(err)
	}
}

// TestNeed counts what is missing.
func TestNeed(t *testing.T) {
	r, _ := newSmallRepo(t, "64m")
	first, second := noise("one", 300_000), noise("two", 500_000)
	pull(t, r, imagestest.New(imagestest.Options{}, first))
	src := imagestest.New(imagestest.Options{}, first, second, second)
	n, err := r.Need(context.Background(), src)
	size := src.Blobs[1].Size
	if err != nil || n.Layers != 1 || n.Compressed != size || n.Estimate != 3*size || n.Free <= 0 || n.Free > 63<<20 {
		t.Errorf("Need = %+v, %v, want one layer of %d bytes", n, err, size)
	}
	if err := n.Fits(); err != nil {
		t.Error(err)
	}
	n.Compressed = n.Free + 1
	var room *images.RoomError
	if err := n.Fits(); !errors.As(err, &room) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Fits = %v, want a RoomError", err)
	}
	want := "no room for the image: 12 MiB free, 97 MiB needed at least"
	if got := (&images.RoomError{Free: 13<<20 - 1, Needed: 96<<20 + 1}).Error(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
