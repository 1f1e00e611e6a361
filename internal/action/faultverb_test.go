package action_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/assess"
	"github.com/bootc-go/bootc/internal/action/finalize"
	"github.com/bootc-go/bootc/internal/action/gc"
	"github.com/bootc-go/bootc/internal/action/install"
	"github.com/bootc-go/bootc/internal/action/rollback"
	"github.com/bootc-go/bootc/internal/action/upgrade"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// A verb is what is done to a machine while faults are planted in it.
type verb struct {
	name string
	// prepare makes the machine of an installed one and names its deployments.
	prepare func(*lab)
	run     func(context.Context, *lab, bootc.Progress) error
	// installs: there is no machine before.
	installs bool
	// costs is what the machine may come to as well after a fault.
	costs string
}

func verbs() []verb {
	stage := func(o func(*lab) upgrade.Options) func(context.Context, *lab, bootc.Progress) error {
		return func(ctx context.Context, l *lab, progress bootc.Progress) error {
			p, err := upgrade.New(ctx, l.m, l.options(o(l)))
			if err != nil {
				return err
			}
			defer p.Close()
			_, err = p.Apply(ctx, progress)
			return err
		}
	}
	newest := func(*lab) upgrade.Options { return upgrade.Options{StartUnit: quiet} }
	return []verb{
		{name: "install", installs: true, run: installAgain},
		{name: "upgrade", prepare: update, run: stage(newest)},
		{name: "upgrade over a staged one", prepare: replace, run: stage(newest)},
		{name: "switch to the same content", prepare: func(l *lab) { v1().save(l, "other") }, run: stage(func(l *lab) upgrade.Options {
			o := l.to("other")
			o.StartUnit = quiet
			return o
		})},
		{name: "finalize", prepare: staged, run: func(ctx context.Context, l *lab, progress bootc.Progress) error {
			p, err := finalize.New(l.m)
			if err != nil {
				return err
			}
			return p.Apply(ctx, progress)
		}},
		{name: "rollback", prepare: queued, run: func(ctx context.Context, l *lab, progress bootc.Progress) error {
			p, err := rollback.New(l.m)
			if err != nil || p.Revert && p.Staged == nil {
				return err
			}
			return p.Apply(ctx, progress)
		}},
		{name: "gc", prepare: garbage, run: func(ctx context.Context, l *lab, progress bootc.Progress) error {
			p, err := gc.New(ctx, l.m, gc.Options{Prune: true})
			if err != nil {
				return err
			}
			return p.Apply(ctx)
		}},
		{name: "judge the boots before", prepare: func(l *lab) {
			onTrial(l)
			l.takeTry()
		}, run: func(_ context.Context, l *lab, _ bootc.Progress) error {
			_, err := assess.Begin(l.m, assess.Boot{ID: "2", Now: time.Date(2026, 1, 2, 4, 0, 0, 0, time.UTC), Before: func(time.Time) []deploy.Failure { return nil }})
			return err
		}, costs: "two (1 tries left), one"}, // it was recorded, and is not given twice
		{name: "bless", prepare: onTrial, run: func(_ context.Context, l *lab, _ bootc.Progress) error {
			return assess.Good(l.m)
		}},
	}
}

func verbNamed(name string) *verb {
	for _, v := range verbs() {
		if v.name == name {
			return &v
		}
	}
	return nil
}

// newFaultLab is the machine on which the verb is run.
func newFaultLab(t *testing.T, v *verb) *lab {
	t.Helper()
	l := newLab(t, "v1")
	l.call("one", l.m.Booted.ID)
	l.write("kept", "owner")
	if v.installs {
		l.shut()
		l.m = nil
		must(t, emptied(l.dir))
		return l
	}
	v.prepare(l)
	return l
}

// call gives a deployment a name that the tables use.
func (l *lab) call(name string, id bootc.ID) {
	if l.known == nil {
		l.known = map[bootc.ID]string{}
	}
	l.known[id] = name
}

func update(l *lab) { v2().save(l, "v1") }

func staged(l *lab) {
	update(l)
	l.call("two", l.stage(upgrade.Options{}).ID)
}

func replace(l *lab) {
	staged(l)
	v2().with(spec{"usr/bin/tool": "3", "usr/lib/modules/6.2/vmlinuz": imagestest.Kernel("kernel 3", 6000, runtime.GOARCH)}).save(l, "v1")
}

// queued is a machine that has a deployment to go back to, and an update staged.
func queued(l *lab) {
	staged(l)
	must(l, l.shutdown())
	l.boot()
	v2().with(spec{"usr/bin/tool": "3"}).save(l, "v1")
	l.call("three", l.stage(upgrade.Options{}).ID)
}

// garbage is a machine with a deployment that was dropped.
func garbage(l *lab) {
	staged(l)
	must(l, l.m.DropStaged())
}

// onTrial is a machine in the first boot of an update.
func onTrial(l *lab) {
	judging().save(l, "v1")
	l.call("two", l.stage(upgrade.Options{}).ID)
	must(l, l.shutdown())
	l.power(1)
}

// emptied makes the file systems of a machine anew.
func emptied(dir string) error {
	for _, name := range []string{"sysroot", "esp"} {
		name = filepath.Join(dir, name)
		entries, err := os.ReadDir(name)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := os.RemoveAll(filepath.Join(name, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// installAgain installs, on file systems that are made for it.
func installAgain(ctx context.Context, l *lab, progress bootc.Progress) (err error) {
	if err := emptied(l.dir); err != nil {
		return err
	}
	p, err := install.New(ctx, install.Options{Source: l.ref("v1"), AllowMissingVerity: true, Registry: l.registry()})
	if err != nil {
		return err
	}
	defer p.Close()
	m, err := machine.CreateOn(l.root("sysroot"), l.root("esp"), true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	_, err = p.Fill(ctx, m, progress)
	return err
}

// state says what the machine is: what boots, in order, and what is staged.
func (l *lab) state(v *verb) string {
	l.Helper()
	if v.installs && !l.installed() {
		return "nothing to boot"
	}
	if l.m == nil || v.installs {
		l.boot()
	}
	entries, err := l.m.Loader.Entries()
	must(l, err)
	var names []string
	for _, e := range entries {
		name := l.named(e.ID)
		if e.Name.Counted {
			name += fmt.Sprintf(" (%d tries left)", e.Name.Left)
		}
		names = append(names, name)
	}
	text := strings.Join(names, ", ")
	if st := l.staged(); st != nil {
		text += "; " + l.named(st.ID) + " staged"
	}
	o, err := l.m.State.Origin(l.m.Booted.ID)
	must(l, err)
	if name := strings.TrimSuffix(filepath.Base(o.Ref.Name), ":latest"); name != "v1" {
		text += "; follows " + name
	}
	return text
}

func (l *lab) named(id bootc.ID) string {
	if name, ok := l.known[id]; ok {
		return name
	}
	return "new"
}

// whole fails unless all deployments are complete and /etc is the owner's.
func (l *lab) whole(v *verb) {
	l.Helper()
	if l.m == nil {
		return
	}
	ids := l.entries()
	if st := l.staged(); st != nil {
		ids = append(ids, st.ID)
	}
	l.wantWhole(ids...)
	for _, id := range ids {
		if !l.m.State.Exists(id) {
			l.Errorf("deployment %s has no state", l.named(id))
		}
	}
	if !v.installs {
		l.wantEtc(map[string]string{"kept": "owner"})
	}
	must(l, l.m.Clean(l.Context()))
	l.wantClean()
}
