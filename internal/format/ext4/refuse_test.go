package ext4_test

import (
	"bytes"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/format/ext4"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// TestRefused is what does not fit, before anything is written.
func TestRefused(t *testing.T) {
	file := func(change func(n *tree.Node)) *fixture {
		f := newFixture()
		n := &tree.Node{Mode: tree.TypeRegular | 0o644}
		change(n)
		f.add("dir/name", n)
		return f
	}
	for _, c := range []struct {
		name string
		f    *fixture
		o    ext4.Options
		want string
	}{
		{"no size", newFixture(), ext4.Options{}, "a file system of 0 bytes is too small"},
		{"too small", newFixture(), ext4.Options{Size: 2 * mib}, "too small"},
		{"no room", file(func(n *tree.Node) {
			n.Size, n.Object = 100*mib, verity.Sum(verity.SHA512, nil)
		}), ext4.Options{Size: 64 * mib}, "the file system is too small"},
		{"label", newFixture(), ext4.Options{Size: 64 * mib, Label: "seventeen letters"}, "ext4 takes 16"},
		{"lost+found", func() *fixture { f := newFixture(); f.dir("lost+found"); return f }(), ext4.Options{Size: 64 * mib}, "/lost+found"},
		{"long attribute", file(func(n *tree.Node) { n.SetXattr("user.a", strings.Repeat("v", 5000)) }), ext4.Options{Size: 64 * mib}, "/dir/name: 5020 bytes of extended attributes"},
		{"unknown attribute", file(func(n *tree.Node) { n.SetXattr("system.other", "v") }), ext4.Options{Size: 64 * mib}, `/dir/name: ext4 has no extended attribute "system.other"`},
		{"no digest", file(func(n *tree.Node) {}), ext4.Options{Size: 64 * mib, Seal: sealAll}, "/dir/name: a file with fs-verity has no digest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := ext4.New(c.f.Tree, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("New gave %v, want %q in it", err, c.want)
			}
		})
	}
}

// TestWrongContent is an object that is not what the tree says.
func TestWrongContent(t *testing.T) {
	for _, size := range []int{10, 5000, 3 * mib} {
		for what, change := range map[string]func([]byte) []byte{
			"shorter than": func(b []byte) []byte { return b[:len(b)-1] },
			"longer than":  func(b []byte) []byte { return append(b, 0) },
			"the digest":   func(b []byte) []byte { b[5]++; return b },
		} {
			f := newFixture()
			for k := range 100 {
				f.object("before/"+strings.Repeat("x", k+1), verity.SHA512, make([]byte, 100*k))
			}
			n := f.object("wrong", verity.SHA512, make([]byte, size))
			o := options(64*mib, sealAll)
			o.Open = func(m *tree.Node, sealed bool) (io.ReadCloser, error) {
				if m != n {
					return f.open(m, sealed)
				}
				return io.NopCloser(bytes.NewReader(change(make([]byte, size)))), nil
			}
			i, err := ext4.New(f.Tree, o)
			if err != nil {
				t.Fatal(err)
			}
			if err := i.Write(nowhere{}); err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("%d bytes: Write gave %v, want %q in it", size, err, what)
			}
		}
	}
}

type nowhere struct{}

func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// TestSameBytes writes twice, with one and with several goroutines.
func TestSameBytes(t *testing.T) {
	read := func(procs int) []byte {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		data, err := os.ReadFile(everything().write(t, options(256*mib, sealAll)))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if !bytes.Equal(read(1), read(4)) {
		t.Error("the same tree gave other bytes")
	}
}
