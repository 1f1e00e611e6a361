package images_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

// debianImage is an image of 11,600 names that the machine has on which the
// benchmark runs, with Debian's SELinux policy.
func debianImage(b *testing.B) *imagestest.Image {
	b.Helper()
	entries := imagestest.Base()
	const files = "etc/selinux/default/contexts/files/"
	for _, name := range []string{"file_contexts", "file_contexts.homedirs", "file_contexts.subs_dist"} {
		data, err := os.ReadFile("../../../.cache/selinux/" + name)
		if err != nil {
			b.Skip("hack/selinux-policy has not run:", err)
		}
		entries = append(entries, imagestest.File(files+name, string(data)))
	}
	entries = append(entries, imagestest.File("etc/selinux/config", "SELINUXTYPE=default\n"))
	most := len(entries)
	for _, top := range []string{"etc", "usr/bin", "usr/lib", "usr/sbin", "usr/share", "var"} {
		most += 1930
		err := filepath.WalkDir("/"+top, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
			case len(entries) == most:
				return fs.SkipAll
			case d.IsDir():
				entries = append(entries, imagestest.Entry{Name: path[1:] + "/"})
			case d.Type() == fs.ModeSymlink:
				entries = append(entries, imagestest.Entry{Name: path[1:], Link: "x"})
			default:
				entries = append(entries, imagestest.File(path[1:], imagestest.Big(path, 100)))
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return imagestest.New(imagestest.Options{}, imagestest.Layer{Entries: entries})
}

// BenchmarkBootableDigest works out the deployment ID of an image that the
// repository has, from its layers' streams.
func BenchmarkBootableDigest(b *testing.B) {
	root, err := os.OpenRoot(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	r, err := images.Init(root, images.InitOptions{Insecure: true})
	if err != nil {
		b.Fatal(err)
	}
	src := debianImage(b)
	if _, err := r.Pull(b.Context(), src, nil); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		img, err := r.Image(src.Digest())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.ID(img); err != nil {
			b.Fatal(err)
		}
	}
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
