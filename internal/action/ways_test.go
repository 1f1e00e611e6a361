package action_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/upgrade"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/erofs"
	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// recompose makes the booted deployment one that was composed by the rule of
// bootc 1.16: all that names it names the other ID.
func (l *lab) recompose() bootc.ID {
	l.Helper()
	one := l.m.Booted.ID
	booted, err := l.m.Repo.FindByID(one)
	must(l, err)
	img, err := l.m.Repo.Image(booted.Manifest)
	must(l, err)
	must(l, layer.Options{KeepNanoseconds: true}.Boot(img.Tree, l.m.Repo.ReadFile))
	h := verity.New(verity.SHA512)
	must(l, erofs.Write(h, img.Tree, erofs.Options{}))
	other := bootc.ID(h.Sum().String())

	img, err = l.m.Repo.Image(booted.Manifest)
	must(l, err)
	got, err := l.m.Repo.ComposeAs(l.Context(), img, other)
	must(l, err)
	if got != other || other == one {
		l.Fatalf("composed %s, want %s and not %s", got, other, one)
	}
	must(l, l.m.Repo.RemoveImage(one))
	l.shut()
	var paths []string
	must(l, filepath.WalkDir(l.dir, func(path string, d fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	}))
	for i := len(paths) - 1; i >= 0; i-- { // what is in a directory before it
		path := paths[i]
		rename(l, path, string(one), string(other))
	}
	l.boot()
	if l.m.Booted.ID != other {
		l.Fatalf("booted %s, want %s", l.m.Booted.ID, other)
	}
	return other
}

// rename replaces a text in the name and the content of a file.
func rename(l *lab, path, from, to string) {
	l.Helper()
	if strings.Contains(path, "/composefs/") {
		return
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
		data, err := os.ReadFile(path)
		must(l, err)
		must(l, os.WriteFile(path, bytes.ReplaceAll(data, []byte(from), []byte(to)), info.Mode().Perm()))
	}
	if dir, name := filepath.Split(path); strings.Contains(name, from) {
		must(l, os.Rename(path, dir+strings.ReplaceAll(name, from, to)))
	}
}

// withFraction saves an image in which the time of /boot has a fraction.
func (s spec) withFraction(l *lab, tag, version string) *imagestest.Image {
	l.Helper()
	entries := s.entries()
	for i := range entries {
		if entries[i].Name == "boot/" {
			entries[i].Fraction = 500 * time.Millisecond
		}
	}
	return saveEntries(l, tag, version, entries)
}

// TestSameDeployment checks that a machine whose deployment was composed by an
// earlier rule does not stage again what it runs.
func TestSameDeployment(t *testing.T) {
	var first *imagestest.Image
	l := newLabOf(t, "v1", func(l *lab) { first = v1().withFraction(l, "v1", "1") })
	other := l.recompose()
	entries := l.entries()
	l.wantOutcome(l.plan(upgrade.Options{}), upgrade.NoChange)

	// The same manifest by another name.
	v1().withFraction(l, "v2", "1")
	p := l.plan(l.to("v2"))
	l.wantOutcome(p, upgrade.Update)
	r, err := p.Apply(t.Context(), nil)
	must(t, err)
	l.wantAdopted(r, other, l.ref("v2"), first.Digest())

	// Another manifest that becomes the same tree.
	second := v1().withFraction(l, "v2", "2")
	if second.Digest() == first.Digest() {
		t.Fatal("the second image has the digest of the first")
	}
	l.wantAdopted(l.stage(upgrade.Options{}), other, l.ref("v2"), second.Digest())
	l.wantOutcome(l.plan(upgrade.Options{}), upgrade.NoChange)
	l.wantEntries(entries...)

	// A new image.
	v2().withFraction(l, "v2", "3")
	if r := l.stage(upgrade.Options{}); !r.Staged || r.ID == other {
		t.Errorf("result = %+v, want another deployment staged", r)
	}
}

// wantAdopted checks that nothing was staged and the booted deployment follows
// the reference.
func (l *lab) wantAdopted(r *upgrade.Result, id bootc.ID, ref bootc.Ref, manifest bootc.Digest) {
	l.Helper()
	if r.Staged || r.ID != id || l.staged() != nil {
		l.Errorf("result = %+v, staged %+v; want nothing staged and %s", r, l.staged(), id.Short())
	}
	o, err := l.m.State.Origin(id)
	must(l, err)
	if o.Ref != ref || o.Manifest != manifest {
		l.Errorf("origin = %+v, want %s, %s", o, ref, manifest)
	}
}
