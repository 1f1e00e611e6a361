package images_test

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/tree"
)

// newRepo makes a repository, which does not really flush, and returns its
// path.
func newRepo(t *testing.T) (*images.Repository, string) {
	t.Helper()
	path := t.TempDir()
	root := openRoot(t, path)
	r, err := images.Init(root, images.InitOptions{Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	r.Intercept(func(func() error) error { return nil }, func(do func() error) error { return do() })
	return r, path
}

func openRepo(t *testing.T, path string) *images.Repository {
	t.Helper()
	r, err := images.Open(openRoot(t, path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func openRoot(t *testing.T, path string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

// twoLayers is an image with objects, inline files, links and a whiteout, in
// layers of different compression.
func twoLayers(o imagestest.Options) *imagestest.Image {
	lower := append(imagestest.Base(),
		imagestest.File("usr/bin/tool", imagestest.Big("tool", 300_000)),
		imagestest.File("usr/bin/small", "small"),
		imagestest.File("usr/lib/gone", imagestest.Big("gone", 5000)),
		imagestest.Entry{Name: "usr/bin/hard", Link: "usr/bin/tool", Hard: true},
		imagestest.Entry{Name: "usr/bin/soft", Link: "tool"},
		imagestest.File("boot/file", "not in what boots"),
	)
	upper := []imagestest.Entry{
		imagestest.File("usr/lib/.wh.gone", ""),
		imagestest.File("usr/bin/tool2", imagestest.Big("tool2", 100_000)),
		imagestest.File("etc/conf", imagestest.Big("conf", 65)),
	}
	return imagestest.New(o,
		imagestest.Layer{Entries: lower, Compression: imagestest.Gzip},
		imagestest.Layer{Entries: upper, Compression: imagestest.Zstd})
}

func pull(t *testing.T, r *images.Repository, src images.Source) *images.Image {
	t.Helper()
	img, err := r.Pull(context.Background(), src, nil)
	if err != nil {
		t.Fatalf("Pull: %v", err)
	}
	return img
}

func compose(t *testing.T, r *images.Repository, img *images.Image) bootc.ID {
	t.Helper()
	id, err := r.Compose(context.Background(), img)
	if err != nil {
		t.Fatalf("Compose: %v", err)
	}
	return id
}

// paths lists the names in a tree.
func paths(tr *tree.Tree) []string {
	var all []string
	tr.Walk(func(path string, n *tree.Node) error { all = append(all, path); return nil })
	return all
}

// links lists the symbolic links below a directory of a repository, name →
// target.
func links(t *testing.T, path string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Type() != fs.ModeSymlink {
			return err
		}
		target, err := os.Readlink(p)
		name, _ := filepath.Rel(path, p)
		all[name] = target
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return all
}

// objectFiles lists the objects.
func objectFiles(t *testing.T, path string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(filepath.Join(path, "objects"), func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// checkLayout fails for what a repository must not have: a name that is not an
// object's, a link that leads nowhere, a wrong mode.
func checkLayout(t *testing.T, path string) {
	t.Helper()
	for _, p := range objectFiles(t, path) {
		dir, name := filepath.Split(p)
		if len(filepath.Base(dir)) != 2 || len(name) != 126 && len(name) != 62 {
			t.Errorf("in objects there is %s", p)
		}
		if info, err := os.Lstat(p); err != nil || info.Mode() != 0o644 {
			t.Errorf("object with mode %v, %v; want 0644", info.Mode(), err)
		}
	}
	for name := range links(t, path) {
		info, err := os.Stat(filepath.Join(path, name))
		if err != nil || !info.Mode().IsRegular() {
			t.Errorf("the link %s leads nowhere: %v", name, err)
		}
		if strings.Contains(name, "/.") {
			t.Errorf("leftover link %s", name)
		}
	}
}

// unpack unpacks a tar.gz of testdata.
func unpack(t *testing.T, archive string) string {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		p := filepath.Join(dir, filepath.Clean("/"+h.Name))
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(p, 0o755)
		case tar.TypeSymlink:
			err = os.Symlink(h.Linkname, p)
		case tar.TypeReg:
			var data []byte
			if data, err = io.ReadAll(r); err == nil {
				err = errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, data, 0o644))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func sortedKeys(m map[string]string) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// digester computes the digest of what is written to it.
type digester struct{ h hash.Hash }

func (d *digester) Write(p []byte) (int, error) {
	if d.h == nil {
		d.h = sha256.New()
	}
	return d.h.Write(p)
}

func (d *digester) digest() bootc.Digest {
	d.Write(nil)
	return bootc.Digest(fmt.Sprintf("sha256:%x", d.h.Sum(nil)))
}

// files returns the regular files of trees.
func files(trees ...*tree.Tree) map[string]*tree.Node {
	all := map[string]*tree.Node{}
	for i, tr := range trees {
		tr.Walk(func(path string, n *tree.Node) error {
			if n.IsRegular() {
				all[fmt.Sprint(i, path)] = n
			}
			return nil
		})
	}
	return all
}
