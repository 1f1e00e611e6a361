package tree_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// TestManyChildren does at random what a directory can do, beside a map. The
// directory is large enough for entries to be in several runs.
func TestManyChildren(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 0))
		dir := &tree.Node{Mode: tree.TypeDir}
		want := map[string]*tree.Node{}
		add := func(i int) {
			name, n := fmt.Sprint(i), &tree.Node{Nlink: uint32(i)}
			dir.SetChild(name, n)
			want[name] = n
		}
		check := func(when string) {
			t.Helper()
			names := slices.Sorted(maps.Keys(want))
			if got := dir.Names(); !slices.Equal(names, got) || dir.Len() != len(want) {
				t.Fatalf("seed %d, %s: %d names, %d entries, want %d in order", seed, when, len(got), dir.Len(), len(want))
			}
			for name, n := range dir.Entries() {
				if want[name] != n || dir.Child(name) != n {
					t.Fatalf("seed %d, %s: %q leads elsewhere", seed, when, name)
				}
			}
		}
		check("empty")
		for i := range 3000 {
			switch seed {
			case 0: // ascending, but for the lengths of numbers
				add(i)
			case 1:
				add(9999 - i)
			default:
				add(r.IntN(4000))
			}
		}
		check("filled")
		for range 6000 {
			i := r.IntN(5000)
			if r.IntN(3) == 0 {
				add(i)
			} else {
				dir.RemoveChild(fmt.Sprint(i))
				delete(want, fmt.Sprint(i))
			}
			if n := dir.Child(fmt.Sprint(i)); n != want[fmt.Sprint(i)] {
				t.Fatalf("seed %d: Child(%d) = %p, want %p", seed, i, n, want[fmt.Sprint(i)])
			}
		}
		check("changed")
		for _, name := range dir.Names() {
			dir.RemoveChild(name)
		}
		clear(want)
		check("emptied")
		add(1)
		check("filled again")
	}
}

// TestLinked never says no where there are several names.
func TestLinked(t *testing.T) {
	a, b, n := dir(nil), dir(nil), file()
	check := func(when string, want bool) {
		t.Helper()
		if n.Linked() != want {
			t.Errorf("%s: Linked() = %v", when, n.Linked())
		}
	}
	check("no name", false)
	a.SetChild("1", n)
	check("one name", false)
	a.SetChild("2", n)
	check("two names in a directory", true)
	a.RemoveChild("1")
	check("one left", false)
	b.SetChild("1", n)
	check("two names in two directories", true)
	b.SetChild("1", file())
	check("replaced", false)
	b.SetChild("1", n)
	c := *a
	c.RemoveChildren()
	if a.Child("2") != n || !n.Linked() {
		t.Error("emptying a copy changes the original")
	}
	a.SetChild("2", n)
	check("set again", true)
}

// TestSharedXattrs changes the attributes of one of two nodes that share them.
func TestSharedXattrs(t *testing.T) {
	list := []tree.Xattr{{Name: "user.a", Value: "1"}, {Name: "user.b", Value: "2"}}
	want := slices.Clone(list)
	for _, change := range []func(*tree.Node){
		func(n *tree.Node) { n.SetXattr("user.a", "3") },
		func(n *tree.Node) { n.SetXattr("user.aa", "3") },
		func(n *tree.Node) { n.RemoveXattr("user.a") },
	} {
		n := file()
		n.Xattrs = list
		change(n)
		if diff := cmp.Diff(want, list); diff != "" {
			t.Errorf("shared attributes changed (-want +got):\n%s", diff)
		}
		if cmp.Equal(want, n.Xattrs) {
			t.Error("nothing changed")
		}
	}
}

// BenchmarkSetChild fills a large directory in three orders.
func BenchmarkSetChild(b *testing.B) {
	const n = 1 << 18
	for _, order := range []struct {
		name string
		at   func(int) int
	}{
		{"ascending", func(i int) int { return i }},
		{"descending", func(i int) int { return n - i }},
		{"scattered", func(i int) int { return i * 7919 % n }},
	} {
		b.Run(order.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dir := &tree.Node{Mode: tree.TypeDir}
				for i := range n {
					dir.SetChild(fmt.Sprintf("%08d", order.at(i)), &tree.Node{})
				}
			}
		})
	}
}

func TestInterner(t *testing.T) {
	var in tree.Interner
	list := []tree.Xattr{{Name: "user.a", Value: "1"}, {Name: "user.b", Value: ""}}
	first := in.Xattrs(list)
	if second := in.Xattrs(slices.Clone(list)); &first[0] != &second[0] || &first[0] == &list[0] {
		t.Error("equal lists are not one")
	}
	list[0].Value = "2"
	if first[0].Value != "1" || in.Xattrs(list)[0].Value != "2" {
		t.Error("a list changed with the one that was given")
	}
	for i := range 10_000 {
		list[0].Value = fmt.Sprint(i)
		if got := in.Xattrs(list); got[0].Value != list[0].Value {
			t.Fatalf("list %d is %v", i, got)
		}
	}
	if in.Xattrs(nil) != nil {
		t.Error("no attributes became some")
	}
}
