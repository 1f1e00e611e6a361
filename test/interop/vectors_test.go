package interop_test

import (
	"archive/tar"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const vectors = "../../internal/format/layer/testdata"

// cases reads which images upstream makes right: the others ours makes
// otherwise on purpose.
func cases(t *testing.T) []string {
	data, err := os.ReadFile(vectors + "/index.tsv")
	must(t, err)
	seen := map[string]bool{}
	var all []string
	for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		c := strings.Split(line, "\t")
		if i > 0 && c[len(c)-1] == "same" && !seen[c[0]] {
			seen[c[0]] = true
			all = append(all, c[0])
		}
	}
	return all
}

func layouts(t *testing.T) string {
	f, err := os.Open(vectors + "/layouts.tar.gz")
	must(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	must(t, err)
	dir := t.TempDir()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return dir
		}
		must(t, err)
		if h.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(r)
		must(t, err)
		name := filepath.Join(dir, filepath.Clean("/"+h.Name))
		must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		must(t, os.WriteFile(name, data, 0o644))
	}
}

// TestVectors pulls the images that both make alike with both tools into
// repositories of each kind: the same digests and dumps, and each finds the
// other's repository in order.
func TestVectors(t *testing.T) {
	theirs, ours := theirs(t), ours(t)
	dir := layouts(t)
	for _, kind := range kinds() {
		t.Run(strings.Join(append([]string{"kind"}, kind...), " "), func(t *testing.T) {
			their, our := newRepository(t, theirs, kind), newRepository(t, ours, kind)
			pulled := 0
			for _, name := range cases(t) {
				ref := "oci:" + filepath.Join(dir, name) + ":latest"
				_, theirOK := their.with(theirs, "oci", "pull", ref, name)
				_, ourOK := our.with(ours, "oci", "pull", ref, name)
				if theirOK != ourOK {
					t.Errorf("%s: theirs pulls it: %v, ours: %v", name, theirOK, ourOK)
				}
				if !theirOK || !ourOK {
					continue
				}
				pulled++
				compare(t, name, their, our, theirs, ours)
			}
			if pulled < 50 {
				t.Errorf("%d images were pulled, want at least 50", pulled)
			}
			their.sound(theirs, ours)
			our.sound(theirs, ours)
		})
	}
}

// compare compares an image that both have pulled, each looking at its own
// repository and at the other's.
func compare(t *testing.T, name string, their, our repository, theirs, ours tool) {
	t.Helper()
	for _, args := range [][]string{{"oci", "compute-id", name}, {"oci", "dump", name}} {
		want := their.must(theirs, args...)
		same(t, name+" "+args[1], our.must(ours, args...), want)
		same(t, name+" "+args[1]+", theirs in ours", our.must(theirs, args...), want)
		same(t, name+" "+args[1]+", ours in theirs", their.must(ours, args...), want)
	}
	want, theirOK := their.with(theirs, "oci", "compute-id", "--bootable", name)
	got, ourOK := our.with(ours, "oci", "compute-id", "--bootable", name)
	if ourOK && theirOK {
		same(t, name+" bootable", got, want)
	} else if ourOK || theirOK && !strings.Contains(name, "selinux") {
		t.Errorf("%s bootable: theirs %v, ours %v", name, theirOK, ourOK)
	}
}
