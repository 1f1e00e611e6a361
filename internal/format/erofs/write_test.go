package erofs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/format/erofs"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

func file(content string) *tree.Node {
	return &tree.Node{Mode: tree.TypeRegular | 0o644, Nlink: 1, Size: uint64(len(content)), Content: []byte(content)}
}

func rootWith(name string, n *tree.Node) *tree.Tree {
	t := tree.New()
	t.Root.SetChild(name, n)
	return t
}

// deep returns a tree with n directories in each other, the root included.
func deep(n int) *tree.Tree {
	t := tree.New()
	for dir := t.Root; n > 1; n-- {
		sub := &tree.Node{Mode: tree.TypeDir | 0o755}
		dir.SetChild("d", sub)
		dir = sub
	}
	return t
}

func TestRefuseToWrite(t *testing.T) {
	whiteout := &tree.Node{Mode: tree.TypeChar | 0o644, Nlink: 2}
	twice := rootWith("a", whiteout)
	twice.Root.SetChild("b", whiteout)
	loop := tree.New()
	loop.Root.SetChild("self", loop.Root)
	xattrs := func(x ...tree.Xattr) *tree.Tree {
		n := file("")
		n.Xattrs = x
		return rootWith("f", n)
	}
	long := file("abc")
	long.Size = 4
	for _, tt := range []struct {
		name string
		tree *tree.Tree
		want string
	}{
		{"root is a file", &tree.Tree{Root: file("")}, "not a directory"},
		{"long name", rootWith(strings.Repeat("n", 256), file("")), "256 bytes"},
		{"slash", rootWith("a/b", file("")), "slash"},
		{"dot dot", rootWith("..", file("")), "not a name"},
		{"no type", rootWith("f", &tree.Node{Mode: 0o644}), `"f": mode 644`},
		{"empty symbolic link", rootWith("l", &tree.Node{Mode: tree.TypeSymlink | 0o777}), `"l": symbolic link with a text of 0`},
		{"long symbolic link", rootWith("l", &tree.Node{Mode: tree.TypeSymlink, Target: strings.Repeat("t", 4096)}), "4096"},
		{"large file", rootWith("f", &tree.Node{Mode: tree.TypeRegular, Size: 1<<53 + 1}), "9007199254740993"},
		{"large content", rootWith("f", file(strings.Repeat("c", 5001))), "5001"},
		{"wrong size", rootWith("f", long), "content of 3 bytes in a file of 4"},
		{"whiteout with two names", twice, "several names"},
		{"loop", loop, "more than 2048"},
		{"depth", deep(2049), "more than 2048"},
		{"attributes out of order", xattrs(tree.Xattr{Name: "user.b"}, tree.Xattr{Name: "user.a"}), "out of order"},
		{"attribute twice", xattrs(tree.Xattr{Name: "user.b"}, tree.Xattr{Name: "user.b"}), "twice"},
		{"long attribute", xattrs(tree.Xattr{Name: "user.b", Value: strings.Repeat("v", 32767)}), "at most 32767"},
		{"attribute too long when escaped", xattrs(tree.Xattr{Name: "trusted.overlay." + strings.Repeat("n", 239)}), "not a name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := erofs.Write(io.Discard, tt.tree, erofs.Options{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Write = %v, want %q", err, tt.want)
			}
		})
	}
}

// TestDeep writes and reads the deepest tree.
func TestDeep(t *testing.T) {
	tr := deep(tree.MaxDepth)
	if got := dump(t, read(t, write(t, tr, erofs.V1))); got != dump(t, tr) {
		t.Error("the tree read back is another one")
	}
}

// TestDigestOnTheFly is how an image gets its name while it is written.
func TestDigestOnTheFly(t *testing.T) {
	tr := parse(t, readFile(t, "dumps/realistic-os.dump"))
	hash := verity.New(verity.SHA512)
	var image bytes.Buffer
	if err := erofs.Write(io.MultiWriter(&image, hash), tr, erofs.Options{}); err != nil {
		t.Fatal(err)
	}
	if got, want := hash.Sum(), verity.Sum(verity.SHA512, image.Bytes()); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

// TestPrimary stores a node under the name that Primary says, or the first if
// it says nothing that is true.
func TestPrimary(t *testing.T) {
	image := func(primary string) string {
		n := file("x")
		n.Nlink = 2
		n.SetPrimary(primary)
		tr := rootWith("z", n)
		tr.Root.SetChild("zz", file("y"))
		sub := &tree.Node{Mode: tree.TypeDir | 0o755}
		sub.SetChild("a", n)
		tr.Root.SetChild("d", sub)
		return sha(write(t, tr, erofs.V1))
	}
	first := image("")
	for _, primary := range []string{"/d/a", "/gone", "d/a"} {
		if image(primary) != first {
			t.Errorf("Primary %q is not stored under the first name", primary)
		}
	}
	if image("/z") == first {
		t.Error("Primary is not heeded")
	}
}

type failing struct{ after int }

var errFull = errors.New("full")

func (w *failing) Write(p []byte) (int, error) {
	if w.after -= len(p); w.after < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriteError(t *testing.T) {
	tr := parse(t, readFile(t, "dumps/dir-3000.dump"))
	for after := 0; after < 200_000; after += 50_000 {
		if err := erofs.Write(&failing{after}, tr, erofs.Options{}); !errors.Is(err, errFull) {
			t.Errorf("Write with room for %d bytes = %v, want %v", after, err, errFull)
		}
	}
}

// system makes a tree of n nodes that looks like an operating system: 20 names
// in a directory, most of them files with an object, all labelled.
func system(n int) *tree.Tree {
	t := tree.New()
	t.Root.Mode |= 0o755
	label := func(n *tree.Node, s string) *tree.Node { n.SetXattr("security.selinux", s); return n }
	dirs := []*tree.Node{label(t.Root, "system_u:object_r:root_t:s0")}
	for i := range n {
		dir := dirs[i/20]
		mtime := tree.Time{Sec: int64(1700000000 + i%1000)}
		var c *tree.Node
		switch i % 20 {
		case 0, 1:
			c = &tree.Node{Mode: tree.TypeDir | 0o755}
			dirs = append(dirs, c)
		case 2, 3:
			c = &tree.Node{Mode: tree.TypeSymlink | 0o777, Nlink: 1, Target: "../lib/libexample.so.1"}
		case 4:
			c = file("a little content")
		default:
			c = &tree.Node{Mode: tree.TypeRegular | 0o644, Nlink: 1, Size: uint64(1000 + i), Object: verity.Sum(verity.SHA512, fmt.Append(nil, i))}
		}
		c.Mtime = mtime
		dir.SetChild(fmt.Sprintf("name-%06d", i), label(c, fmt.Sprintf("system_u:object_r:type_%d_t:s0", i%40)))
	}
	return t
}

func BenchmarkWrite(b *testing.B) {
	t := system(100_000)
	b.ReportAllocs()
	for b.Loop() {
		hash := verity.New(verity.SHA512)
		if err := erofs.Write(hash, t, erofs.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	image := write(b, system(100_000), erofs.V1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := erofs.Read(bytes.NewReader(image), int64(len(image))); err != nil {
			b.Fatal(err)
		}
	}
}
