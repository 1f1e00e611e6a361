package tree_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/tree"
)

func dir(children map[string]*tree.Node) *tree.Node {
	n := &tree.Node{Mode: tree.TypeDir | 0o755}
	for name, c := range children {
		n.SetChild(name, c)
	}
	return n
}

func file() *tree.Node { return &tree.Node{Mode: tree.TypeRegular | 0o644} }

func sample() (t *tree.Tree, linked *tree.Node) {
	linked = file()
	return &tree.Tree{Root: dir(map[string]*tree.Node{
		"a-": file(),
		"a":  dir(map[string]*tree.Node{"z": linked, "b": file()}),
		"c":  linked,
		"B":  dir(nil),
	})}, linked
}

func TestWalk(t *testing.T) {
	tr, _ := sample()
	var got []string
	err := tr.Walk(func(path string, _ *tree.Node) error { got = append(got, path); return nil })
	want := []string{"/", "/B", "/a", "/a/b", "/a/z", "/a-", "/c"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Walk = %v (-want +got):\n%s", err, diff)
	}
	stop := errors.New("stop")
	n := 0
	if err := tr.Walk(func(string, *tree.Node) error { n++; return stop }); err != stop || n != 1 {
		t.Errorf("Walk = %v after %d names, want %v after 1", err, n, stop)
	}
}

func TestCountLinks(t *testing.T) {
	tr, linked := sample()
	for range 2 { // counting again gives the same
		tr.CountLinks()
		if linked.Nlink != 2 || tr.Lookup("/a/b").Nlink != 1 {
			t.Errorf("Nlink = %d and %d, want 2 and 1", linked.Nlink, tr.Lookup("/a/b").Nlink)
		}
	}
}

func TestLookup(t *testing.T) {
	tr, linked := sample()
	for path, want := range map[string]*tree.Node{
		"":         tr.Root,
		"/":        tr.Root,
		"a/z":      linked,
		"/a//./z":  linked,
		"/a/y":     nil,
		"/c/below": nil,
		"..":       nil,
	} {
		if got := tr.Lookup(path); got != want {
			t.Errorf("Lookup(%q) = %p, want %p", path, got, want)
		}
	}
}

func TestResolve(t *testing.T) {
	link := func(target string) *tree.Node { return &tree.Node{Mode: tree.TypeSymlink | 0o777, Target: target} }
	here, there := file(), file()
	many := dir(nil)
	for n := range 41 {
		many.SetChild(strconv.Itoa(n), link(strconv.Itoa(n+1)))
	}
	many.SetChild("41", there)
	tr := &tree.Tree{Root: dir(map[string]*tree.Node{
		"a": dir(map[string]*tree.Node{
			"here": here, "up": link("../b/there"), "top": link("../../../b//./there"), "absolute": link("/b/there"),
			"dir": link("/b"), "loop": link("loop"), "nowhere": link("x"), "through": link("here/."), "deep": link("dir/there"),
		}),
		"b":    dir(map[string]*tree.Node{"there": there, "back": link("..")}),
		"many": many,
	})}
	for path, want := range map[string]*tree.Node{
		"": tr.Root, "/": tr.Root, "/..": tr.Root, "a/here": here, "/a/./here": here, "a/up": there, "a/top": there,
		"a/absolute": there, "a/dir/there": there, "a/dir/../a/here": here, "a/deep": there, "b/back/a/here": here,
		"a/loop": nil, "a/nowhere": nil, "a/through": nil, "a/here/": nil, "a/here/..": nil, "a/x/..": nil,
		"many/1": there, "many/0": nil,
	} {
		if got := tr.Resolve(path); got != want {
			t.Errorf("Resolve(%q) = %v, want %v", path, got, want)
		}
	}
}

func TestChildren(t *testing.T) {
	n := dir(map[string]*tree.Node{"b": file(), "a": file(), "\xff": file(), "B": file()})
	if diff := cmp.Diff([]string{"B", "a", "b", "\xff"}, n.Names()); diff != "" {
		t.Errorf("Names (-want +got):\n%s", diff)
	}
	n.RemoveChild("a")
	n.RemoveChild("not there")
	if n.Len() != 3 || n.Child("a") != nil {
		t.Errorf("%d entries after RemoveChild", n.Len())
	}
	n.RemoveChildren()
	if n.Len() != 0 || len(n.Names()) != 0 || n.Child("b") != nil {
		t.Errorf("%d entries after RemoveChildren", n.Len())
	}
}

func TestXattrs(t *testing.T) {
	n := file()
	for _, name := range []string{"user.b", "user.a", "trusted.c", "user.b"} {
		n.SetXattr(name, "value of "+name)
	}
	n.SetXattr("user.a", "")
	want := []tree.Xattr{{Name: "trusted.c", Value: "value of trusted.c"}, {Name: "user.a"}, {Name: "user.b", Value: "value of user.b"}}
	if diff := cmp.Diff(want, n.Xattrs); diff != "" {
		t.Errorf("Xattrs (-want +got):\n%s", diff)
	}
	if v, ok := n.Xattr("user.a"); v != "" || !ok {
		t.Errorf("Xattr(user.a) = %q, %v", v, ok)
	}
	n.RemoveXattr("user.a")
	n.RemoveXattr("user.a")
	if _, ok := n.Xattr("user.a"); ok || len(n.Xattrs) != 2 {
		t.Errorf("%d attributes after RemoveXattr", len(n.Xattrs))
	}
}

func TestTypes(t *testing.T) {
	n := &tree.Node{Mode: tree.TypeChar | 0o4644}
	if n.Type() != tree.TypeChar || n.Perm() != 0o4644 || !n.IsWhiteout() {
		t.Errorf("mode %o: type %o, permissions %o, whiteout %v", n.Mode, n.Type(), n.Perm(), n.IsWhiteout())
	}
	n.Rdev = 1
	if n.IsWhiteout() || n.IsDir() || n.IsRegular() || n.IsSymlink() {
		t.Errorf("mode %o is taken for another type", n.Mode)
	}
	if root := tree.New().Root; !root.IsDir() || root.Perm() != 0 {
		t.Errorf("a new root has mode %o", root.Mode)
	}
}

func TestTimes(t *testing.T) {
	ordered := []tree.Time{{-5, 0}, {-5, 1}, {0, 0}, {0, 999_999_999}, {1, 0}}
	for i, a := range ordered {
		for j, b := range ordered {
			if got, want := a.Compare(b) < 0, i < j; got != want {
				t.Errorf("%v before %v: %v, want %v", a, b, got, want)
			}
		}
	}
}

func TestChecks(t *testing.T) {
	for name, good := range map[string]bool{
		"a": true, "...": true, "\xff\n": true, strings.Repeat("n", 255): true,
		"": false, ".": false, "..": false, "a/b": false, "a\x00": false, strings.Repeat("n", 256): false,
	} {
		if err := tree.CheckName(name); (err == nil) != good {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
	for text, good := range map[string]bool{
		"a": true, "/../..": true, strings.Repeat("t", 4095): true,
		"": false, "a\x00": false, strings.Repeat("t", 4096): false,
	} {
		if err := tree.CheckTarget(text); (err == nil) != good {
			t.Errorf("CheckTarget(%q) = %v", text, err)
		}
	}
	x := func(name string) tree.Xattr { return tree.Xattr{Name: name} }
	full := tree.Xattr{Name: "user.a", Value: strings.Repeat("v", 32767-12-7-6)}
	over := full
	over.Value += "v"
	for _, tt := range []struct {
		xattrs []tree.Xattr
		good   bool
	}{
		{nil, true},
		{[]tree.Xattr{x("a"), x("b")}, true},
		{[]tree.Xattr{full}, true},
		{[]tree.Xattr{over}, false},
		{[]tree.Xattr{x("b"), x("a")}, false},
		{[]tree.Xattr{x("a"), x("a")}, false},
		{[]tree.Xattr{x("")}, false},
		{[]tree.Xattr{x("a\x00")}, false},
		{[]tree.Xattr{x(strings.Repeat("n", 256))}, false},
	} {
		if err := tree.CheckXattrs(tt.xattrs); (err == nil) != tt.good {
			t.Errorf("CheckXattrs of %d = %v, good %v", len(tt.xattrs), err, tt.good)
		}
	}
}
