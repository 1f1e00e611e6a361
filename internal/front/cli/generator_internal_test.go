package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestGenerate lists what is made, twice in the same directory.
func TestGenerate(t *testing.T) {
	normal := t.TempDir()
	for range 2 {
		if err := writeUnits(normal); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	err := fs.WalkDir(os.DirFS(normal), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if d.Type() == fs.ModeSymlink {
			target, err := os.Readlink(filepath.Join(normal, name))
			if err != nil {
				return err
			}
			name += " → " + target
		}
		got = append(got, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"local-fs.target.wants/bootc-root-growfs.service → /usr/lib/systemd/system/bootc-root-growfs.service",
		"multi-user.target.wants/bootc-staged-restore.service → /usr/lib/systemd/system/bootc-staged-restore.service",
		"systemd-growfs-root.service → /dev/null",
		"systemd-remount-fs.service.d/60-bootc.conf",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
