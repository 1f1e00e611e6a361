package images_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
)

// BenchmarkPull pulls an image of one gzip layer, 10,000 files of 10 KB and 20
// of 5 MB, and then once more.
func BenchmarkPull(b *testing.B) {
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
	src := imagestest.New(imagestest.Options{}, imagestest.Layer{Entries: entries, Compression: imagestest.Gzip})
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
