package action_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/gc"
	"github.com/bootc-go/bootc/internal/action/upgrade"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// object reports whether the repository has the object of a content.
func (l *lab) object(content string) bool {
	d := verity.Sum(verity.SHA512, []byte(content))
	_, err := os.Stat(filepath.Join(l.dir, "sysroot/composefs/objects", d.ObjectPath()))
	return err == nil
}

func (l *lab) wantObjects(want map[string]bool) {
	l.Helper()
	for content, there := range want {
		if got := l.object(content); got != there {
			l.Errorf("the object of %.8q…: %v, want %v", content, got, there)
		}
	}
}

// wantWhole reads every file of the deployments' images, and the images from
// which they were made.
func (l *lab) wantWhole(ids ...bootc.ID) {
	l.Helper()
	for _, id := range ids {
		t, err := l.m.Repo.ReadImage(id)
		must(l, err)
		must(l, t.Walk(func(_ string, n *tree.Node) error {
			if !n.IsRegular() {
				return nil
			}
			_, err := l.m.Repo.ReadFile(n)
			return err
		}))
		o, err := l.m.State.Origin(id)
		must(l, err)
		_, err = l.m.Repo.Image(o.Manifest)
		must(l, err)
	}
}

// TestCollect upgrades a machine again and again: the objects of a deployment go
// with the upgrade after the one that dropped it, those of all others stay.
func TestCollect(t *testing.T) {
	l := newLab(t, "v1")
	one := l.m.Booted.ID
	tools := []string{"", imagestest.Big("tool 1", 700), imagestest.Big("tool 2", 700), imagestest.Big("tool 3", 700), imagestest.Big("tool 4", 700)}
	image := func(n int) { v2().with(spec{"usr/bin/tool": tools[n]}).save(l, "v1") }

	image(2)
	two := l.stage(upgrade.Options{}).ID
	l.wantWhole(one, two)
	must(t, l.shutdown())
	l.boot()
	image(3)
	three := l.stage(upgrade.Options{}).ID
	l.wantWhole(one, two, three)

	// Another update takes the place of the staged one.
	image(4)
	four := l.stage(upgrade.Options{}).ID
	l.wantObjects(map[string]bool{tools[1]: true, tools[2]: true, tools[3]: false, tools[4]: true})
	l.wantWhole(one, two, four)
	must(t, l.shutdown())
	l.boot()
	l.wantEntries(four, two)

	// The next upgrade frees what the shutdown has dropped.
	image(3)
	l.stage(upgrade.Options{})
	l.wantObjects(map[string]bool{tools[1]: false, tools[2]: true, tools[3]: true, tools[4]: true})
	l.wantWhole(two, four, l.staged().ID)
	if _, err := l.m.Repo.ReadImage(one); !errors.Is(err, images.ErrNotFound) {
		t.Errorf("the image of a deployment that is gone: %v", err)
	}
}

// TestCollectKeepsLayers lets an upgrade fail: what was pulled stays for the
// next try.
func TestCollectKeepsLayers(t *testing.T) {
	l := newLab(t, "v1")
	src := v2().with(spec{"usr/bin/tool": imagestest.Big("tool 2", 700)}).save(l, "v1")
	broken := errors.New("no systemd")
	o := l.options(upgrade.Options{})
	o.StartUnit = func(context.Context, string) error { return broken }
	p, err := upgrade.New(t.Context(), l.m, o)
	must(t, err)
	defer p.Close()
	if _, err := p.Apply(t.Context(), nil); !errors.Is(err, broken) {
		t.Fatalf("Apply = %v", err)
	}
	if !l.object(imagestest.Big("tool 2", 700)) {
		t.Fatal("a failed upgrade leaves no layers")
	}
	// The blob is gone: only the layer that is here can serve the next try.
	for d := range src.Content {
		must(t, os.Remove(filepath.Join(l.store, "v1/blobs", strings.Replace(string(d), ":", "/", 1))))
	}
	l.wantWhole(l.stage(upgrade.Options{}).ID)
}

// TestGC finds leftovers without touching them, and removes them.
func TestGC(t *testing.T) {
	l := newLab(t, "v1")
	one := l.m.Booted.ID
	plan := func(o gc.Options) *gc.Plan {
		p, err := gc.New(t.Context(), l.m, o)
		must(t, err)
		return p
	}
	v2().save(l, "v1")
	two := l.stage(upgrade.Options{}).ID
	// The streams as they were before the images had been composed.
	p := plan(gc.Options{Prune: true})
	if !p.Leftovers.None() || p.Garbage.Objects == 0 || p.Garbage.Images+p.Garbage.Streams > 0 {
		t.Errorf("with a staged update: %+v, %+v", p.Leftovers, p.Garbage)
	}
	must(t, p.Apply(t.Context()))
	if p := plan(gc.Options{Prune: true}); !p.Nothing() {
		t.Errorf("after a collection: %+v, %+v", p.Leftovers, p.Garbage)
	}
	l.wantWhole(one, two)
	must(t, l.m.DropStaged())
	before := l.snapshot()
	p = plan(gc.Options{Prune: true})
	if len(p.Leftovers.Deployments) != 1 || p.Leftovers.Deployments[0] != two || len(p.Leftovers.Tags) != 1 || len(p.Leftovers.Boot) != 1 || p.Garbage.Objects == 0 {
		t.Errorf("after dropping it: %+v, %+v", p.Leftovers, p.Garbage)
	}
	want := p.Garbage
	l.wantSame(before)

	// Without pruning objects stay.
	p = plan(gc.Options{})
	must(t, p.Apply(t.Context()))
	l.wantObjects(map[string]bool{imagestest.Big("tool 2", 700): true})
	if p = plan(gc.Options{Prune: true}); p.Nothing() || !p.Leftovers.None() {
		t.Errorf("after removing leftovers: %+v, %+v", p.Leftovers, p.Garbage)
	}
	must(t, p.Apply(t.Context()))
	if p.Garbage.Objects != want.Objects || p.Garbage.Bytes != want.Bytes {
		t.Errorf("collected %+v, want %+v", p.Garbage, want)
	}
	l.wantObjects(map[string]bool{imagestest.Big("tool 2", 700): false, imagestest.Big("tool 1", 700): true})
	l.wantWhole(one)
	if p := plan(gc.Options{Prune: true}); !p.Nothing() {
		t.Errorf("in the end: %+v, %+v", p.Leftovers, p.Garbage)
	}
}
