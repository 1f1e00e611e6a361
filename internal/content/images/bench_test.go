package images_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
)

// benchImage is an image of one gzip layer, 10,000 files of 10 KB and 20 of
// 5 MB, and the size of its files.
func benchImage() (*imagestest.Image, int) {
	entries := imagestest.Base()
	total := 0
	for n := range 10_000 {
		entries = append(entries, imagestest.File(fmt.Sprintf("usr/lib/%d", n), imagestest.Big(fmt.Sprint(n), 10_000)))
		total += 10_000
	}
	for n := range 20 {
		entries = append(entries, imagestest.File(fmt.Sprintf("usr/bin/%d", n), imagestest.Big(fmt.Sprint("b", n), 5_000_000)))
		total += 5_000_000
	}
	return imagestest.New(imagestest.Options{}, imagestest.Layer{Entries: entries, Compression: imagestest.Gzip}), total
}

// benchRepo is a repository with that image, composed and tagged.
func benchRepo(b *testing.B) (*images.Repository, int) {
	src, total := benchImage()
	root, err := os.OpenRoot(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	r, err := images.Init(root, images.InitOptions{Insecure: true})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := keep(r, src); err != nil {
		b.Fatal(err)
	}
	return r, total
}

// BenchmarkCollect looks for garbage in a repository of 10,000 objects that has
// none.
func BenchmarkCollect(b *testing.B) {
	r, _ := benchRepo(b)
	ids, err := r.Images()
	if err != nil {
		b.Fatal(err)
	}
	if _, err := r.Collect(b.Context(), images.CollectOptions{Images: ids}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if g, err := r.Collect(b.Context(), images.CollectOptions{Images: ids}); err != nil || !g.None() {
			b.Fatal(g, err)
		}
	}
}

// BenchmarkCheck checks a repository of 10,000 objects, 200 MB.
func BenchmarkCheck(b *testing.B) {
	r, total := benchRepo(b)
	b.SetBytes(int64(total))
	for b.Loop() {
		if report, err := r.Check(b.Context(), images.CheckOptions{}); err != nil || !report.OK() {
			b.Fatal(report.Problems, err)
		}
	}
}

// BenchmarkPull pulls the image, and then once more.
func BenchmarkPull(b *testing.B) {
	src, total := benchImage()
	for _, again := range []bool{false, true} {
		b.Run(fmt.Sprintf("again=%v", again), func(b *testing.B) {
			b.SetBytes(int64(total))
			for b.Loop() {
				b.StopTimer()
				root, err := os.OpenRoot(b.TempDir())
				if err != nil {
					b.Fatal(err)
				}
				r, err := images.Init(root, images.InitOptions{Insecure: true})
				if err != nil {
					b.Fatal(err)
				}
				if again {
					if _, err := r.Pull(context.Background(), src, nil); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
				if _, err := r.Pull(context.Background(), src, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
