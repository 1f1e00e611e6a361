package bootc_test

import (
	"go/build"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/bootc-go/bootc"

// The floors, lowest first. A package imports any floor below its own, never
// one above. See ARCHITECTURE.md.
var floors = []string{
	"",
	"internal/format",
	"composefs", // for others; see TestPublicPackage
	"internal/linux",
	"internal/content",
	"internal/machine",
	"internal/action",
	"internal/front",
	"cmd",
}

// sameFloor lists the imports inside one floor. Each line is a decision.
var sameFloor = []string{
	"internal/action/build → internal/action/install",
	"internal/content/images → internal/content/objects",
	"internal/content/images/imagestest → internal/content/images",
	"internal/content/registry → internal/content/images",
	"internal/content/registry → internal/content/policy",
	"internal/format/blueprint → internal/format/cmdline",
	"internal/format/credential → internal/format/cpio",
	"internal/format/dumpfile → internal/format/tree",
	"internal/format/dumpfile → internal/format/verity",
	"internal/format/erofs → internal/format/tree",
	"internal/format/erofs → internal/format/verity",
	"internal/format/ext4 → internal/format/tree",
	"internal/format/ext4 → internal/format/verity",
	"internal/format/layer → internal/format/selinux",
	"internal/format/layer → internal/format/tree",
	"internal/format/layer → internal/format/verity",
	"internal/format/loadoption → internal/format/gpt",
	"internal/format/medium → internal/format/cmdline",
	"internal/format/splitstream → internal/format/verity",
	"internal/format/tree → internal/format/verity",
	"internal/front/cli → internal/front/installer",
	"internal/front/cli → internal/front/progress",
	"internal/front/cli → internal/front/render",
	"internal/linux/mount → internal/linux/block",
	"internal/linux/systemd → internal/linux/tool",
	"internal/machine → internal/machine/boot",
	"internal/machine → internal/machine/bootable",
	"internal/machine → internal/machine/deploy",
	"internal/machine → internal/machine/etc",
	"internal/machine/deploy → internal/machine/etc",
}

// TestFloors fails when an import goes upwards or when two packages of one
// floor meet that the list does not name.
func TestFloors(t *testing.T) {
	used := map[string]bool{}
	for _, dir := range packages(t) {
		p, err := build.ImportDir(dir, 0)
		if err != nil {
			continue
		}
		for _, imp := range p.Imports {
			to, ok := strings.CutPrefix(imp, module+"/")
			if !ok && imp != module {
				continue
			}
			if imp == module {
				to = ""
			}
			arrow := dir + " → " + to
			switch from, target := floor(dir), floor(to); {
			case from < 0 || target < 0:
				t.Errorf("%s: a package outside the floors", arrow)
			case target > from:
				t.Errorf("%s: import goes upwards", arrow)
			case target == from && from > 0 && from < len(floors)-1:
				if !slices.Contains(sameFloor, arrow) {
					t.Errorf("%s: import inside one floor that is not on the list", arrow)
				}
				used[arrow] = true
			}
		}
	}
	for _, arrow := range sameFloor {
		if !used[arrow] {
			t.Errorf("sameFloor lists %q, which no package uses", arrow)
		}
	}
}

// TestFormatIsPure fails when a format package touches the world.
func TestFormatIsPure(t *testing.T) {
	forbidden := []string{"os", "net", "context", "log", "log/slog", "os/exec", "syscall", "golang.org/x/sys/unix"}
	for _, dir := range packages(t) {
		if !strings.HasPrefix(dir, "internal/format/") {
			continue
		}
		p, err := build.ImportDir(dir, 0)
		if err != nil {
			continue
		}
		for _, imp := range p.Imports {
			if slices.Contains(forbidden, imp) || strings.HasPrefix(imp, "net/") {
				t.Errorf("%s imports %s", dir, imp)
			}
		}
	}
}

// TestPublicPackage fails when composefs, which is for programs of others, needs
// more than the formats, or when something of ours goes by way of it.
func TestPublicPackage(t *testing.T) {
	for _, dir := range packages(t) {
		p, err := build.ImportDir(dir, 0)
		if err != nil {
			continue
		}
		for _, imp := range p.Imports {
			switch {
			case dir != "composefs" && imp == module+"/composefs":
				t.Errorf("%s imports composefs", dir)
			case dir == "composefs" && strings.Contains(imp, ".") && !strings.HasPrefix(imp, module+"/internal/format/"):
				t.Errorf("composefs imports %s", imp)
			}
		}
	}
}

// TestPackageComments fails for a package that does not say what it is.
func TestPackageComments(t *testing.T) {
	for _, dir := range packages(t) {
		p, err := build.ImportDir(dir, 0)
		if err == nil && len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s: no package comment", dir)
		}
	}
}

func packages(t *testing.T) []string {
	t.Helper()
	var dirs []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			return nil
		}
		if name := d.Name(); path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || path == "out" || path == "bin" || path == "test") {
			return fs.SkipDir
		}
		if m, _ := filepath.Glob(filepath.Join(path, "*.go")); len(m) > 0 {
			dirs = append(dirs, filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

func floor(dir string) int {
	if dir == "." || dir == "" {
		return 0
	}
	for i, f := range floors[1:] {
		if dir == f || strings.HasPrefix(dir, f+"/") {
			return i + 1
		}
	}
	return -1
}
