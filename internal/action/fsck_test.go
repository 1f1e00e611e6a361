package action_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/action/fsck"
	"github.com/bootc-go/bootc/internal/action/upgrade"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/verity"
)

func (l *lab) fsck() *fsck.Report {
	l.Helper()
	all, err := fsck.Deployments(l.m)
	must(l, err)
	r, err := fsck.Check(l.Context(), l.m.Repo, all)
	must(l, err)
	return r
}

// TestFsck damages the repository of a machine, names what is damaged and
// repairs it.
func TestFsck(t *testing.T) {
	l := newLab(t, "v1")
	one := l.m.Booted.ID
	v2().save(l, "v2")
	two := l.stage(l.to("v2")).ID
	if r := l.fsck(); !r.OK() {
		t.Fatalf("a sound machine: %v, %v", r.Repo.Problems, r.Damaged)
	}
	repo := filepath.Join(l.dir, "sysroot/composefs")
	tool := filepath.Join(repo, "objects", verity.Sum(verity.SHA512, []byte(imagestest.Big("tool 1", 700))).ObjectPath())
	flip := func(name string) {
		data, err := os.ReadFile(name)
		must(t, err)
		data[len(data)-1] ^= 1
		must(t, os.WriteFile(name, data, 0o644))
	}
	flip(tool)
	flip(filepath.Join(repo, "images", string(two)))
	r := l.fsck()
	if len(r.Damaged) != 2 || r.Damaged[0].ID != two || r.Damaged[1].ID != one || len(r.Repo.Problems) != 2 {
		t.Errorf("problems %v, damaged %v", r.Repo.Problems, r.Damaged)
	}
	r, err := r.Repair(t.Context(), l.m.Repo, l.registry(), nil)
	if err != nil || !r.OK() {
		t.Errorf("after a repair: %v, %v, %v", r.Repo.Problems, r.Damaged, err)
	}
	l.wantWhole(one, two)

	// The reference leads to another image now: what cannot be had is named, the
	// rest is repaired.
	flip(tool)
	flip(filepath.Join(repo, "images", string(two)))
	v2().with(spec{"usr/bin/tool": "3"}).save(l, "v1")
	r, err = l.fsck().Repair(t.Context(), l.m.Repo, l.registry(), nil)
	if err == nil || !strings.Contains(err.Error(), "booted deployment "+one.Short()) || !strings.Contains(err.Error(), "is another image now") {
		t.Errorf("Repair = %v", err)
	}
	if len(r.Damaged) != 1 || r.Damaged[0].ID != one || len(r.Repo.Problems) != 1 {
		t.Errorf("problems %v, damaged %v", r.Repo.Problems, r.Damaged)
	}
	l.wantWhole(two)
}

// TestFsckNoStreams repairs a machine that has lost all of its streams, and
// tags with them.
func TestFsckNoStreams(t *testing.T) {
	l := newLab(t, "v1")
	must(t, os.RemoveAll(filepath.Join(l.dir, "sysroot/composefs/streams")))
	r, err := l.fsck().Repair(t.Context(), l.m.Repo, l.registry(), nil)
	if err != nil || !r.OK() {
		t.Fatalf("after a repair: %v, %v, %v", r.Repo.Problems, r.Damaged, err)
	}
	if tags, err := l.m.Repo.Tags(); err != nil || len(tags) != 1 {
		t.Errorf("tags %v, %v", tags, err)
	}
	l.wantWhole(l.m.Booted.ID)
	v2().save(l, "v1")
	l.wantWhole(l.stage(upgrade.Options{}).ID)
}
