package dirdiff_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/action/dirdiff"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// makeDirs makes the three directories from "pristine/a" → content; a path
// that ends in a slash is a directory.
func makeDirs(t *testing.T, files map[string]string) string {
	t.Helper()
	work := t.TempDir()
	for _, d := range []string{"pristine", "current", "new"} {
		if err := os.Mkdir(filepath.Join(work, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, body := range files {
		path := filepath.Join(work, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return work
}

func run(t *testing.T, work string, merge bool) (string, error) {
	t.Helper()
	var dirs []*dir.Dir
	for _, name := range []string{"pristine", "current", "new"} {
		d, err := dir.Open(filepath.Join(work, name))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		dirs = append(dirs, d)
	}
	var out strings.Builder
	err := dirdiff.Run(context.Background(), &out, dirs[0], dirs[1], dirs[2], merge)
	return out.String(), err
}

func read(t *testing.T, work, name string) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(work, name))
	if err != nil {
		return err.Error()
	}
	return string(body)
}

func TestMerge(t *testing.T) {
	work := makeDirs(t, map[string]string{
		"pristine/changed": "1", "current/changed": "2", "new/changed": "3",
		"pristine/gone": "1", "new/gone": "1",
		"current/added dir/file": "local",
		"new/image":              "image",
	})
	want := "Added \"added dir\"\nAdded \"added dir/file\"\nModified \"changed\"\nRemoved \"gone\"\n"
	for _, merge := range []bool{false, true} {
		out, err := run(t, work, merge)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out); diff != "" {
			t.Errorf("merge %v: output (-want +got):\n%s", merge, diff)
		}
		text := map[bool]string{false: "3", true: "2"}[merge]
		if got := read(t, work, "new/changed"); got != text {
			t.Errorf("merge %v: new/changed is %q, want %q", merge, got, text)
		}
	}
	if got := read(t, work, "new/added dir/file") + read(t, work, "new/image"); got != "localimage" {
		t.Errorf("merged files have %q", got)
	}
	if _, err := os.Lstat(filepath.Join(work, "new/gone")); !os.IsNotExist(err) {
		t.Errorf("new/gone: %v, want it to be gone", err)
	}
}

func TestConflict(t *testing.T) {
	work := makeDirs(t, map[string]string{
		"pristine/p": "1", "current/p": "2", "new/p/in": "3",
		"pristine/q/f": "1", "current/q/f": "2", "new/q": "3",
		"current/local": "local",
	})
	out, err := run(t, work, false)
	if err != nil {
		t.Fatal(err)
	}
	want := `Added "local"
Modified "p"
Modified "q"
Modified "q/f"
Unmergable "p": it is a file, changed on this machine, and the new image has a directory there
Unmergable "q": it is a directory, changed on this machine, and the new image has a file there
`
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	_, err = run(t, work, true)
	var conflict *dirdiff.ConflictError
	if !errors.As(err, &conflict) || len(conflict.Conflicts) != 2 {
		t.Fatalf("error %v, want two conflicts", err)
	}
	if _, err := os.Lstat(filepath.Join(work, "new/local")); !os.IsNotExist(err) {
		t.Errorf("the new directory was changed in spite of the conflicts: %v", err)
	}
}
