package action_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/finalize"
	"github.com/bootc-go/bootc/internal/action/rollback"
	"github.com/bootc-go/bootc/internal/action/upgrade"
)

// A cut is the machine as it was when the power went.
type cut struct {
	*lab
	at string
}

// cuts runs something and copies the machine before each of its steps and each
// operation on the boot partition, and at the end.
func (l *lab) cuts(run func(bootc.Progress) error) []cut {
	l.Helper()
	var all []cut
	at := func(what string) { all = append(all, cut{l.copy(), what}) }
	l.vol.hook = func(op string) error { at(op); return nil }
	err := run(func(e bootc.Event) {
		if s, ok := e.(bootc.Steps); ok {
			at(s.Task + ": " + s.Description)
		}
	})
	l.vol.hook = nil
	must(l, err)
	at("the end")
	l.Logf("%d cuts", len(all))
	return all
}

// afterUpdate checks a machine on which the staged update has been applied.
func (l *lab) afterUpdate(one, two bootc.ID) {
	l.Helper()
	if l.m.Booted.ID != two {
		l.Fatal("the update was not booted")
	}
	l.wantEntries(two, one)
	l.wantEtc(map[string]string{"kept": "owner", "taken": "image 2", "gone": "", "new": "image 2"})
	must(l, l.m.Clean(l.Context()))
	if l.staged() != nil {
		l.Error("an update is staged")
	}
	l.wantClean()
}

// TestCutStaging cuts the power while an update is staged: afterwards it is
// staged, or the machine is as it was.
func TestCutStaging(t *testing.T) {
	l := newLab(t, "v1")
	one := l.m.Booted.ID
	l.write("kept", "owner")
	before := l.snapshot()
	v2().save(l, "v1")
	var two bootc.ID
	all := l.cuts(func(p bootc.Progress) error {
		r, err := l.plan(upgrade.Options{}).Apply(t.Context(), p)
		if err == nil {
			two = r.ID
		}
		return err
	})
	whole := 0
	for _, c := range all {
		t.Run(c.at, func(t *testing.T) {
			c.T = t
			c.boot()
			defer c.shut()
			c.wantEntries(one)
			if st := c.staged(); st == nil {
				must(t, c.m.Clean(t.Context()))
				if d := cmp.Diff(before, c.snapshot()); d != "" {
					t.Errorf("the machine has changed (-before +now):\n%s", d)
				}
				c.stage(upgrade.Options{})
			} else {
				whole++
			}
			must(t, c.shutdown())
			c.boot()
			c.afterUpdate(one, two)
		})
	}
	if whole == 0 || whole == len(all) {
		t.Errorf("%d of %d cuts leave a staged update", whole, len(all))
	}
}

// TestCutReplacing cuts the power while a staged update is replaced: one of
// both is staged, or none.
func TestCutReplacing(t *testing.T) {
	l := newLab(t, "v1")
	one := l.m.Booted.ID
	l.write("kept", "owner")
	v2().with(spec{"usr/bin/tool": "3"}).save(l, "v1")
	first := l.stage(upgrade.Options{}).ID
	v2().save(l, "v1")
	var two bootc.ID
	all := l.cuts(func(p bootc.Progress) error {
		r, err := l.plan(upgrade.Options{}).Apply(t.Context(), p)
		if err == nil {
			two = r.ID
		}
		return err
	})
	for _, c := range all {
		t.Run(c.at, func(t *testing.T) {
			c.T = t
			c.boot()
			defer c.shut()
			c.wantEntries(one)
			must(t, c.m.Clean(t.Context()))
			c.wantClean()
			if st := c.staged(); st == nil || st.ID == first {
				c.stage(upgrade.Options{})
			} else if st.ID != two {
				t.Fatalf("staged = %+v", st)
			}
			must(t, c.shutdown())
			c.boot()
			c.afterUpdate(one, two)
		})
	}
}

// TestCutFinalize cuts the power at shutdown: the old system boots with the
// update still staged, or the new one boots with the merged /etc.
func TestCutFinalize(t *testing.T) {
	l := newLab(t, "v1")
	one := l.m.Booted.ID
	l.write("kept", "owner")
	v2().save(l, "v1")
	two := l.stage(upgrade.Options{}).ID
	all := l.cuts(func(progress bootc.Progress) error {
		p, err := finalize.New(l.m)
		must(t, err)
		return p.Apply(t.Context(), progress)
	})
	switched := 0
	for _, c := range all {
		t.Run(c.at, func(t *testing.T) {
			c.T = t
			c.boot()
			defer c.shut()
			if c.m.Booted.ID == one {
				c.wantEntries(one)
				if st := c.staged(); st == nil || st.ID != two {
					t.Fatalf("staged = %+v, want the update", st)
				}
				must(t, c.shutdown())
				c.boot()
			} else {
				switched++
				if st := c.staged(); st != nil {
					t.Errorf("staged = %+v after the switch", st)
				}
			}
			c.afterUpdate(one, two)
		})
	}
	if switched == 0 || switched == len(all) {
		t.Errorf("%d of %d cuts are after the switch", switched, len(all))
	}
}

// TestCutRollback cuts the power while a rollback is asked for that drops a
// staged update.
func TestCutRollback(t *testing.T) {
	l := newLab(t, "v1")
	one := l.m.Booted.ID
	v2().save(l, "v1")
	two := l.stage(upgrade.Options{}).ID
	must(t, l.shutdown())
	l.boot()
	v2().with(spec{"usr/bin/tool": "3"}).save(l, "v1")
	three := l.stage(upgrade.Options{}).ID
	all := l.cuts(func(progress bootc.Progress) error {
		p, err := rollback.New(l.m)
		must(t, err)
		return p.Apply(t.Context(), progress)
	})
	for _, c := range all {
		t.Run(c.at, func(t *testing.T) {
			c.T = t
			c.boot()
			defer c.shut()
			must(t, c.m.Clean(t.Context()))
			c.wantClean()
			got := c.entries()
			if !slices.Equal(got, []bootc.ID{two, one}) && !slices.Equal(got, []bootc.ID{one, two}) {
				t.Errorf("entries = %v", got)
			}
			if c.m.State.Exists(three) && c.staged() == nil {
				t.Error("the staged update was dropped, but not its state")
			}
		})
	}
}
