package dir_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/linux/dir"
)

func openTemp(t *testing.T) (*os.Root, string) {
	t.Helper()
	path := t.TempDir()
	root, err := os.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root, path
}

func names(t *testing.T, path string) []string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestWriteFile(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	root, path := openTemp(t)
	if err := root.Mkdir("sub", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two", ""} {
		if err := dir.WriteFile(root, "sub/file", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := root.ReadFile("sub/file")
		if err != nil || string(got) != text {
			t.Errorf("file holds %q, %v; want %q", got, err, text)
		}
	}
	info, err := root.Stat("sub/file")
	if err != nil || info.Mode() != 0o644 {
		t.Errorf("mode %v, %v; want 0644 whatever the umask", info.Mode(), err)
	}
	if got := names(t, filepath.Join(path, "sub")); !slices.Equal(got, []string{"file"}) {
		t.Errorf("directory has %q, want only the file", got)
	}
}

// TestWriteFileFails checks that an error leaves the old content and no
// temporary file.
func TestWriteFileFails(t *testing.T) {
	root, path := openTemp(t)
	if err := root.MkdirAll("name/full", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := dir.WriteFile(root, "name", []byte("x"), 0o644); err == nil {
		t.Error("a directory was replaced by a file")
	}
	if err := dir.WriteFile(root, "../outside", []byte("x"), 0o644); err == nil {
		t.Error("a file was written outside of the root")
	}
	if got := names(t, path); !slices.Equal(got, []string{"name"}) {
		t.Errorf("directory has %q, want only the old entry", got)
	}
}

func TestSymlink(t *testing.T) {
	root, path := openTemp(t)
	for _, target := range []string{"../a/b", "../a/b", "../c"} {
		if err := dir.Symlink(root, target, "link"); err != nil {
			t.Fatal(err)
		}
		if got, err := root.Readlink("link"); got != target {
			t.Errorf("link to %q, %v; want %q", got, err, target)
		}
	}
	if got := names(t, path); !slices.Equal(got, []string{"link"}) {
		t.Errorf("directory has %q, want only the link", got)
	}
	if err := root.WriteFile("file", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := dir.Symlink(root, "target", "file"); err == nil {
		t.Error("a file was replaced by a link")
	}
	if err := dir.Symlink(root, "target", "none/link"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("link in a directory that does not exist: %v", err)
	}
}

func TestSync(t *testing.T) {
	root, _ := openTemp(t)
	if err := dir.SyncDir(root, "."); err != nil {
		t.Error(err)
	}
	f, err := dir.NewFlusher(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Flush(), f.Close()); err != nil {
		t.Error(err)
	}
	if err := dir.SyncDir(root, "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("flushing a directory that does not exist: %v", err)
	}
}
