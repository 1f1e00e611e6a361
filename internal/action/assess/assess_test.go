package assess_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/assess"
	"github.com/bootc-go/bootc/internal/format/bls"
	"github.com/bootc-go/bootc/internal/format/osrelease"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

var (
	old    = bootc.ID(strings.Repeat("1", 128))
	update = bootc.ID(strings.Repeat("2", 128))
	begin  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

func manifest(id bootc.ID) bootc.Digest { return bootc.Digest("sha256:" + string(id[:64])) }

// A computer has an old system, an update on trial, and a boot loader.
type computer struct {
	*testing.T
	m     *machine.Machine
	esp   *os.Root
	boots int
	// before is what the hardware says of the boot before.
	before []deploy.Failure
	since  time.Time // when it was asked about last
}

func newComputer(t *testing.T) *computer {
	t.Helper()
	open := func() *os.Root {
		root, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { root.Close() })
		return root
	}
	sysroot, esp := open(), open()
	c := &computer{T: t, esp: esp, m: &machine.Machine{
		Sysroot: sysroot, Run: open(), State: deploy.New(sysroot), Loader: boot.New(esp), Booted: &machine.Booted{ID: old},
	}}
	c.must(c.m.State.Init())
	for _, id := range []bootc.ID{old, update} {
		c.must(sysroot.MkdirAll(deploy.Path(id), 0o755))
		c.must(c.m.State.WriteOrigin(id, deploy.Origin{Ref: bootc.Ref{Transport: bootc.Registry, Name: "x/y:" + string(id[0])}, BootType: deploy.BLS, Manifest: manifest(id)}))
	}
	c.must(c.m.Loader.Install(t.Context(), content("systemd-boot"), []string{"EFI/BOOT/BOOTX64.EFI"}))
	c.must(c.m.Loader.WriteFirst(c.entry(old)))
	c.must(c.m.Loader.StageEntries(boot.OnTrial(c.entry(update)), old))
	c.must(c.m.Loader.SwitchEntries())
	return c
}

func content(text string) boot.File {
	return boot.File{Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }, Size: int64(len(text))}
}

func (c *computer) entry(id bootc.ID) bls.Entry {
	c.Helper()
	a, err := c.m.Loader.WriteKernel(context.Background(), id, content("kernel "+string(id[0])), content("initrd"))
	c.must(err)
	return boot.NewEntry(id, osrelease.Release{ID: "debian", VersionID: string(id[0])}, a, "composefs="+string(id))
}

func (c *computer) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// power switches the machine on as the firmware does: the loader takes a try and
// starts a system, which has to be the given one.
func (c *computer) power(want bootc.ID) {
	c.Helper()
	entries, err := c.m.Loader.Entries()
	c.must(err)
	e := entries[0]
	if n := e.Name; n.Counted {
		n.Left, n.Done = max(0, n.Left-1), n.Done+1
		c.must(c.esp.Rename("loader/entries/"+e.Name.String(), "loader/entries/"+n.String()))
	}
	if e.ID != want {
		c.Fatalf("boot %d is of %s, want %s", c.boots+1, e.ID.Short(), want.Short())
	}
	c.m.Booted = &machine.Booted{ID: e.ID}
	c.boots++
}

func (c *computer) boot() assess.Boot {
	return assess.Boot{
		ID: fmt.Sprint("boot", c.boots), Now: begin.Add(time.Duration(c.boots) * time.Minute),
		Began:  begin.Add(time.Duration(c.boots)*time.Minute - time.Second),
		Before: func(since time.Time) []deploy.Failure { c.since = since; return c.before },
	}
}

// sysinit is a boot that comes as far as sysinit.target.
func (c *computer) sysinit(want bootc.ID) []string {
	c.Helper()
	c.power(want)
	told, err := assess.Begin(c.m, c.boot())
	c.must(err)
	again, err := assess.Begin(c.m, c.boot())
	c.must(err)
	if len(again) > 0 {
		c.Errorf("a second call decides %q", again)
	}
	return told
}

// fail is a boot of the update in which a health check fails.
func (c *computer) fail() {
	c.Helper()
	c.sysinit(update)
	trial, err := assess.Fail(c.m, c.boot(), []deploy.Failure{{Kind: deploy.CheckFailed, Text: "10-web: exit\nstatus 1", Output: "no answer\n"}}, nil, "journal\n")
	if err != nil || !trial {
		c.Fatalf("Fail = %v, %v, want true", trial, err)
	}
}

func (c *computer) name(id bootc.ID) string {
	c.Helper()
	entries, err := c.m.Loader.Entries()
	c.must(err)
	for _, e := range entries {
		if e.ID == id {
			return strings.TrimSuffix(strings.TrimPrefix(e.Name.String(), e.Name.Base), ".conf")
		}
	}
	return "none"
}

func (c *computer) wantCounter(want string) {
	c.Helper()
	if got := c.name(update); got != want {
		c.Fatalf("the counter of the update is %q, want %q", got, want)
	}
}

func (c *computer) rejected(id bootc.ID) *deploy.Rejection {
	c.Helper()
	r, err := c.m.State.Rejected(manifest(id))
	c.must(err)
	return r
}

// TestGood ends a trial with the first boot.
func TestGood(t *testing.T) {
	c := newComputer(t)
	c.sysinit(update)
	c.wantCounter("+2-1")
	for range 2 {
		c.must(assess.Good(c.m))
		c.wantCounter("")
	}
	if tr, err := c.m.State.Trial(); tr != nil || err != nil {
		t.Errorf("Trial() = %v, %v after a good boot", tr, err)
	}
	if trial, err := assess.Fail(c.m, c.boot(), nil, nil, ""); trial || err != nil {
		t.Errorf("Fail = %v, %v after a good boot, want false", trial, err)
	}
	c.sysinit(update)
}

// TestFailingCheck goes back after three boots, and says why.
func TestFailingCheck(t *testing.T) {
	c := newComputer(t)
	for range boot.Tries {
		c.fail()
	}
	c.wantCounter("+0-3")
	c.sysinit(old)
	r := c.rejected(update)
	if r == nil || r.Reason != deploy.Failed || r.Detail != "3 boots came to nothing; the last evidence: 10-web: exit status 1" || r.Image != "docker://x/y:2" && r.Image != "x/y:2" {
		t.Fatalf("remembered: %+v", r)
	}
	if len(r.Boots) != 3 || r.Boots[2].Failures[0].Output != "no answer\n" || r.Boots[0].Journal != "journal\n" {
		t.Errorf("evidence: %+v", r.Boots)
	}
	if c.rejected(old) != nil {
		t.Error("the old system is rejected")
	}
	if tr, err := c.m.State.Trial(); tr != nil || err != nil {
		t.Errorf("Trial() = %v, %v when all is remembered", tr, err)
	}
	for range 3 {
		if told := c.sysinit(old); len(told) > 0 {
			t.Errorf("a later boot decides %q", told)
		}
	}
}

// TestBrokenKernel never comes to userland.
func TestBrokenKernel(t *testing.T) {
	c := newComputer(t)
	for range boot.Tries {
		c.power(update)
	}
	c.sysinit(old)
	r := c.rejected(update)
	if r == nil || !strings.Contains(r.Detail, "none got as far as sysinit.target") || r.Boots != nil {
		t.Errorf("remembered: %+v", r)
	}
}

// TestEarlyTraces never comes to userland, and the firmware knows why.
func TestEarlyTraces(t *testing.T) {
	c := newComputer(t)
	for range boot.Tries {
		c.power(update)
	}
	c.before = []deploy.Failure{{Kind: deploy.Panic, Text: "a record of a panic"}}
	c.sysinit(old)
	r := c.rejected(update)
	if r == nil || !strings.HasSuffix(r.Detail, "root file system; the last evidence: a record of a panic") || len(r.Boots) != 1 || r.Boots[0].ID != "" {
		t.Errorf("remembered: %+v", r)
	}
	if want := c.boot().Began; c.since != want {
		t.Errorf("evidence since %s, want since the boot began, %s", c.since, want)
	}
}

// TestPowerCuts cuts the power after sysinit.target, which costs nothing ten
// times.
func TestPowerCuts(t *testing.T) {
	c := newComputer(t)
	for i := range deploy.MaxRefills + 1 {
		told := c.sysinit(update)
		c.wantCounter("+2-1")
		if (len(told) > 0) != (i > 0) {
			t.Fatalf("boot %d told %q", i, told)
		}
	}
	c.sysinit(update)
	c.wantCounter("+1-2")
	c.sysinit(update)
	c.wantCounter("+0-3")
	c.sysinit(old)
	if r := c.rejected(update); r == nil || r.Detail != "3 boots came to nothing, without evidence of the cause" {
		t.Errorf("remembered: %+v", r)
	}
}

// TestEarlyPowerCuts costs a try each, but the last boot that came to
// sysinit.target gives them back, also when the old system has to do it.
func TestEarlyPowerCuts(t *testing.T) {
	c := newComputer(t)
	c.power(update)
	c.power(update)
	c.sysinit(update)
	c.wantCounter("+0-3")
	if told := c.sysinit(old); len(told) != 1 || !strings.Contains(told[0], "tried again at the next boot") {
		t.Errorf("told %q", told)
	}
	c.wantCounter("+2-1")
	if r := c.rejected(update); r != nil {
		t.Errorf("remembered: %+v", r)
	}
	c.sysinit(update)
	c.must(assess.Good(c.m))
	c.sysinit(update)
}

// TestTraces takes what the hardware has kept for evidence.
func TestTraces(t *testing.T) {
	for _, kind := range []string{deploy.Panic, deploy.Watchdog} {
		c := newComputer(t)
		c.before = []deploy.Failure{{Kind: kind, Text: "it stood still"}}
		for _, want := range []string{"+2-1", "+1-2", "+0-3"} {
			c.sysinit(update)
			c.wantCounter(want)
		}
		c.sysinit(old)
		if r := c.rejected(update); r == nil || len(r.Boots) != 3 || !strings.HasSuffix(r.Detail, "it stood still") {
			t.Errorf("%s: remembered: %+v", kind, r)
		}
	}
}

// TestOtherwise records a boot that was given up without a failed check, and
// adds nothing where there is one.
func TestOtherwise(t *testing.T) {
	c := newComputer(t)
	late := func() deploy.Failure { return deploy.Failure{Kind: deploy.Deadline, Text: "too late"} }
	c.power(update) // it may end before sysinit.target, too
	for range 2 {
		if trial, err := assess.Fail(c.m, c.boot(), nil, late, ""); err != nil || !trial {
			t.Fatalf("Fail = %v, %v", trial, err)
		}
	}
	tr, err := c.m.State.Trial()
	if err != nil || len(tr.Boots) != 1 || len(tr.Boots[0].Failures) != 1 || tr.Boots[0].Failures[0].Kind != deploy.Deadline {
		t.Errorf("Trial() = %+v, %v", tr, err)
	}
	c.sysinit(update)
	c.wantCounter("+1-2")
}

// TestHandedOver remembers what the initramfs could not boot, until a boot of it
// is good.
func TestHandedOver(t *testing.T) {
	c := newComputer(t)
	c.sysinit(update)
	c.must(assess.Good(c.m))
	c.m.Booted = &machine.Booted{ID: old}
	c.must(c.m.Run.Mkdir("bootc", 0o755))
	c.must(c.m.Run.WriteFile(bootc.FailedBootsFile, []byte(`[{"entry":"bootc_debian-2-1.conf","reason":"verifying:\tdigest"}]`), 0o644))
	for range 2 {
		_, err := assess.Begin(c.m, c.boot())
		c.must(err)
	}
	if r := c.rejected(update); r == nil || r.Reason != deploy.Failed || r.Detail != "it could not be booted: verifying: digest" {
		t.Fatalf("remembered: %+v", r)
	}
	c.must(c.m.Run.Remove(bootc.FailedBootsFile))
	c.sysinit(update)
	if c.rejected(update) == nil {
		t.Error("forgotten before the boot is good")
	}
	c.must(assess.Good(c.m))
	if r := c.rejected(update); r != nil {
		t.Errorf("remembered after it was repaired: %+v", r)
	}
	c.must(c.m.State.Reject(deploy.Rejection{Manifest: manifest(update), Reason: deploy.RolledBack}))
	c.must(assess.Good(c.m))
	if c.rejected(update) == nil {
		t.Error("what was rolled back by hand is forgotten")
	}
}

// TestCutAfterSwitch is a power cut between the switch and its record: the update
// is not switched to again after it has failed.
func TestCutAfterSwitch(t *testing.T) {
	c := newComputer(t)
	c.must(c.m.State.SetStaged(deploy.Staged{ID: update, Manifest: manifest(update)}))
	for range boot.Tries {
		c.power(update)
	}
	c.sysinit(old)
	if st, err := c.m.State.Staged(); st != nil || err != nil {
		t.Errorf("Staged() = %+v, %v", st, err)
	}
	// What is staged once more by its owner stays.
	c.must(c.m.State.SetStaged(deploy.Staged{ID: update, Manifest: manifest(update)}))
	c.sysinit(old)
	if st, err := c.m.State.Staged(); st == nil || err != nil {
		t.Errorf("Staged() = %+v, %v", st, err)
	}
}

// TestStaleTrial is a power cut between blessing and its record.
func TestStaleTrial(t *testing.T) {
	c := newComputer(t)
	c.sysinit(update)
	c.must(c.m.Loader.Bless(update))
	c.sysinit(update)
	if tr, err := c.m.State.Trial(); tr != nil || err != nil {
		t.Errorf("Trial() = %+v, %v", tr, err)
	}
}

// TestUnreadable tells what cannot be judged, and judges the rest.
func TestUnreadable(t *testing.T) {
	c := newComputer(t)
	for range boot.Tries {
		c.power(update)
	}
	c.must(c.m.Sysroot.Remove(deploy.Path(update) + "/" + string(update) + ".origin"))
	c.power(old)
	_, err := assess.Begin(c.m, c.boot())
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "judging deployment 222222222222") {
		t.Errorf("Begin = %v", err)
	}
}
