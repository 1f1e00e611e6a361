package objects_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/content/objects"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/fsverity"
)

func open(t *testing.T, o objects.Options) (*objects.Store, string) {
	t.Helper()
	path := t.TempDir()
	root, err := os.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	s, err := objects.Open(root, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, path
}

// content returns n bytes, different for each seed.
func content(seed, n int) []byte {
	return bytes.Repeat([]byte(fmt.Sprintf("%09d\n", seed)), n/10+1)[:n]
}

// files returns the files below the store, and fails for those that are not
// objects.
func files(t *testing.T, path string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if d.IsDir() {
			if info.Mode().Perm() != 0o755 && p != path {
				t.Errorf("directory %s has mode %v", p, info.Mode())
			}
			return nil
		}
		name, _ := filepath.Rel(path, p)
		if _, err := verity.ParseDigest(strings.ReplaceAll(name, "/", "")); err != nil || info.Mode() != 0o644 {
			t.Errorf("there is a file %s of mode %v", name, info.Mode())
		}
		all[name], err = os.ReadFile(p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPut(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	for _, a := range []verity.Algorithm{verity.SHA256, verity.SHA512} {
		s, path := open(t, objects.Options{Algorithm: a, Insecure: true})
		// Around the sizes of a block and of the buffer.
		for _, n := range []int{0, 1, 4095, 4096, 4097, 256<<10 - 1, 256 << 10, 256<<10 + 1, 512 << 10, 512<<10 + 1, 3_000_000} {
			data := content(n, n)
			want := verity.Sum(a, data)
			for _, size := range []int64{int64(n), -1, int64(n)} { // three times the same
				got, err := s.Put(bytes.NewReader(data), size)
				if err != nil || got != want {
					t.Fatalf("Put of %d bytes = %v, %v; want %v", n, got, err, want)
				}
			}
			if got := files(t, path)[want.ObjectPath()]; !bytes.Equal(got, data) {
				t.Errorf("object of %d bytes has %d", n, len(got))
			}
			if size, err := s.Size(want); err != nil || size != int64(n) || !s.Has(want) {
				t.Errorf("Size = %d, %v; want %d", size, err, n)
			}
		}
		if got := len(files(t, path)); got != 11 {
			t.Errorf("%d objects, want 11", got)
		}
	}
}

func TestPutFails(t *testing.T) {
	s, path := open(t, objects.Options{Insecure: true})
	broken := errors.New("broken")
	for _, n := range []int{10, 400_000} {
		data := content(1, n)
		if _, err := s.Put(bytes.NewReader(data[:n-1]), int64(n)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("after %d of %d bytes", n-1, n)) {
			t.Errorf("Put of a short content = %v", err)
		}
		r := io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken))
		if _, err := s.Put(r, -1); !errors.Is(err, broken) {
			t.Errorf("Put of what breaks = %v", err)
		}
		b := s.Batch()
		if _, err := b.Object(bytes.NewReader(data[:n-1]), int64(n)); err == nil {
			t.Error("a batch took a short content")
		}
		if err := b.Wait(); err != nil {
			t.Errorf("Wait = %v after the caller has seen the error", err)
		}
	}
	if got := files(t, path); len(got) != 0 {
		t.Errorf("objects %v", got)
	}
	if got, err := s.Put(bytes.NewReader(content(1, 100)), 10); err != nil || got != verity.Sum(verity.SHA512, content(1, 10)) {
		t.Errorf("Put reads more than the size: %v, %v", got, err)
	}
}

// TestReplace checks that an object of a wrong size, which a power cut has
// left, is made good, and that a good one is left alone.
func TestReplace(t *testing.T) {
	s, path := open(t, objects.Options{Insecure: true})
	for _, n := range []int{1000, 400_000} {
		data := content(2, n)
		d, err := s.Put(bytes.NewReader(data), int64(n))
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(path, d.ObjectPath())
		before, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(bytes.NewReader(data), int64(n)); err != nil {
			t.Fatal(err)
		}
		if after, err := os.Stat(name); err != nil || !os.SameFile(before, after) {
			t.Errorf("an object that was there was written again: %v", err)
		}
		if err := os.Truncate(name, int64(n/2)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(bytes.NewReader(data), int64(n)); err != nil {
			t.Fatal(err)
		}
		if got := files(t, path)[d.ObjectPath()]; !bytes.Equal(got, data) {
			t.Errorf("a spoiled object of %d bytes has %d after Put", n, len(got))
		}
	}
}

// TestConcurrent puts the same objects from many goroutines.
func TestConcurrent(t *testing.T) {
	s, path := open(t, objects.Options{Insecure: true})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			b := s.Batch()
			for n := range 200 {
				data := content(n, 64+n*3000)
				d, err := b.Object(bytes.NewReader(data), int64(len(data)))
				if want := verity.Sum(verity.SHA512, data); err != nil || d != want {
					t.Errorf("Object = %v, %v; want %v", d, err, want)
				}
			}
			if err := b.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	all := files(t, path)
	if len(all) != 200 {
		t.Errorf("%d objects, want 200", len(all))
	}
	for name, data := range all {
		if got := verity.Sum(verity.SHA512, data).ObjectPath(); got != name {
			t.Errorf("object %s has the content of %s", name, got)
		}
	}
}

// TestBatchFails checks that an error that comes later is not lost.
func TestBatchFails(t *testing.T) {
	s, path := open(t, objects.Options{Insecure: true})
	data := content(3, 1000)
	d := verity.Sum(verity.SHA512, data)
	// A file where the directory of the object should be.
	if err := os.WriteFile(filepath.Join(path, d.String()[:2]), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	b := s.Batch()
	if _, err := b.Object(bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	if err := b.Wait(); err == nil {
		t.Fatal("Wait succeeded although the object could not be named")
	}
	if _, err := b.Object(bytes.NewReader(data), int64(len(data))); err == nil {
		t.Error("a batch that has failed takes more objects")
	}
}

func TestOpen(t *testing.T) {
	s, _ := open(t, objects.Options{Insecure: true})
	data := content(4, 5000)
	d, err := s.Put(bytes.NewReader(data), -1)
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(data))
	}
	for _, d := range []verity.Digest{verity.Sum(verity.SHA512, nil), verity.Sum(verity.SHA256, data), {}} {
		if _, err := s.Open(d); !errors.Is(err, objects.ErrNotFound) {
			t.Errorf("Open(%v) = %v, want ErrNotFound", d, err)
		}
		if s.Has(d) {
			t.Errorf("Has(%v)", d)
		}
	}
}

// TestSecure runs to the end where the file system has fs-verity; elsewhere a
// secure store takes nothing.
func TestSecure(t *testing.T) {
	s, path := open(t, objects.Options{})
	data := content(5, 500_000)
	d, err := s.Put(bytes.NewReader(data), -1)
	if errors.Is(err, fsverity.ErrNotSupported) {
		if got := files(t, path); len(got) != 0 {
			t.Errorf("objects without fs-verity: %d", len(got))
		}
		t.Skip("no fs-verity here; the virtual machine tests use it")
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if ok, err := s.Verified(f, d); !ok || err != nil {
		t.Errorf("Verified = %v, %v", ok, err)
	}
	// One without fs-verity is refused, and made good by a Put.
	name := filepath.Join(path, d.ObjectPath())
	if err := errors.Join(os.Remove(name), os.WriteFile(name, data, 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(d); !errors.Is(err, fsverity.ErrNotEnabled) {
		t.Errorf("Open of an object without fs-verity = %v", err)
	}
	if _, err := s.Put(bytes.NewReader(data), -1); err != nil {
		t.Fatal(err)
	}
	if f, err := s.Open(d); err != nil {
		t.Error(err)
	} else {
		f.Close()
	}
}
