package action_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/assess"
	"github.com/bootc-go/bootc/internal/action/rollback"
	"github.com/bootc-go/bootc/internal/action/status"
	"github.com/bootc-go/bootc/internal/action/upgrade"
	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// judging is version 2 with the unit that says that a boot is good.
func judging() spec {
	return v2().with(spec{"usr/lib/systemd/system/bootc-bless-boot.service": "[Unit]\n"})
}

// power boots, takes a try as the loader does, and comes to sysinit.target.
func (l *lab) power(n int) assess.Boot {
	l.Helper()
	l.boot()
	l.takeTry()
	b := assess.Boot{ID: fmt.Sprint(n), Now: time.Date(2026, 1, 2, 3, n, 0, 0, time.UTC)}
	_, err := assess.Begin(l.m, b)
	must(l, err)
	return b
}

// takeTry is what the loader does to the first entry.
func (l *lab) takeTry() {
	l.Helper()
	entries, err := l.m.Loader.Entries()
	must(l, err)
	if name := entries[0].Name; name.Counted {
		name.Left, name.Done = max(0, name.Left-1), name.Done+1
		dir := l.dir + "/esp/loader/entries/"
		must(l, os.Rename(dir+entries[0].Name.String(), dir+name.String()))
	}
}

func (l *lab) names() string {
	l.Helper()
	entries, err := l.m.Loader.Entries()
	must(l, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name.String())
	}
	return strings.Join(all, " ")
}

func (l *lab) wantNames(want string) {
	l.Helper()
	if got := l.names(); got != want {
		l.Fatalf("entries %q, want %q", got, want)
	}
}

// TestTrial updates to an image that fails three times, is not taken again, is
// taken by its owner all the same, and is found good.
func TestTrial(t *testing.T) {
	l := newLab(t, "v1")
	one := l.m.Booted.ID
	l.wantNames("bootc_lab-1-1.conf")
	image := judging().save(l, "v1")
	two := l.stage(upgrade.Options{}).ID
	must(t, l.shutdown())
	l.wantNames("bootc_lab-2-1+3.conf bootc_lab-1-0.conf")
	for n := range boot.Tries {
		b := l.power(n)
		trial, err := assess.Fail(l.m, b, []deploy.Failure{{Kind: deploy.CheckFailed, Text: "no web"}}, nil, "")
		if err != nil || !trial {
			t.Fatalf("Fail = %v, %v", trial, err)
		}
	}
	l.wantNames("bootc_lab-1-0.conf bootc_lab-2-1+0-3.conf")
	l.power(4)
	l.wantEntries(one, two)

	p := l.plan(upgrade.Options{})
	l.wantOutcome(p, upgrade.Rejected)
	if r := p.Rejection; r.Manifest != image.Digest() || r.Reason != deploy.Failed || !strings.Contains(r.Detail, "no web") || len(r.Boots) != 3 {
		t.Errorf("rejection = %+v", r)
	}
	h, err := status.Of(l.m)
	must(t, err)
	if all := h.Status.RejectedImages; len(all) != 1 || all[0].Reason != "failed" || all[0].Boots[2].Failures[0].Text != "no web" {
		t.Errorf("status has %+v", all)
	}
	if tr := h.Status.Rollback.Trial; tr == nil || *tr != (bootc.TrialStatus{TriesDone: 3}) || h.Status.RollbackQueued {
		t.Errorf("status of what failed: %+v, queued %v", tr, h.Status.RollbackQueued)
	}

	l.stage(upgrade.Options{Retry: true})
	must(t, l.shutdown())
	l.wantNames("bootc_lab-2-1+3.conf bootc_lab-1-0.conf")
	l.power(5)
	l.wantNames("bootc_lab-2-1+2-1.conf bootc_lab-1-0.conf")
	must(t, assess.Good(l.m))
	l.wantNames("bootc_lab-2-1.conf bootc_lab-1-0.conf")
	h, err = status.Of(l.m)
	must(t, err)
	if len(h.Status.RejectedImages) != 0 || h.Status.Booted.Trial != nil {
		t.Errorf("status of a good boot: %+v", h.Status)
	}
	l.wantOutcome(l.plan(upgrade.Options{}), upgrade.NoChange)
}

// TestNotJudging updates to an image that cannot say that it is good.
func TestNotJudging(t *testing.T) {
	l := newLab(t, "v1")
	v2().save(l, "v1")
	l.stage(upgrade.Options{})
	must(t, l.shutdown())
	l.wantNames("bootc_lab-2-1.conf bootc_lab-1-0.conf")
}

// TestRollbackInLastTry goes back by hand in a boot that may be the last of its
// deployment: that is no rollback that could be taken back.
func TestRollbackInLastTry(t *testing.T) {
	l := newLab(t, "v1")
	one := l.m.Booted.ID
	image := judging().save(l, "v1")
	l.stage(upgrade.Options{})
	must(t, l.shutdown())
	for n := range 2 {
		l.power(n)
		must(t, l.m.State.ClearTrial()) // or the tries would be given back
	}
	l.power(3)
	l.wantNames("bootc_lab-1-0.conf bootc_lab-2-1+0-3.conf")
	p, err := rollback.New(l.m)
	must(t, err)
	if p.Revert || p.Next != one {
		t.Errorf("rollback = %+v", p)
	}
	must(t, p.Apply(t.Context(), nil))
	must(t, assess.Good(l.m))
	l.power(4)
	if r, err := l.m.State.Rejected(image.Digest()); l.m.Booted.ID != one || err != nil || r == nil || r.Reason != deploy.RolledBack {
		t.Errorf("%s is booted, rejection %+v, %v", l.m.Booted.ID.Short(), r, err)
	}
	// Going there once more forgets that.
	l.rollback()
	if r, err := l.m.State.Rejected(image.Digest()); err != nil || r != nil {
		t.Errorf("rejection of what boots next: %+v, %v", r, err)
	}
}
