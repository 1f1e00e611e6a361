package fsverity_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/fsverity"
)

// TestEnable runs wherever the file system of the temporary directory can do
// fs-verity, and checks the errors where it cannot.
func TestEnable(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("hello world"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := fsverity.Measure(f); !errors.Is(err, fsverity.ErrNotEnabled) && !errors.Is(err, fsverity.ErrNotSupported) {
		t.Errorf("Measure of a file without fs-verity: %v", err)
	}
	err = fsverity.Enable(f, verity.SHA512)
	if errors.Is(err, fsverity.ErrNotSupported) {
		t.Skip("no fs-verity here; the virtual machine tests use it")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := fsverity.Enable(f, verity.SHA512); err != nil {
		t.Errorf("second Enable: %v", err)
	}
	got, err := fsverity.Measure(f)
	if want := verity.Sum(verity.SHA512, []byte("hello world")); err != nil || got != want {
		t.Errorf("Measure = %v, %v; want %v", got, err, want)
	}
}
