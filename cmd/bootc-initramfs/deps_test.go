package main

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const tags = "-tags=containers_image_openpgp"

// goTool runs the go command as a release build does.
func goTool(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// TestDependencies compares what is linked into the initramfs with deps.txt, so
// that a change of it is seen and meant. Run with -update to accept one.
func TestDependencies(t *testing.T) {
	var deps []string
	for p := range strings.FieldsSeq(goTool(t, "list", "-deps", tags, ".")) {
		// The standard library's own parts come and go with its versions.
		if !strings.HasPrefix(p, "internal/") && !strings.Contains(p, "/internal/") && !strings.HasPrefix(p, "vendor/") ||
			strings.HasPrefix(p, "github.com/") {
			deps = append(deps, p)
		}
	}
	slices.Sort(deps)
	for _, p := range deps {
		for _, forbidden := range []string{"net", "net/http", "crypto/tls", "go.podman.io", "github.com/bootc-go/bootc/internal/content",
			"github.com/bootc-go/bootc/internal/machine", "github.com/bootc-go/bootc/internal/action"} {
			if p == forbidden || strings.HasPrefix(p, forbidden+"/") {
				t.Errorf("the initramfs links %s", p)
			}
		}
	}
	got := strings.Join(deps, "\n") + "\n"
	if *update {
		if err := os.WriteFile("deps.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("deps.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("deps.txt (-file +linked):\n%s", diff)
	}
}

// TestSize keeps the program small: it is read by firmware, at each boot.
func TestSize(t *testing.T) {
	program := filepath.Join(t.TempDir(), "bootc-initramfs")
	goTool(t, "build", tags, "-trimpath", "-ldflags=-s -w", "-o", program, ".")
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	if limit := int64(8_000_000); info.Size() >= limit {
		t.Errorf("%d bytes, want less than %d", info.Size(), limit)
	}
	t.Logf("%d bytes", info.Size())
}

var update = flag.Bool("update", false, "write deps.txt")
