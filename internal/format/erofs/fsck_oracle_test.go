package erofs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/bootc-go/bootc/internal/format/erofs"
)

// TestFsck lets fsck.erofs judge what we write.
func TestFsck(t *testing.T) {
	fsck, err := exec.LookPath("fsck.erofs")
	if err != nil {
		t.Skip("fsck.erofs is not installed")
	}
	files, err := filepath.Glob("testdata/dumps/*.dump")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d dumps, %v", len(files), err)
	}
	image := filepath.Join(t.TempDir(), "image")
	for _, file := range files {
		name := filepath.Base(file)
		if err := os.WriteFile(image, write(t, parse(t, readFile(t, "dumps/"+name)), erofs.V1), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(fsck, image).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}
