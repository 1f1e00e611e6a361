package etc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/machine/etc"
)

// A maker makes random trees with few names and values, so that the versions
// of a path meet in all ways.
type maker struct {
	*rand.Rand
	special bool
}

func (m maker) tree() *tree.Tree {
	root := m.dir(3)
	root.Mode, root.UID = tree.TypeDir|0o755, 0
	return &tree.Tree{Root: root}
}

func (m maker) dir(depth int) *tree.Node {
	n := m.meta(tree.TypeDir, 0o755)
	for _, name := range []string{"a", "b", "c"} {
		if child := m.node(depth - 1); child != nil {
			n.SetChild(name, child)
		}
	}
	return n
}

func (m maker) node(depth int) *tree.Node {
	switch m.IntN(7) {
	case 0, 1:
		n := m.meta(tree.TypeRegular, 0o644)
		n.Content = []byte{'0' + byte(m.IntN(2))}
		n.Size = 1
		return n
	case 2:
		n := m.meta(tree.TypeSymlink, 0o777)
		n.Target = string('a' + rune(m.IntN(2)))
		return n
	case 3, 4:
		if depth > 0 {
			return m.dir(depth)
		}
	case 5:
		if m.special {
			return m.meta(tree.TypeFifo, 0o600)
		}
	}
	return nil
}

func (m maker) meta(kind, perm uint32) *tree.Node {
	n := &tree.Node{Mode: kind | perm}
	if m.IntN(5) == 0 {
		n.UID = 1
	}
	if kind != tree.TypeSymlink && kind != tree.TypeFifo && m.IntN(4) == 0 {
		n.SetXattr(fmt.Sprint("user.x", m.IntN(2)), string('a'+rune(m.IntN(2))))
	}
	return n
}

// change returns a copy of a tree with a few entries made anew.
func (m maker) change(t *tree.Tree) *tree.Tree {
	root := m.changed(t.Root, 3)
	if root == nil || !root.IsDir() {
		root = m.dir(3)
	}
	return &tree.Tree{Root: root}
}

func (m maker) changed(n *tree.Node, depth int) *tree.Node {
	if depth < 3 && m.IntN(4) == 0 {
		return m.node(depth)
	}
	if n == nil || !n.IsDir() {
		return n
	}
	c := m.meta(tree.TypeDir, 0o755)
	if m.IntN(3) > 0 {
		c = &tree.Node{Mode: n.Mode, UID: n.UID, Xattrs: n.Xattrs}
	}
	for _, name := range []string{"a", "b", "c"} {
		if child := m.changed(n.Child(name), depth-1); child != nil {
			c.SetChild(name, child)
		}
	}
	return c
}

func newMaker(seed uint64, special bool) maker {
	return maker{rand.New(rand.NewPCG(seed, 1)), special}
}

func TestMergeLaws(t *testing.T) {
	for seed := range uint64(3000) {
		m := newMaker(seed, false)
		p, n := m.tree(), m.tree()
		c := m.change(p)
		for _, law := range []struct {
			name                         string
			pristine, current, new, want *tree.Tree
		}{
			{"nothing changed on the machine", p, p, n, n},
			{"nothing changed in the image", p, c, p, c},
			{"the same change on both sides", p, c, c, c},
		} {
			plan, conflicts := etc.Merge(law.pristine, law.current, law.new)
			if len(conflicts) > 0 {
				t.Fatalf("seed %d: %s: conflicts %v", seed, law.name, conflicts)
			}
			want := listing(t, law.want, nil)
			if got := listing(t, plan.Result(), nil); got != want {
				t.Fatalf("seed %d: %s (-want +got):\n%s", seed, law.name, cmp.Diff(want, got))
			}
		}
		if got := etc.Diff(p, p); got != nil {
			t.Fatalf("seed %d: difference to itself: %v", seed, got)
		}
	}
}

// TestMergeSides checks what holds for any three trees: each file of the
// result is one of the machine's or the image's, no change of the machine gets
// lost but in a conflict, and the inputs stay as they are.
func TestMergeSides(t *testing.T) {
	for seed := range uint64(3000) {
		m := newMaker(seed, true)
		p := m.tree()
		c, n := m.change(p), m.change(p)
		before := listing(t, p, nil) + listing(t, c, nil) + listing(t, n, nil)
		plan, conflicts := etc.Merge(p, c, n)
		if after := listing(t, p, nil) + listing(t, c, nil) + listing(t, n, nil); after != before {
			t.Fatalf("seed %d: the inputs changed", seed)
		}
		result := plan.Result()
		result.Walk(func(path string, r *tree.Node) error {
			if !r.IsDir() && r != c.Lookup(path) && r != n.Lookup(path) {
				t.Errorf("seed %d: %s comes from nowhere", seed, path)
			}
			return nil
		})
		for _, conflict := range conflicts {
			a, b := c.Lookup(conflict.Path), n.Lookup(conflict.Path)
			if a == nil || b == nil || a.IsDir() == b.IsDir() {
				t.Errorf("seed %d: no conflict: %v", seed, conflict)
			}
		}
		if len(conflicts) > 0 {
			continue
		}
		for _, change := range etc.Diff(p, c) {
			now, got := c.Lookup(change.Path), result.Lookup(change.Path)
			switch {
			case change.Kind == etc.Removed && got != nil && got.Type() != tree.TypeFifo:
				t.Errorf("seed %d: %v is back", seed, change)
			case change.Kind != etc.Removed && (got == nil || got.Type() != now.Type() || got.UID != now.UID):
				t.Errorf("seed %d: %v is lost", seed, change)
			}
		}
	}
}

// TestApplyRandom checks that what is written is what was planned.
func TestApplyRandom(t *testing.T) {
	needRoot(t)
	done := 0
	for seed := uint64(0); done < 60; seed++ {
		m := newMaker(seed, true)
		p := m.tree()
		c, n := m.change(p), m.change(p)
		plan, conflicts := etc.Merge(p, c, n)
		if len(conflicts) > 0 {
			continue
		}
		done++
		work := t.TempDir()
		current, next := filepath.Join(work, "c"), filepath.Join(work, "n")
		write(t, current, c, nil)
		write(t, next, n, nil)
		if err := plan.Apply(context.Background(), openDir(t, current), openDir(t, next)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		want, got := listing(t, plan.Result(), nil), listing(t, scan(t, next), nil)
		if got != want {
			t.Fatalf("seed %d (-want +got):\n%s\nplan:\n%v", seed, cmp.Diff(want, got), plan)
		}
	}
}

// TestMergeCovered has an entry that cannot be seen count as unchanged.
func TestMergeCovered(t *testing.T) {
	file := func(text string) *tree.Node {
		return &tree.Node{Mode: tree.TypeRegular | 0o644, Content: []byte(text), Size: uint64(len(text))}
	}
	p, c, n := tree.New(), tree.New(), tree.New()
	p.Root.SetChild("f", file("old"))
	c.Root.SetChild("f", &tree.Node{})
	c.Root.SetChild("mnt", &tree.Node{})
	n.Root.SetChild("f", file("new"))
	plan, conflicts := etc.Merge(p, c, n)
	if !plan.Empty() || len(conflicts) > 0 {
		t.Errorf("plan %q, conflicts %v, want nothing", plan, conflicts)
	}
	if d := etc.Diff(p, c); d != nil {
		t.Errorf("differences %v, want none", d)
	}
}
