package interop_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/bootc-go/bootc/internal/content/images/imagestest"
)

func diffIDs(t *testing.T, img *imagestest.Image) []string {
	t.Helper()
	var config ocispec.Image
	must(t, json.Unmarshal(img.RawConfig, &config))
	var all []string
	for _, d := range config.RootFS.DiffIDs {
		all = append(all, string(d))
	}
	return all
}

// TestShared lets both tools pull into one repository by turns, whichever has
// made it, drop images and collect garbage: what one keeps the other finds
// whole, and neither leaves garbage for the other.
func TestShared(t *testing.T) {
	theirs, ours := theirs(t), ours(t)
	from := first()
	t.Logf("-seed %d", from)
	for _, maker := range []tool{theirs, ours} {
		for _, kind := range kinds() {
			t.Run(strings.Join(append([]string{maker.name}, kind...), " "), func(t *testing.T) {
				r := newRepository(t, maker, kind)
				ids := map[string]string{}
				for n := range 6 {
					by := []tool{ours, theirs}[n%2]
					layout := filepath.Join(t.TempDir(), "layout")
					must(t, grow(from+uint64(n)).SaveLayout(layout))
					name := fmt.Sprintf("localhost/image:%d", n)
					r.must(by, "oci", "pull", "--bootable", "oci:"+layout+":latest", name)
					// The other finds the layers and adds what it wants.
					r.must([]tool{theirs, ours}[n%2], "oci", "pull", "--bootable", "oci:"+layout+":latest", name)
					ids[name] = r.must(theirs, "oci", "compute-id", "--bootable", name)
				}
				r.sound(theirs, ours)
				for n := range 4 {
					name := fmt.Sprintf("localhost/image:%d", n)
					r.must([]tool{ours, theirs}[n%2], "oci", "untag", name)
					delete(ids, name)
					r.collect(ours, theirs, n%2 == 0)
					r.sound(theirs, ours)
				}
				for name, id := range ids {
					same(t, name, r.must(ours, "oci", "compute-id", "--bootable", name), id)
					r.must(theirs, "oci", "inspect", name)
				}
			})
		}
	}
}

// collect compares what both would remove, removes it with one of them, and
// finds that nothing is left for the other.
func (r repository) collect(ours, theirs tool, first bool) {
	r.Helper()
	same(r.T, "gc --dry-run", r.must(ours, "gc", "-n"), r.must(theirs, "gc", "-n"))
	other := filepath.Join(quickDir(r.T), "copy")
	out, err := exec.Command("cp", "-a", r.path, other).CombinedOutput()
	if err != nil {
		r.Fatalf("cp: %v: %s", err, out)
	}
	theirCopy := repository{r.T, other}
	ourCopy := r
	if !first {
		theirCopy, ourCopy = ourCopy, theirCopy
	}
	same(r.T, "gc", ourCopy.must(ours, "gc"), theirCopy.must(theirs, "gc"))
	const nothing = "Objects: 0 removed (0 bytes)\n"
	same(r.T, "theirs after our gc", ourCopy.must(theirs, "gc"), nothing)
	same(r.T, "ours after their gc", theirCopy.must(ours, "gc"), nothing)
	must(r.T, os.RemoveAll(other))
}

// TestOldRepository has both upgrade a repository without meta.json.
func TestOldRepository(t *testing.T) {
	theirs, ours := theirs(t), ours(t)
	for _, by := range []tool{theirs, ours} {
		r := newRepository(t, by, nil)
		layout := filepath.Join(t.TempDir(), "layout")
		must(t, grow(1).SaveLayout(layout))
		r.must(theirs, "oci", "pull", "--bootable", "oci:"+layout+":latest", "name")
		id := r.must(theirs, "oci", "compute-id", "--bootable", "name")
		before, err := os.ReadFile(filepath.Join(r.path, "meta.json"))
		must(t, err)
		must(t, os.Remove(filepath.Join(r.path, "meta.json")))
		same(t, "without meta.json", r.must(ours, "oci", "compute-id", "--bootable", "name"), id)
		r.must(by, "oci", "pull", "--bootable", "oci:"+layout+":latest", "name")
		after, err := os.ReadFile(filepath.Join(r.path, "meta.json"))
		must(t, err)
		same(t, "meta.json", string(after), string(before))
		r.sound(theirs, ours)
	}
}

// TestDirectories makes images of directories.
func TestDirectories(t *testing.T) {
	theirs, ours := theirs(t), ours(t)
	dir := t.TempDir()
	for _, name := range []string{"usr/bin", "run", "boot/x", "sysroot", "etc"} {
		must(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
	}
	for n, size := range []int{0, 64, 65, 5000} {
		must(t, os.WriteFile(filepath.Join(dir, "usr/bin", fmt.Sprint(n)), []byte(imagestest.Big("x", size)), 0o755))
	}
	must(t, os.Link(filepath.Join(dir, "usr/bin/3"), filepath.Join(dir, "usr/bin/hard")))
	must(t, os.Symlink("3", filepath.Join(dir, "usr/bin/soft")))
	for _, args := range [][]string{
		{"compute-id", dir}, {"compute-id", "--bootable", dir}, {"--erofs-version", "2", "compute-id", dir}, {"--hash", "sha256", "compute-id", dir},
		{"compute-karg", dir}, {"--erofs-version", "2", "compute-karg", dir}, {"create-dumpfile", dir}, {"compute-id", "--no-propagate-usr-to-root", dir},
	} {
		o, ok := ours.run(t, args...)
		if x, ok2 := theirs.run(t, args...); o != x || !ok || !ok2 {
			t.Errorf("%s: ours %v %q, theirs %v %q", strings.Join(args, " "), ok, o, ok2, x)
		}
	}
	for _, kind := range kinds() {
		their, our := newRepository(t, theirs, kind), newRepository(t, ours, kind)
		same(t, "create-image", our.must(ours, "create-image", dir, "name"), their.must(theirs, "create-image", dir, "name"))
		// Theirs lists objects in any order.
		same(t, "image-objects", sorted(our.must(theirs, "image-objects", "refs/name")), their.must(ours, "image-objects", "refs/name"))
		for _, args := range [][]string{{"images"}, {"images", "--json"}, {"dump-files", "refs/name", "/usr"}, {"gc", "-n"}, {"gc"}, {"fsck"}, {"fsck", "--json"}} {
			want := their.must(theirs, args...)
			same(t, strings.Join(args, " "), our.must(ours, args...), want)
			same(t, strings.Join(args, " ")+", theirs in ours", our.must(theirs, args...), want)
			same(t, strings.Join(args, " ")+", ours in theirs", their.must(ours, args...), want)
		}
	}
}

func sorted(text string) string {
	lines := strings.SplitAfter(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}
