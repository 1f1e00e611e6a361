package action_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/rollback"
	"github.com/bootc-go/bootc/internal/action/status"
	"github.com/bootc-go/bootc/internal/action/upgrade"
)

func (l *lab) rollback() *rollback.Plan {
	l.Helper()
	p, err := rollback.New(l.m)
	must(l, err)
	must(l, p.Apply(l.Context(), nil))
	return p
}

func (l *lab) wantOutcome(p *upgrade.Plan, want upgrade.Outcome) {
	l.Helper()
	if p.Outcome != want {
		l.Fatalf("outcome = %d, want %d", p.Outcome, want)
	}
}

// TestStory takes a machine through its life.
func TestStory(t *testing.T) {
	l := newLab(t, "v1")
	one := l.m.Booted.ID
	if got, want := l.m.Booted.Cmdline, "rw local=1 composefs=?"+string(one)+" quiet image=1"; got != want {
		t.Errorf("command line = %q, want %q", got, want)
	}
	if data, _ := os.ReadFile(l.dir + "/sysroot/state/os/default/var/lib/data"); string(data) != "first" {
		t.Errorf("/var/lib/data = %q, want that of the image", data)
	}
	if _, err := rollback.New(l.m); !errors.Is(err, rollback.ErrNone) {
		t.Errorf("rollback on a new machine: %v, want ErrNone", err)
	}
	l.wantOutcome(l.plan(upgrade.Options{}), upgrade.NoChange)
	l.wantOutcome(l.plan(l.to("v1")), upgrade.SameReference)

	// The owner changes /etc; then there is an update.
	l.write("kept", "owner")
	l.write("added", "owner")
	must(t, os.Remove(filepath.Join(l.etc(), "removed")))
	image2 := v2().save(l, "v1")
	p := l.plan(upgrade.Options{})
	l.wantOutcome(p, upgrade.Update)
	r, err := p.Apply(t.Context(), nil)
	must(t, err)
	two := r.ID
	if !r.Staged || two == one || r.Manifest != image2.Digest() {
		t.Errorf("result = %+v", r)
	}
	if st := l.staged(); st == nil || st.ID != two || st.Locked {
		t.Errorf("staged.json = %+v, want %s", st, two.Short())
	}
	if len(l.units) != 1 || l.units[0] != "bootc-finalize-staged.service" {
		t.Errorf("units started: %q", l.units)
	}
	l.wantEntries(one)
	next, err := l.m.Loader.StagedEntries()
	must(t, err)
	if len(next) != 2 || next[0].ID != two || next[1].ID != one {
		t.Errorf("staged entries = %+v", next)
	}
	if got, want := next[0].Cmdline, "rw local=1 composefs=?"+string(two)+" quiet image=2"; !sameWords(got, want) {
		t.Errorf("staged command line = %q, want %q", got, want)
	}
	h, err := status.Of(l.m)
	must(t, err)
	if h.Status.Staged == nil || h.Status.Staged.Composefs.Verity != two || h.Status.Booted.Composefs.Verity != one || h.Status.Rollback != nil {
		t.Errorf("status = %+v", h.Status)
	}
	l.wantOutcome(l.plan(upgrade.Options{}), upgrade.AlreadyStaged)

	// Changes until the last moment count.
	l.write("late", "owner")
	must(t, l.shutdown())
	l.boot()
	if l.m.Booted.ID != two {
		t.Fatal("the update was not booted")
	}
	l.wantEntries(two, one)
	l.wantEtc(map[string]string{"kept": "owner", "added": "owner", "late": "owner", "removed": "", "gone": "", "taken": "image 2", "new": "image 2"})
	h, err = status.Of(l.m)
	must(t, err)
	if h.Status.Staged != nil || h.Status.Rollback == nil || h.Status.Rollback.Composefs.Verity != one || h.Status.RollbackQueued {
		t.Errorf("status = %+v", h.Status)
	}
	l.wantOutcome(l.plan(upgrade.Options{}), upgrade.NoChange)

	// Back, forth, back.
	if p := l.rollback(); !p.Back() || p.Next != one {
		t.Errorf("rollback = %+v", p)
	}
	l.wantEntries(one, two)
	if h, err = status.Of(l.m); err != nil || !h.Status.RollbackQueued {
		t.Errorf("status after rollback: %+v, %v", h.Status, err)
	}
	if p := l.rollback(); !p.Revert {
		t.Errorf("second rollback = %+v", p)
	}
	l.wantEntries(two, one)
	l.rollback()
	l.boot()
	if l.m.Booted.ID != one {
		t.Fatal("the rollback was not booted")
	}
	l.wantEtc(map[string]string{"kept": "owner", "taken": "image 1", "new": ""})

	// What was rolled back is not taken again by itself.
	p = l.plan(upgrade.Options{})
	l.wantOutcome(p, upgrade.Rejected)
	if p.Rejection == nil || p.Rejection.Manifest != image2.Digest() {
		t.Errorf("rejection = %+v", p.Rejection)
	}
	r = l.stage(upgrade.Options{Retry: true})
	if r.ID != two {
		t.Errorf("retry staged %s, want %s", r.ID.Short(), two.Short())
	}
	// A rollback drops a staged update, which is what there was to go back to.
	l.rollback()
	if st := l.staged(); st != nil {
		t.Errorf("staged after rollback: %+v", st)
	}
	if next, err := l.m.Loader.StagedEntries(); err != nil || len(next) > 0 {
		t.Errorf("staged entries after rollback: %d, %v", len(next), err)
	}
	l.wantEntries(two, one)
}

// TestRetry takes an image that was rolled back.
func TestRetry(t *testing.T) {
	l := newLab(t, "v1")
	one := l.m.Booted.ID
	image2 := v2().save(l, "v1")
	two := l.stage(upgrade.Options{}).ID
	must(t, l.shutdown())
	l.boot()
	l.rollback()
	l.boot()
	l.write("added", "by one")
	l.stage(upgrade.Options{Retry: true})
	must(t, l.shutdown())
	if r, err := l.m.State.Rejected(image2.Digest()); err != nil || r != nil {
		t.Errorf("rejected after it was taken: %+v, %v", r, err)
	}
	l.boot()
	l.wantEntries(two, one)
	l.wantEtc(map[string]string{"added": "by one", "taken": "image 2"})
}

// TestRollbackDropsStaged is on a machine without an earlier deployment.
func TestRollbackDropsStaged(t *testing.T) {
	l := newLab(t, "v1")
	before := l.snapshot()
	v2().save(l, "v1")
	l.stage(upgrade.Options{})
	p := l.rollback()
	if p.Back() || p.Staged == nil {
		t.Errorf("rollback = %+v", p)
	}
	l.wantSame(before)
}

// TestThree checks that what no entry names goes.
func TestThree(t *testing.T) {
	l := newLab(t, "v1")
	one := l.m.Booted.ID
	v2().save(l, "v1")
	two := l.stage(upgrade.Options{}).ID
	must(t, l.shutdown())
	l.boot()
	v2().with(spec{"usr/bin/tool": "3"}).save(l, "v1")
	three := l.stage(upgrade.Options{}).ID
	// Kernel and initrd are those of two.
	next, err := l.m.Loader.StagedEntries()
	must(t, err)
	if next[0].Get("linux") != next[1].Get("linux") {
		t.Errorf("kernels %s and %s, want one", next[0].Get("linux"), next[1].Get("linux"))
	}
	must(t, l.shutdown())
	l.boot()
	l.wantEntries(three, two)
	if l.m.State.Exists(one) {
		t.Error("the first deployment is still there")
	}
	for name := range l.snapshot() {
		if strings.Contains(name, string(one)) {
			t.Errorf("leftover %s", name)
		}
	}
	if tags, err := l.m.Repo.Tags(); err != nil || len(tags) != 2 {
		t.Errorf("tags = %v, %v; want 2", tags, err)
	}
}

// TestReplaceStaged stages a second update over the first.
func TestReplaceStaged(t *testing.T) {
	l := newLab(t, "v1")
	one := l.m.Booted.ID
	v2().save(l, "v1")
	two := l.stage(upgrade.Options{}).ID
	v2().with(spec{"usr/bin/tool": "3"}).save(l, "v1")
	three := l.stage(upgrade.Options{}).ID
	if st := l.staged(); st == nil || st.ID != three {
		t.Errorf("staged = %+v, want the third", st)
	}
	must(t, l.shutdown())
	l.boot()
	l.wantEntries(three, one)
	if l.m.State.Exists(two) {
		t.Error("the state of the update that was replaced is still there")
	}
	l.wantClean()
}

// TestAdopt switches to another reference with the same content.
func TestAdopt(t *testing.T) {
	l := newLab(t, "v1")
	one := l.m.Booted.ID
	v1().save(l, "other") // another version in the config, so another manifest
	r := l.stage(l.to("other"))
	if r.Staged || r.ID != one {
		t.Errorf("result = %+v, want what is booted", r)
	}
	l.wantEntries(one)
	o, err := l.m.State.Origin(one)
	must(t, err)
	if o.Ref != l.ref("other") || o.Manifest != r.Manifest {
		t.Errorf("origin = %+v", o)
	}
	if tags, err := l.m.Repo.Tags(); err != nil || len(tags) != 1 || tags[0] != r.Manifest {
		t.Errorf("tags = %v, %v; want the new one", tags, err)
	}
	l.wantOutcome(l.plan(upgrade.Options{}), upgrade.NoChange)
	if len(l.units) != 0 {
		t.Errorf("units started: %q", l.units)
	}
}

// TestDownloadOnly stages, is not applied, and is unlocked.
func TestDownloadOnly(t *testing.T) {
	l := newLab(t, "v1")
	one := l.m.Booted.ID
	v2().save(l, "v1")
	two := l.stage(upgrade.Options{DownloadOnly: true}).ID
	must(t, l.shutdown())
	l.boot()
	l.wantEntries(one)
	if st := l.staged(); st == nil || !st.Locked {
		t.Fatalf("staged = %+v, want locked", st)
	}
	if data, _ := os.ReadFile(l.dir + "/run/composefs/staged-deployment"); !strings.Contains(string(data), `"finalization_locked":true`) {
		t.Errorf("mirror = %s", data)
	}
	h, err := status.Of(l.m)
	must(t, err)
	if !h.Status.Staged.DownloadOnly {
		t.Error("status does not say downloadOnly")
	}
	p := l.plan(upgrade.Options{})
	l.wantOutcome(p, upgrade.Unlock)
	_, err = p.Apply(t.Context(), nil)
	must(t, err)
	p = l.plan(upgrade.Options{DownloadOnly: true})
	l.wantOutcome(p, upgrade.Lock)
	_, err = p.Apply(t.Context(), nil)
	must(t, err)
	if !l.staged().Locked {
		t.Error("not locked again")
	}
	must(t, upgrade.SetLocked(l.m, false))
	must(t, l.shutdown())
	l.boot()
	l.wantEntries(two, one)
}

func (l *lab) wantClean() {
	l.Helper()
	before := l.snapshot()
	must(l, l.m.Clean(l.Context()))
	l.wantSame(before)
	live := map[bootc.ID]bool{}
	for _, id := range l.entries() {
		live[id] = true
	}
	ids, err := l.m.State.IDs()
	must(l, err)
	for _, id := range ids {
		if st := l.staged(); !live[id] && (st == nil || st.ID != id) {
			l.Errorf("leftover deployment %s", id.Short())
		}
	}
}

func sameWords(a, b string) bool {
	x, y := map[string]int{}, map[string]int{}
	for _, w := range strings.Fields(a) {
		x[w]++
	}
	for _, w := range strings.Fields(b) {
		y[w]++
	}
	if len(x) != len(y) {
		return false
	}
	for w, n := range x {
		if y[w] != n {
			return false
		}
	}
	return true
}

// TestNotices: what is not as the owner may expect is said.
func TestNotices(t *testing.T) {
	l := newLab(t, "v1")
	notices := func() []string {
		h, err := status.Of(l.m)
		must(t, err)
		return h.Status.Notices
	}
	l.m.Booted.Verity = true
	if got := notices(); got != nil {
		t.Errorf("notices of an ordinary machine: %q", got)
	}
	l.m.Booted.Verity = false
	must(t, os.Mkdir(l.dir+"/run/bootc", 0o755))
	must(t, os.WriteFile(l.dir+"/run/"+bootc.FailedBootsFile, []byte(`[{"entry":"bootc_x-2-1.conf","reason":"deployment 5a: gone"}]`), 0o644))
	want := []string{
		"the boot entry bootc_x-2-1.conf could not be booted, this deployment was booted instead: deployment 5a: gone",
		"nothing is verified: the kernel command line does not require fs-verity",
	}
	if got := notices(); !slices.Equal(got, want) {
		t.Errorf("notices:\n%q, want\n%q", got, want)
	}
}
