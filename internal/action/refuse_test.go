package action_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/finalize"
	"github.com/bootc-go/bootc/internal/action/rollback"
	"github.com/bootc-go/bootc/internal/action/status"
	"github.com/bootc-go/bootc/internal/action/upgrade"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/machine/boot"
)

// TestRefused checks that an update that cannot be changes nothing, with
// nothing staged and with another update staged.
func TestRefused(t *testing.T) {
	for _, test := range []struct {
		name  string
		image spec
		want  string
		spoil func(l *lab, i *imagestest.Image)
	}{
		{name: "no kernel", image: v1().with(spec{"usr/lib/modules/6.1/vmlinuz": "", "usr/lib/modules/6.1/initramfs.img": ""}), want: "has no kernel"},
		{name: "no initrd", image: v1().with(spec{"usr/lib/modules/6.1/initramfs.img": ""}), want: "initramfs.img"},
		{name: "two kernels", image: v1().with(spec{"usr/lib/modules/6.2/vmlinuz": "2", "usr/lib/modules/6.2/initramfs.img": "2"}), want: "has 2 kernels"},
		{name: "not a kernel", image: v2().with(spec{"usr/lib/modules/6.2/vmlinuz": imagestest.Big("kernel 2", 6000)}), want: "/usr/lib/modules/6.2/vmlinuz, is not a program that the firmware starts: it does not begin with MZ"},
		{name: "a tiny kernel", image: v2().with(spec{"usr/lib/modules/6.2/vmlinuz": "MZ"}), want: "it has 2 bytes"},
		{name: "half a kernel", image: v2().with(spec{"usr/lib/modules/6.2/vmlinuz": imagestest.Kernel("kernel 2", 6000, runtime.GOARCH)[:3000]}), want: "it has 3000 bytes, and its section .text ends at 6000"},
		{name: "composefs= in kargs.d", image: v2().with(spec{"usr/lib/bootc/kargs.d/10.toml": "kargs = [\"composefs=x\"]\n"}), want: "composefs"},
		{name: "broken kargs.d", image: v2().with(spec{"usr/lib/bootc/kargs.d/10.toml": "kargs = 7"}), want: "kargs"},
		{name: "conflict in /etc", image: v2().with(spec{"etc/added/file": "a directory now"}), want: "one conflict in /etc"},
		{name: "bad layer", image: v2(), want: "digest", spoil: func(l *lab, i *imagestest.Image) {
			for d, data := range i.Content {
				p := filepath.Join(l.store, "v1", "blobs", strings.Replace(string(d), ":", "/", 1))
				data[len(data)/2] ^= 0x40
				must(l, os.WriteFile(p, data, 0o644))
			}
		}},
		{name: "layer missing", image: v2(), want: "no such file", spoil: func(l *lab, i *imagestest.Image) {
			for d := range i.Content {
				must(l, os.Remove(filepath.Join(l.store, "v1", "blobs", strings.Replace(string(d), ":", "/", 1))))
			}
		}},
	} {
		for _, staged := range []bool{false, true} {
			name := test.name
			if staged {
				name += ", another staged"
			}
			t.Run(name, func(t *testing.T) {
				l := newLab(t, "v1")
				l.write("added", "owner")
				if staged {
					v2().with(spec{"usr/bin/tool": "3"}).save(l, "v1")
					l.stage(upgrade.Options{})
				}
				before := l.snapshot()
				i := test.image.save(l, "v1")
				if test.spoil != nil {
					test.spoil(l, i)
				}
				_, err := l.plan(upgrade.Options{}).Apply(t.Context(), nil)
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want %q", err, test.want)
				}
				l.wantSame(before)
			})
		}
	}
}

// full is a boot partition with little room.
type full struct {
	boot.Volume
	free int64
}

func (v full) Room() (free, unit int64, err error) { return v.free, 512, nil }

// TestNoRoom fails with what the boot partition says, before writing and in
// each operation that writes.
func TestNoRoom(t *testing.T) {
	l := newLab(t, "v1")
	before := l.snapshot()
	v2().save(l, "v1")
	l.vol.Volume = full{l.vol.Volume, 10000}
	_, err := l.plan(upgrade.Options{}).Apply(t.Context(), nil)
	var room *boot.RoomError
	if !errors.As(err, &room) || room.Free != 10000 {
		t.Errorf("error %v, want a RoomError", err)
	}
	l.wantSame(before)
}

// TestFault makes one operation on the boot partition after the other fail.
func TestFault(t *testing.T) {
	for _, staged := range []bool{false, true} {
		l := newLab(t, "v1")
		if staged {
			v2().with(spec{"usr/bin/tool": "3"}).save(l, "v1")
			l.stage(upgrade.Options{})
		}
		before := l.snapshot()
		v2().save(l, "v1")
		ran := 0
		for fail := 1; ; fail++ {
			n, failed := 0, ""
			l.vol.hook = func(op string) error {
				if n++; n == fail {
					failed = op
					return &fs.PathError{Op: "write", Path: op, Err: unix.ENOSPC}
				}
				return nil
			}
			_, err := l.plan(upgrade.Options{}).Apply(t.Context(), nil)
			l.vol.hook = nil
			if failed == "" {
				must(t, err)
				break
			}
			ran++
			if !errors.Is(err, unix.ENOSPC) {
				t.Errorf("staged before %t, fault in %q: error %v", staged, failed, err)
			}
			if d := cmp.Diff(before, l.snapshot()); d != "" {
				t.Errorf("staged before %t, fault %d in %q: the machine has changed (-before +now):\n%s", staged, fail, failed, d)
			}
			l.wantClean()
		}
		t.Logf("staged before %t: %d faults", staged, ran)
	}
}

// TestCancel ends the context at each step of staging.
func TestCancel(t *testing.T) {
	l := newLab(t, "v1")
	v2().with(spec{"usr/bin/tool": "3"}).save(l, "v1")
	l.stage(upgrade.Options{})
	before := l.snapshot()
	v2().save(l, "v1")
	left := map[bootc.ID]string{}
	for step := uint64(0); ; step++ {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		at := ""
		r, err := l.plan(upgrade.Options{}).Apply(ctx, func(e bootc.Event) {
			if s, ok := e.(bootc.Steps); ok && s.Steps == step && !s.Done {
				at = s.Description
				cancel()
			}
		})
		if at == "" {
			must(t, err)
			if at := left[r.ID]; at != "" {
				t.Errorf("cancelled before %q: the image is still there", at)
			}
			break
		}
		composed, err2 := l.m.Repo.Images()
		must(t, err2)
		for _, id := range composed {
			left[id] = at
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", at, err)
		}
		if d := cmp.Diff(before, l.snapshot()); d != "" {
			t.Fatalf("cancelled before %q: the machine has changed (-before +now):\n%s", at, d)
		}
	}
}

// TestCancelSameContent ends the context while the deployment to go back to is
// staged under another reference: it keeps its own.
func TestCancelSameContent(t *testing.T) {
	l := newLab(t, "v1")
	v2().save(l, "v1")
	l.stage(upgrade.Options{})
	must(t, l.shutdown())
	l.boot()
	l.rollback()
	l.boot()
	before := l.snapshot()
	v2().save(l, "other")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := l.plan(l.to("other")).Apply(ctx, func(e bootc.Event) {
		if s, ok := e.(bootc.Steps); ok && s.Description == "recording the staged update" {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	l.wantSame(before)
}

// TestQueued stages the deployment that a queued rollback boots next.
func TestQueued(t *testing.T) {
	l := newLab(t, "v1")
	one := l.m.Booted.ID
	v2().save(l, "v1")
	two := l.stage(upgrade.Options{}).ID
	must(t, l.shutdown())
	l.boot()
	l.write("added", "by two")
	l.rollback()
	l.wantEntries(one, two)
	v1().save(l, "other")
	before := l.snapshot()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := l.plan(l.to("other")).Apply(ctx, func(e bootc.Event) {
		if s, ok := e.(bootc.Steps); ok && s.Description == "recording the staged update" {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	l.wantSame(before)
	r := l.stage(l.to("other"))
	if r.ID != one {
		t.Fatalf("staged %s, want the first", r.ID.Short())
	}
	must(t, l.m.Clean(t.Context())) // as any verb does
	if st := l.staged(); st == nil || st.ID != one {
		t.Errorf("staged = %+v, want the first", st)
	}
	must(t, l.shutdown())
	l.boot()
	l.wantEntries(one, two)
	l.wantEtc(map[string]string{"added": "by two"})
}

// TestFaultFinalize makes one operation on the boot partition after the other
// fail at shutdown. What is left is applied by the next shutdown.
func TestFaultFinalize(t *testing.T) {
	base := newLab(t, "v1")
	one := base.m.Booted.ID
	base.write("kept", "owner")
	v2().save(base, "v1")
	two := base.stage(upgrade.Options{}).ID
	for fail := 1; ; fail++ {
		l := base.copy()
		l.boot()
		n, failed := 0, ""
		l.vol.hook = func(op string) error {
			if n++; n == fail {
				failed = op
				return &fs.PathError{Op: "write", Path: op, Err: unix.EIO}
			}
			return nil
		}
		err := l.shutdown()
		l.vol.hook = nil
		if failed == "" {
			must(t, err)
			l.shut()
			t.Logf("%d faults", fail-1)
			return
		}
		if !errors.Is(err, unix.EIO) {
			t.Errorf("fault %d in %q: error %v", fail, failed, err)
		}
		if st := l.staged(); l.entries()[0] == one && (st == nil || st.ID != two) {
			t.Errorf("fault %d in %q: staged = %+v", fail, failed, st)
		}
		must(t, l.shutdown())
		l.boot()
		l.afterUpdate(one, two)
		l.shut()
	}
}

// TestFaultRollback makes one operation on the boot partition after the other
// fail: the image is rejected only if it is rolled back from.
func TestFaultRollback(t *testing.T) {
	base := newLab(t, "v1")
	one := base.m.Booted.ID
	i := v2().save(base, "v1")
	two := base.stage(upgrade.Options{}).ID
	must(t, base.shutdown())
	for fail := 1; ; fail++ {
		l := base.copy()
		l.boot()
		n, failed := 0, ""
		l.vol.hook = func(op string) error {
			if n++; n == fail {
				failed = op
				return &fs.PathError{Op: "write", Path: op, Err: unix.EIO}
			}
			return nil
		}
		p, err := rollback.New(l.m)
		must(t, err)
		err = p.Apply(t.Context(), nil)
		l.vol.hook = nil
		if failed == "" {
			must(t, err)
			l.wantEntries(one, two)
			l.shut()
			t.Logf("%d faults", fail-1)
			return
		}
		if !errors.Is(err, unix.EIO) {
			t.Errorf("fault %d in %q: error %v", fail, failed, err)
		}
		r, err := l.m.State.Rejected(i.Digest())
		must(t, err)
		if back := l.entries()[0] == one; r != nil && !back {
			t.Errorf("fault %d in %q: rolled back %t, rejection %+v", fail, failed, back, r)
		}
		l.shut()
	}
}

// TestUnit fails when the service that finalizes cannot be started.
func TestUnit(t *testing.T) {
	l := newLab(t, "v1")
	v2().save(l, "v1")
	before := l.snapshot()
	o := upgrade.Options{StartUnit: func(context.Context, string) error { return errors.New("masked") }}
	if _, err := l.plan(o).Apply(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "masked") {
		t.Errorf("error %v, want masked", err)
	}
	l.wantSame(before)
}

// TestLateConflict is a conflict that appears after staging.
func TestLateConflict(t *testing.T) {
	l := newLab(t, "v1")
	one := l.m.Booted.ID
	v2().with(spec{"etc/added/file": "a directory now"}).save(l, "v1")
	two := l.stage(upgrade.Options{}).ID
	l.write("added", "owner")
	before := l.snapshot()
	if err := l.shutdown(); err == nil || !strings.Contains(err.Error(), "conflicts in /etc") {
		t.Errorf("error %v, want a conflict", err)
	}
	st := l.staged()
	if st == nil || st.ID != two || len(st.Conflicts) != 1 || !strings.Contains(st.Conflicts[0], "added") {
		t.Errorf("staged = %+v, want one conflict", st)
	}
	const record = "sysroot/state/bootc/staged.json"
	after := l.snapshot()
	if before[record] == after[record] {
		t.Error("staged.json is as before")
	}
	after[record] = before[record]
	if d := cmp.Diff(before, after); d != "" {
		t.Errorf("the machine has changed (-before +now):\n%s", d)
	}
	l.boot()
	l.wantEntries(one)
	h, err := status.Of(l.m)
	must(t, err)
	if len(h.Status.Staged.EtcConflicts) != 1 {
		t.Errorf("status = %+v", h.Status.Staged)
	}
	// The owner gives way.
	must(t, os.Remove(filepath.Join(l.etc(), "added")))
	must(t, l.shutdown())
	l.boot()
	l.wantEntries(two, one)
	l.wantEtc(map[string]string{"added/file": "a directory now"})
}

// TestKernelGone refuses the switch when the staged kernel is not there.
func TestKernelGone(t *testing.T) {
	l := newLab(t, "v1")
	one := l.m.Booted.ID
	v2().save(l, "v1")
	l.stage(upgrade.Options{})
	next, err := l.m.Loader.StagedEntries()
	must(t, err)
	must(t, os.Remove(l.dir+"/esp"+next[0].Get("linux")))
	p, err := finalize.New(l.m)
	must(t, err)
	if err := p.Apply(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "not on the ESP") {
		t.Errorf("error %v", err)
	}
	l.wantEntries(one)
}
