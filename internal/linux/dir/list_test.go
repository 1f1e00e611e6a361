package dir_test

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/linux/dir"
)

// TestReadDirLooksAtNothing lists a directory whose names may be read, but not what
// they lead to.
func TestReadDirLooksAtNothing(t *testing.T) {
	top := t.TempDir()
	if err := os.Chmod(top, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"list/b", "list/a", "list/c"} {
		if err := os.MkdirAll(filepath.Join(top, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(top)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := os.Chmod(filepath.Join(top, "list"), 0o444); err != nil { // no x: nothing can be looked up
		t.Fatal(err)
	}
	defer os.Chmod(filepath.Join(top, "list"), 0o755)
	if os.Getuid() == 0 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := unix.Setfsuid(65534); err != nil {
			t.Fatal(err)
		}
		defer unix.Setfsuid(0)
	}
	entries, err := dir.ReadDir(root, "list")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		if !e.IsDir() {
			t.Errorf("%s is no directory", e.Name())
		}
		if _, err := e.Info(); err == nil {
			t.Errorf("%s can be looked at: this test tests nothing", e.Name())
		}
	}
	if want := []string{"a", "b", "c"}; !slices.Equal(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
}
