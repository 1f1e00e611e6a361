package erofs_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/dumpfile"
	"github.com/bootc-go/bootc/internal/format/erofs"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// readTable reads a table of tab-separated values with a header line.
func readTable(t testing.TB, path string) []map[string]string {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(string(readFile(t, path)), "\n"), "\n")
	head := strings.Split(lines[0], "\t")
	var rows []map[string]string
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, v := range strings.Split(line, "\t") {
			row[head[i]] = v
		}
		rows = append(rows, row)
	}
	return rows
}

// readFile reads a file of testdata, or the one with .gz added.
func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", path))
	if err == nil {
		return data
	}
	f, err := os.Open(filepath.Join("testdata", path+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if data, err = io.ReadAll(z); err != nil {
		t.Fatal(err)
	}
	return data
}

func parse(t testing.TB, dump []byte) *tree.Tree {
	t.Helper()
	tr, err := dumpfile.Parse(bytes.NewReader(dump))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func write(t testing.TB, tr *tree.Tree, v erofs.Version) []byte {
	t.Helper()
	var image bytes.Buffer
	if err := erofs.Write(&image, tr, erofs.Options{Version: v}); err != nil {
		t.Fatal(err)
	}
	return image.Bytes()
}

func read(t testing.TB, image []byte) *tree.Tree {
	t.Helper()
	tr, err := erofs.Read(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func dump(t testing.TB, tr *tree.Tree) string {
	t.Helper()
	var text bytes.Buffer
	if err := dumpfile.Write(&text, tr); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func sha(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// checkDigests compares an image with a row of a table.
func checkDigests(t *testing.T, image []byte, row map[string]string) {
	t.Helper()
	got := map[string]string{
		"image_size":      strconv.Itoa(len(image)),
		"image_sha256":    sha(image),
		"fsverity_sha256": verity.Sum(verity.SHA256, image).String(),
		"fsverity_sha512": verity.Sum(verity.SHA512, image).String(),
	}
	for column, v := range got {
		if v != row[column] {
			t.Errorf("%s = %s, want %s", column, v, row[column])
		}
	}
}

var modes = map[string]erofs.Version{"default": erofs.Auto, "v1": erofs.V1, "v0": erofs.V0}

// notRestored are the trees of which an image does not hold everything: which
// of several names came first in the dump, and the size of a device.
var notRestored = map[string]bool{"hardlink-forward": true, "hardlink-primary-not-first": true, "special-chr-size": true}

// TestVectors writes the images of all dumps in all versions, and reads them
// back.
func TestVectors(t *testing.T) {
	for _, row := range readTable(t, "index.tsv") {
		t.Run(row["name"]+"/"+row["mode"], func(t *testing.T) {
			input := readFile(t, "dumps/"+row["name"]+".dump")
			if got := sha(input); got != row["input_sha256"] {
				t.Fatalf("input_sha256 = %s, want %s", got, row["input_sha256"])
			}
			tr := parse(t, input)
			before := dump(t, tr)
			image := write(t, tr, modes[row["mode"]])
			checkDigests(t, image, row)
			if got := strconv.Itoa(int(image[12])); got != row["header_composefs_version"] {
				t.Errorf("version %s, want %s", got, row["header_composefs_version"])
			}
			if dump(t, tr) != before {
				t.Error("Write changed the tree")
			}
			back := read(t, image)
			same := sha(write(t, back, modes[row["mode"]])) == row["image_sha256"]
			if want := !notRestored[row["name"]]; same != want {
				t.Errorf("the image read and written again is the same: %v, want %v", same, want)
			}
		})
	}
}

// TestDerived writes images of version 2, and such whose objects have SHA-512
// digests.
func TestDerived(t *testing.T) {
	n := 0
	for _, row := range readTable(t, "derived.tsv") {
		n++
		version := map[string]erofs.Version{"V1": erofs.V1, "V2": erofs.V2}[row["format"]]
		t.Run(row["name"]+"/"+row["format"], func(t *testing.T) {
			image := write(t, parse(t, readFile(t, row["input"])), version)
			checkDigests(t, image, row)
			if again := write(t, read(t, image), version); !bytes.Equal(again, image) {
				t.Error("the image read and written again is another one")
			}
		})
	}
	if n != 149 {
		t.Errorf("%d rows, want 149", n)
	}
}

// TestInfoDump compares the dump of an image with what composefs-info prints.
func TestInfoDump(t *testing.T) {
	files, err := filepath.Glob("testdata/info-dump/*.txt")
	if err != nil || len(files) != 126 {
		t.Fatalf("%d files, want 126; %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			image := write(t, parse(t, readFile(t, "dumps/"+name+".dump")), erofs.Auto)
			im, err := erofs.Inspect(bytes.NewReader(image), int64(len(image)))
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			if err := (dumpfile.Options{Dir: im.Dir, Xattrs: im.Xattrs}).Write(&text, im.Tree); err != nil {
				t.Fatal(err)
			}
			got := text.String()
			want := withoutOpaque(string(readFile(t, "info-dump/"+name+".txt")))
			if name == "ext-foreign-path" {
				// composefs-info reads on behind the end of the path.
				want = strings.Replace(want, `/path\xff\xff `, "/path ", 1)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("dump (-want +got):\n%s", diff)
			}
		})
	}
}

// withoutOpaque takes out of a dump the attributes that make a directory with
// whiteouts opaque, which composefs-info prints and we do not.
func withoutOpaque(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		f := strings.Split(line, " ")
		if len(f) < 11 || !strings.HasPrefix(f[2], "4") {
			continue
		}
		lines[i] = strings.Join(append(f[:11], slices.DeleteFunc(f[11:], func(x string) bool {
			return x == "trusted.overlay.opaque=x" || x == "user.overlay.opaque=x"
		})...), " ")
	}
	return strings.Join(lines, "\n")
}

// TestNameFilter checks the hash over names.
func TestNameFilter(t *testing.T) {
	for _, row := range readTable(t, "xattr-filter.tsv") {
		index, suffix := erofs.SplitName(row["name"])
		hash := erofs.XXH32(suffix, erofs.FilterSeed+uint32(index))
		got := fmt.Sprintf("%d %q %08x %d", index, suffix, hash, hash&31)
		want := fmt.Sprintf("%s %q %s %s", row["index"], row["suffix"], row["xxh32_hex"], row["bit"])
		if got != want {
			t.Errorf("%s: %s, want %s", row["name"], got, want)
		}
	}
}
