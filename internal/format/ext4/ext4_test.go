package ext4_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/format/ext4"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// A fixture is a tree with the contents of its objects.
type fixture struct {
	*tree.Tree
	contents map[verity.Digest][]byte
}

func newFixture() *fixture {
	f := &fixture{tree.New(), map[verity.Digest][]byte{}}
	f.Root.Mode |= 0o755
	return f
}

func (f *fixture) open(n *tree.Node, _ bool) (io.ReadCloser, error) {
	data, ok := f.contents[n.Object]
	if !ok {
		return nil, errors.New("no such object")
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// dir makes a directory, and those above it.
func (f *fixture) dir(path string) *tree.Node {
	n := f.Root
	for name := range strings.SplitSeq(path, "/") {
		c := n.Child(name)
		if c == nil {
			c = &tree.Node{Mode: tree.TypeDir | 0o755, Mtime: tree.Time{Sec: 1700000000}}
			n.SetChild(name, c)
		}
		n = c
	}
	return n
}

func (f *fixture) add(path string, n *tree.Node) *tree.Node {
	dir, name := filepath.Split(path)
	parent := f.Root
	if dir != "" {
		parent = f.dir(strings.TrimSuffix(dir, "/"))
	}
	parent.SetChild(name, n)
	return n
}

// object adds a file whose content is not inline.
func (f *fixture) object(path string, a verity.Algorithm, data []byte) *tree.Node {
	n := &tree.Node{Mode: tree.TypeRegular | 0o644, Size: uint64(len(data)), Object: verity.Sum(a, data), Mtime: tree.Time{Sec: 1600000000, Nsec: 123456789}}
	f.contents[n.Object] = data
	return f.add(path, n)
}

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for k := 0; k+8 <= n; k += 8 {
		v := r.Uint64()
		for j := range 8 {
			b[k+j] = byte(v >> (8 * j))
		}
	}
	return b
}

// sealAll seals what is an object in everything.
func sealAll(path string) bool {
	return strings.HasPrefix(path, "/objects/") || slices.Contains([]string{"/big", "/sha256", "/one", "/exact", "/more", "/wrong", "/dir/name"}, path) || strings.HasPrefix(path, "/before/")
}

// ascending is a target that insists on the order of writes.
type ascending struct {
	t   *testing.T
	f   *os.File
	end int64
}

func (a *ascending) WriteAt(p []byte, at int64) (int, error) {
	if at < a.end {
		a.t.Errorf("%d bytes are written at %d, after the end of others, %d", len(p), at, a.end)
	}
	a.end = at + int64(len(p))
	if len(bytes.Trim(p, "\x00")) == 0 {
		return len(p), nil // leave a hole
	}
	return a.f.WriteAt(p, at)
}

// write makes an image of the tree in a file.
func (f *fixture) write(t *testing.T, o ext4.Options) string {
	t.Helper()
	if o.Open == nil {
		o.Open = f.open
	}
	i, err := ext4.New(f.Tree, o)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(o.Size); err != nil {
		t.Fatal(err)
	}
	if err := i.Write(&ascending{t: t, f: file}); err != nil {
		t.Fatal(err)
	}
	return path
}

// check runs e2fsck, which must find nothing.
func check(t *testing.T, image string) {
	t.Helper()
	out, err := exec.Command(program(t, "e2fsck"), "-f", "-n", image).CombinedOutput()
	if err != nil || strings.Contains(string(out), "? no") {
		t.Fatalf("e2fsck: %v\n%s", err, out)
	}
}

func program(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range []string{"/sbin", "/usr/sbin", "/usr/bin"} {
		if path := filepath.Join(dir, name); exec.Command("test", "-x", path).Run() == nil {
			return path
		}
	}
	t.Skipf("%s is not installed", name)
	return ""
}

const mib = 1 << 20

// everything is a tree with all that ext4 can hold.
func everything() *fixture {
	r := rand.New(rand.NewPCG(1, 2))
	f := newFixture()
	for k := range 3000 {
		f.object(fmt.Sprintf("objects/%02x/%d-%s", k%7, k, strings.Repeat("n", k%120)), verity.SHA512, random(r, r.IntN(20000)))
	}
	f.object("big", verity.SHA512, random(r, 9*mib+17))
	f.object("sha256", verity.SHA256, random(r, 3*mib))
	f.object("one", verity.SHA512, []byte("x"))
	f.object("exact", verity.SHA512, random(r, 64*4096))
	f.object("more", verity.SHA512, random(r, 64*4096+1))
	f.add("hole", &tree.Node{Mode: tree.TypeRegular | 0o600, Size: 5000000})
	f.add("empty", &tree.Node{Mode: tree.TypeRegular | 0o4755, UID: 70000, GID: 1 << 31})
	inline := f.add("inline", &tree.Node{Mode: tree.TypeRegular | 0o644, Size: 5, Content: []byte("hello")})
	f.add("dir/second-name", inline)
	f.add("fast", &tree.Node{Mode: tree.TypeSymlink | 0o777, Target: strings.Repeat("f", 59)})
	f.add("slow", &tree.Node{Mode: tree.TypeSymlink | 0o777, Target: strings.Repeat("s", 60)})
	f.add("slowest", &tree.Node{Mode: tree.TypeSymlink | 0o777, Target: strings.Repeat("s", 4095)})
	f.add("null", &tree.Node{Mode: tree.TypeChar | 0o666, Rdev: 1<<8 | 3})
	f.add("large-numbers", &tree.Node{Mode: tree.TypeBlock | 0o660, Rdev: 0x12345678})
	f.add("fifo", &tree.Node{Mode: tree.TypeFifo | 0o660})
	f.add("socket", &tree.Node{Mode: tree.TypeSocket | 0o660})
	f.add("future", &tree.Node{Mode: tree.TypeRegular, Mtime: tree.Time{Sec: 1 << 33, Nsec: 999999999}})
	f.add("past", &tree.Node{Mode: tree.TypeRegular, Mtime: tree.Time{Sec: -5, Nsec: 1}})
	x := f.add("attributes", &tree.Node{Mode: tree.TypeRegular})
	x.SetXattr("security.selinux", "system_u:object_r:etc_t:s0\x00")
	x.SetXattr("user.long", strings.Repeat("v", 3000))
	x.SetXattr("user.empty", "")
	x.SetXattr("trusted.overlay.opaque", "y")
	x.SetXattr("system.posix_acl_access", "\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x04\x00\xe8\x03\x00\x00\x04\x00\x04\x00\xff\xff\xff\xff\x10\x00\x04\x00\xff\xff\xff\xff\x20\x00\x04\x00\xff\xff\xff\xff")
	for k := range 300 {
		f.dir(fmt.Sprintf("dirs/%d", k))
	}
	return f
}

func options(size int64, seal func(string) bool) ext4.Options {
	return ext4.Options{Size: size, Label: "root", UUID: [16]byte{1, 2, 3}, HashSeed: [16]byte{4}, Time: 1700000000, Seal: seal}
}

func TestCheckedByE2fsck(t *testing.T) {
	full := everything()
	for _, c := range []struct {
		name string
		f    *fixture
		size int64
	}{
		{"empty", newFixture(), 16 * mib},
		{"odd", newFixture(), 200*mib + 12345},
		{"two groups and a little", newFixture(), 256*mib + 100*4096},
		{"full", full, 512 * mib},
		{"large", full, 20 << 30},
	} {
		for _, seal := range []func(string) bool{nil, sealAll} {
			t.Run(fmt.Sprintf("%s/%v", c.name, seal != nil), func(t *testing.T) {
				check(t, c.f.write(t, options(c.size, seal)))
			})
		}
	}
}
