package computedigest_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/action/computedigest"
	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// testdata of the layers: small OCI images and their digests.
const vectors = "../../format/layer/testdata/"

// TestVectors unpacks images as a container engine does and compares with the
// digests that upstream gives for the images themselves.
func TestVectors(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, for owners and devices")
	}
	layouts := readLayouts(t)
	compared := 0
	for _, row := range readRows(t) {
		name, hash, erofs, want, ours := row[0], row[1], row[2], row[5], row[8]
		if hash != "sha512" || erofs != "V1" || ours != "same" || strings.HasPrefix(want, "error") || want == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			if err := unpack(t, layouts[name], top); err != nil {
				t.Skip("it cannot be unpacked here:", err)
			}
			root, err := dir.Open(top)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			r, err := computedigest.Of(t.Context(), root)
			if err != nil {
				t.Fatal(err)
			}
			if string(r.ID) != want {
				t.Errorf("digest %s, want %s", r.ID, want)
			}
			if got := r.Fractions > 0; got != slices.Contains([]string{"mtime-fraction", "mtime-pax-int", "usr-attrs"}, name) {
				t.Errorf("%d times with fractions, first %q", r.Fractions, r.FirstFraction)
			}
			compared++
		})
	}
	if compared < 58 {
		t.Errorf("%d images compared, want at least 58", compared)
	}
}

// TestErrors checks what is said of a directory that is no image, and that the
// path of what cannot be read is named.
func TestErrors(t *testing.T) {
	top := t.TempDir()
	of := func() error {
		t.Helper()
		root, err := dir.Open(top)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		_, err = computedigest.Of(t.Context(), root)
		return err
	}
	if err := of(); err == nil || err.Error() != "the image has no directory /usr: add `RUN mkdir /usr` to its Containerfile" {
		t.Errorf("an empty directory: %v", err)
	}
	for _, d := range []string{"usr", "boot", "sysroot", "etc/selinux"} {
		if err := os.MkdirAll(filepath.Join(top, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := of(); err != nil {
		t.Error(err)
	}
	config := "SELINUXTYPE=" + strings.Repeat("x", 100)
	if err := os.WriteFile(filepath.Join(top, "etc/selinux/config"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := of(); err == nil || !strings.Contains(err.Error(), "xxx/contexts/files/file_contexts") {
		t.Errorf("a policy that is not there: %v", err)
	}
}

// unpack writes the image of a layout to a directory.
func unpack(t *testing.T, files map[string][]byte, top string) error {
	t.Helper()
	var index ocispec.Index
	var m ocispec.Manifest
	blob := func(d ocispec.Descriptor) []byte {
		return files["blobs/"+strings.ReplaceAll(d.Digest.String(), ":", "/")]
	}
	if err := json.Unmarshal(files["index.json"], &index); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(blob(index.Manifests[0]), &m); err != nil {
		t.Fatal(err)
	}
	s := sink{}
	image := tree.New()
	for _, d := range m.Layers {
		l, err := layer.Read(decompress(t, blob(d)), s, nil, layer.Limits{})
		if err == nil {
			err = layer.Apply(image, l)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	names := map[*tree.Node]string{}
	var all []func() error // times of directories are set last
	err := image.Walk(func(path string, n *tree.Node) error {
		path = filepath.Join(top, path)
		if other := names[n]; other != "" {
			return os.Link(other, path)
		}
		names[n] = path
		if err := s.create(path, n); err != nil {
			return err
		}
		all = append(all, func() error { return setTime(path, n) })
		return nil
	})
	for _, f := range slices.Backward(all) {
		err = errors.Join(err, f())
	}
	return err
}

// setTime sets a time and checks that the file system can hold it.
func setTime(path string, n *tree.Node) error {
	ts := unix.Timespec{Sec: n.Mtime.Sec, Nsec: int64(n.Mtime.Nsec)}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil || st.Mtim != ts {
		return fmt.Errorf("time %v became %v, %v", ts, st.Mtim, err)
	}
	return nil
}

// A sink keeps objects in memory.
type sink map[verity.Digest][]byte

func (s sink) Object(r io.Reader, _ int64) (verity.Digest, error) {
	data, err := io.ReadAll(r)
	d := verity.Sum(verity.SHA512, data)
	s[d] = data
	return d, err
}

func (s sink) create(path string, n *tree.Node) error {
	var err error
	switch n.Type() {
	case tree.TypeDir:
		if err = os.Mkdir(path, 0o700); errors.Is(err, os.ErrExist) {
			err = nil
		}
	case tree.TypeSymlink:
		err = os.Symlink(n.Target, path)
	case tree.TypeRegular:
		data := n.Content
		if !n.Object.IsZero() {
			data = s[n.Object]
		}
		err = os.WriteFile(path, data, 0o600)
	default:
		dev := unix.Mkdev(n.Rdev>>8&0xfff, n.Rdev&0xff|n.Rdev>>12&0xfff00)
		err = unix.Mknod(path, n.Type()|0o600, int(dev))
	}
	if err == nil {
		err = os.Lchown(path, int(n.UID), int(n.GID))
	}
	if err == nil && !n.IsSymlink() {
		err = unix.Chmod(path, n.Perm())
	}
	for _, x := range n.Xattrs {
		if e := unix.Lsetxattr(path, x.Name, []byte(x.Value), 0); e != nil && (x.Name == "security.capability" || !errors.Is(e, unix.EOPNOTSUPP) && !errors.Is(e, unix.EPERM) && !errors.Is(e, unix.EINVAL) && !errors.Is(e, unix.ENODATA)) {
			err = errors.Join(err, fmt.Errorf("%s: %w", x.Name, e))
		}
	}
	return err
}

func decompress(t *testing.T, data []byte) io.Reader {
	t.Helper()
	var r io.Reader = bytes.NewReader(data)
	var err error
	switch {
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		r, err = gzip.NewReader(r)
	case bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func readRows(t *testing.T) [][]string {
	t.Helper()
	data, err := os.ReadFile(vectors + "index.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for line := range strings.Lines(string(data)) {
		rows = append(rows, strings.Split(strings.TrimRight(line, "\n"), "\t"))
	}
	return rows[1:]
}

// readLayouts returns the files of each case.
func readLayouts(t *testing.T) map[string]map[string][]byte {
	t.Helper()
	f, err := os.Open(vectors + "layouts.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		name, file, _ := strings.Cut(strings.TrimPrefix(h.Name, "./"), "/")
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if all[name] == nil {
			all[name] = map[string][]byte{}
		}
		all[name][file] = data
	}
}
