package cli_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/front/cli"
)

const vectors = "../../format/erofs/testdata/"

// TestMkcomposefs makes the images of some dumps in all versions. The tables
// say what their digests are.
func TestMkcomposefs(t *testing.T) {
	table, err := os.ReadFile(vectors + "index.tsv")
	if err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(t.TempDir(), "image")
	n := 0
	for line := range strings.Lines(string(table)) {
		f := strings.Split(line, "\t")
		if !strings.HasPrefix(f[0], "whiteout") && f[0] != "realistic-os" {
			continue
		}
		n++
		args := []string{"internals", "mkcomposefs", "--from-file", "--print-digest"}
		if f[2] != "(none)" {
			args = append(args, strings.Fields(f[2])...)
		}
		args = append(args, vectors+"dumps/"+f[0]+".dump", image)
		if status, out, stderr := run(args...); status != 0 || out != f[5]+"\n" {
			t.Errorf("%q: status %d, %q, %s; want %s", args, status, out, stderr, f[5])
		}
		args = append(args, "--digest-algorithm=sha512")
		if status, out, stderr := run(args...); status != 0 || out != f[6]+"\n" {
			t.Errorf("%q: status %d, %q, %s; want %s", args, status, out, stderr, f[6])
		}
		data, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		if got := verity.Sum(verity.SHA256, data).String(); got != f[5] {
			t.Errorf("%q: the image has the digest %s, want %s", args, got, f[5])
		}
	}
	if n < 10 {
		t.Errorf("%d rows of the table", n)
	}
}

// TestCalledAs runs the program by the names of the C tools.
func TestCalledAs(t *testing.T) {
	image := filepath.Join(t.TempDir(), "image")
	called := func(args ...string) (int, string) {
		var out, err bytes.Buffer
		a := &cli.App{Stdout: &out, Stderr: &err}
		return a.Run(context.Background(), args), out.String()
	}
	if status, _ := called("/usr/bin/mkcomposefs", "--from-file", vectors+"dumps/ext-4097.dump", image); status != 0 {
		t.Fatalf("mkcomposefs: status %d", status)
	}
	const object = "a7/e7e2f59b128bdb0aa60f56f5211efefdf83b92994b8f4a5d2e18126a0a14de"
	if status, out := called("composefs-info", "ls", image); status != 0 || out != "/file\t@ "+object+"\n" {
		t.Errorf("composefs-info: status %d, %q", status, out)
	}
	if status, out := called("composefs-info", "missing-objects", image, image); status != 0 || out != object+"\n" {
		t.Errorf("composefs-info: status %d, %q", status, out)
	}
	if status, _ := called("mkcomposefs", "--frobnicate"); status != 1 {
		t.Errorf("mkcomposefs: status %d, want 1", status)
	}
}

// TestMkcomposefsDirectory fills a store with SHA-512 and makes an image of
// what it then describes.
func TestMkcomposefsDirectory(t *testing.T) {
	dir := directory(t)
	work := t.TempDir()
	store, image := filepath.Join(work, "a", "store"), filepath.Join(work, "image")
	status, _, stderr := run("internals", "mkcomposefs", "--digest-algorithm=sha512", "--digest-store", store, dir, image)
	if status != 0 {
		t.Fatal(stderr)
	}
	info := func(args ...string) string {
		t.Helper()
		status, out, stderr := run(append([]string{"internals", "composefs-info"}, args...)...)
		if status != 0 {
			t.Fatalf("%q: %s", args, stderr)
		}
		return out
	}
	objects := strings.Fields(info("objects", image))
	if len(objects) != 4 {
		t.Errorf("%d objects, want 4: %q", len(objects), objects)
	}
	for _, o := range objects {
		if got := strings.TrimSpace(info("--digest-algorithm=sha512", "measure-file", filepath.Join(store, o))); got != strings.Replace(o, "/", "", 1) {
			t.Errorf("object %s has the digest %s", o, got)
		}
	}
	if missing := info("--basedir", store, "missing-objects", image); missing != "" {
		t.Errorf("missing: %q", missing)
	}
	if err := os.Remove(filepath.Join(store, objects[1])); err != nil {
		t.Fatal(err)
	}
	if missing := info("--basedir", store, "missing-objects", image); missing != objects[1]+"\n" {
		t.Errorf("missing: %q, want %q", missing, objects[1])
	}
	dump := filepath.Join(work, "dump")
	if err := os.WriteFile(dump, []byte(info("dump", image)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, want, _ := run("internals", "mkcomposefs", "--print-digest-only", dir, "--digest-algorithm=sha512")
	if _, got, _ := run("internals", "mkcomposefs", "--print-digest-only", "--from-file", dump, "--digest-algorithm=sha512"); got != want {
		t.Errorf("the image of the dump is %s, want %s", got, want)
	}
	if diff := cmp.Diff("/null\n", info("ls", "--filter=null", image)); diff != "" && os.Getuid() == 0 {
		t.Errorf("ls of one name (-want +got):\n%s", diff)
	}
}

// TestMkcomposefsLeavesNothing fails to write, which leaves no image.
func TestMkcomposefsLeavesNothing(t *testing.T) {
	image := filepath.Join(t.TempDir(), "image")
	dump := filepath.Join(t.TempDir(), "dump")
	many := "/ 0 40755 2 0 0 0 0.0 - - -\n/a 2 20644 2 0 0 0 0.0 - - -\n/b 0 @20644 - - - - 0.0 /a - -\n"
	for _, text := range []string{"", many} {
		if err := os.WriteFile(dump, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		status, _, stderr := run("internals", "mkcomposefs", "--from-file", dump, image)
		if status != 1 || !strings.HasPrefix(stderr, "error: cannot make the image: ") {
			t.Errorf("status %d, %q", status, stderr)
		}
		if _, err := os.Lstat(image); !os.IsNotExist(err) {
			t.Errorf("there is an image: %v", err)
		}
	}
}
