// Package assess judges boots. A deployment that is new on a machine is on trial:
// its boot entry has a few tries. A boot that is found good ends the trial
// ([Good]). A boot that fails leaves evidence ([Fail]) and its try is gone; when
// all are gone, the boot loader goes back to another deployment, and the next
// boot remembers the image as failed ([Begin]). A boot that was only cut off gets
// its try back ([Begin]).
//
// Who calls what, and when, is in packaging/README.md; what is written, and what
// a power cut leaves of it, in docs/formats/state.md.
package assess

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// A Boot is the boot that runs.
type Boot struct {
	ID  string // the kernel's boot_id
	Now time.Time
	// Began is when the kernel started.
	Began time.Time
	// Before returns what kernel and hardware have kept of a boot before this
	// one that began at the given time.
	Before func(since time.Time) []deploy.Failure
}

// OnTrial reports whether the running deployment has not been found good yet.
func OnTrial(m *machine.Machine) (bool, error) {
	entries, err := m.Loader.Entries()
	if err != nil {
		return false, err
	}
	e := entryOf(entries, m.Booted.ID)
	return e != nil && e.Name.Counted, nil
}

// Begin records that the boot has come as far as sysinit.target. It gives tries
// back to a boot that was cut off, and remembers the images that have failed
// while another deployment was booted. What it has decided is returned for
// people. It may be called again.
func Begin(m *machine.Machine, b Boot) (told []string, err error) {
	entries, err := m.Loader.Entries()
	if err != nil {
		return nil, err
	}
	a := &assessment{m: m, b: b, entries: entries}
	if a.trial, err = m.State.Trial(); err != nil {
		return nil, err
	}
	mine := entryOf(entries, m.Booted.ID)
	switch {
	case mine != nil && mine.Name.Counted:
		err = a.noteBoot()
	case a.trial != nil && a.trial.ID == m.Booted.ID: // found good, and then cut off
		err = m.State.ClearTrial()
	}
	return a.told, errors.Join(err, a.judgeOthers(), a.rememberHandedOver())
}

// Good ends the trial of the deployment that runs: the boot is good. The boot
// entry is the commit point. A deployment that is not on trial is good anyway.
func Good(m *machine.Machine) error {
	if err := m.Loader.Bless(m.Booted.ID); err != nil {
		return fmt.Errorf("blessing the boot entry: %w", err)
	}
	t, err := m.State.Trial()
	if err == nil && t != nil && t.ID == m.Booted.ID {
		err = m.State.ClearTrial()
	}
	return errors.Join(err, acceptRepaired(m))
}

// acceptRepaired forgets that the image which runs well has failed before. That
// it was rolled back by hand is not forgotten.
func acceptRepaired(m *machine.Machine) error {
	o, err := m.State.Origin(m.Booted.ID)
	if err != nil {
		return err
	}
	r, err := m.State.Rejected(o.Manifest)
	if err != nil || r == nil || r.Reason != deploy.Failed {
		return err
	}
	return m.State.Accept(o.Manifest)
}

// Fail records evidence that the boot has failed, if its deployment is on trial.
// It reports whether it is: then the machine is to be rebooted. otherwise is
// evidence that counts only if there is none yet.
func Fail(m *machine.Machine, b Boot, failures []deploy.Failure, otherwise func() deploy.Failure, journal string) (bool, error) {
	trial, err := OnTrial(m)
	if err != nil || !trial {
		return false, err
	}
	t, err := currentTrial(m)
	if err != nil {
		return true, err
	}
	r := t.Add(b.ID, b.Now)
	r.Failures = append(r.Failures, failures...)
	if len(r.Failures) == 0 && otherwise != nil {
		r.Failures = append(r.Failures, otherwise())
	}
	if journal != "" {
		r.Journal = journal
	}
	return true, m.State.SetTrial(*t)
}

// currentTrial returns the record of the deployment that runs, a new one if
// there is none.
func currentTrial(m *machine.Machine) (*deploy.Trial, error) {
	t, err := m.State.Trial()
	if err != nil || t != nil && t.ID == m.Booted.ID {
		return t, err
	}
	o, err := m.State.Origin(m.Booted.ID)
	if err != nil {
		return nil, err
	}
	return &deploy.Trial{ID: m.Booted.ID, Manifest: o.Manifest}, nil
}

func entryOf(entries []boot.Entry, id bootc.ID) *boot.Entry {
	for i := range entries {
		if entries[i].ID == id && id != "" {
			return &entries[i]
		}
	}
	return nil
}

// oneLine makes one line of what an error says.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
