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
	always := []string{
		"basic.target.wants/bootc-bless-boot.service → /usr/lib/systemd/system/bootc-bless-boot.service",
		"boot-complete.target.requires/bootc-health.service → /usr/lib/systemd/system/bootc-health.service",
		"local-fs.target.wants/bootc-root-growfs.service → /usr/lib/systemd/system/bootc-root-growfs.service",
		"multi-user.target.wants/bootc-installer.service → /usr/lib/systemd/system/bootc-installer.service",
		"multi-user.target.wants/bootc-staged-restore.service → /usr/lib/systemd/system/bootc-staged-restore.service",
		"sysinit.target.wants/bootc-boot-begun.service → /usr/lib/systemd/system/bootc-boot-begun.service",
		"systemd-bless-boot.service → /dev/null",
		"systemd-growfs-root.service → /dev/null",
		"systemd-remount-fs.service.d/60-bootc.conf",
	}
	medium := filepath.Join(t.TempDir(), "medium.json")
	if diff := cmp.Diff(always, generated(t, medium)); diff != "" {
		t.Errorf("on a disk (-want +got):\n%s", diff)
	}
	if err := os.WriteFile(medium, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append(always, "systemd-repart.service → /dev/null"), generated(t, medium)); diff != "" {
		t.Errorf("on a medium (-want +got):\n%s", diff)
	}
}

// generated lists what writeUnits makes.
func generated(t *testing.T, medium string) []string {
	t.Helper()
	normal := t.TempDir()
	for range 2 {
		if err := writeUnits(normal, medium); err != nil {
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
	return got
}
