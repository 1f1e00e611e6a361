// Package machine is one computer as a set of handles: the physical root, the
// image repository, the boot loader's partition, /run and the live /etc. A
// running computer and a disk that is being installed are the same type.
//
// It joins what its neighbours keep apart: boot entries (package boot) and
// deployment state (package deploy) become deployments in slots.
//
// Invariants:
//   - the boot entries and staged.json decide which deployments exist;
//   - whoever changes something holds the lock.
package machine

import (
	"errors"
	"fmt"
	"os"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/linux/dir"
	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// A Machine is one computer.
type Machine struct {
	Sysroot *os.Root // the physical root, writable
	Repo    *images.Repository
	State   *deploy.State
	// Loader is nil for an ordinary user, and on a medium.
	Loader *boot.SystemdBoot

	// Only a running computer has these.
	Run    *os.Root // /run
	Etc    *dir.Dir // the live /etc
	Booted *Booted  // nil for a disk that does not run
	// Medium: the system runs from a medium that is not written. It cannot be
	// changed, and what is changed in /etc and /var is gone with the next boot.
	Medium bool

	closers []func() error
}

// Booted says what runs, as the kernel tells it.
type Booted struct {
	ID bootc.ID
	// Verity is true when every file is verified on access: read from the
	// mount of the root, not from what was asked for.
	Verity bool
	// Cmdline is the kernel command line.
	Cmdline string
	// Loader is what the boot loader calls itself, "" if it does not say.
	Loader string
}

// Close releases the handles; mounts made by Open disappear.
func (m *Machine) Close() error {
	var errs []error
	for i := len(m.closers) - 1; i >= 0; i-- {
		errs = append(errs, m.closers[i]())
	}
	m.closers = nil
	return errors.Join(errs...)
}

func (m *Machine) onClose(f func() error) { m.closers = append(m.closers, f) }

// A Deployment is one bootable system on the machine.
type Deployment struct {
	Slot   bootc.Slot
	ID     bootc.ID
	Origin deploy.Origin
	// Entry is its boot entry; nil for a staged one whose entries are gone.
	Entry *boot.Entry
	// Staged is set for the staged deployment.
	Staged *deploy.Staged
}

// Deployments lists what is on the machine: staged, booted, rollback, others
// in boot order. A deployment whose origin cannot be read is left out and told
// in the error, which comes together with the other deployments.
func (m *Machine) Deployments() ([]Deployment, error) {
	if m.Loader == nil { // all that is seen is what is booted
		return m.withOrigins([]Deployment{{Slot: bootc.Booted, ID: m.Booted.ID}})
	}
	entries, err := m.Loader.Entries()
	if err != nil {
		return nil, err
	}
	staged, err := m.State.Staged()
	if err != nil {
		return nil, err
	}
	var all []Deployment
	if staged != nil {
		d := Deployment{Slot: bootc.Staged, ID: staged.ID, Staged: staged}
		if next, err := m.Loader.StagedEntries(); err == nil {
			d.Entry = find(next, staged.ID)
		}
		all = append(all, d)
	}
	var rest []Deployment
	seen := map[bootc.ID]bool{}
	for _, e := range entries {
		if e.ID == "" || seen[e.ID] {
			continue
		}
		seen[e.ID] = true
		d := Deployment{Slot: bootc.Other, ID: e.ID, Entry: &e}
		if m.Booted != nil && e.ID == m.Booted.ID {
			d.Slot = bootc.Booted
			all = append(all, d)
			continue
		}
		if staged == nil || e.ID != staged.ID {
			rest = append(rest, d)
		}
	}
	if m.Booted != nil && !seen[m.Booted.ID] {
		all = append(all, Deployment{Slot: bootc.Booted, ID: m.Booted.ID})
	}
	if len(rest) > 0 {
		rest[0].Slot = bootc.Rollback
	}
	return m.withOrigins(append(all, rest...))
}

func (m *Machine) withOrigins(all []Deployment) ([]Deployment, error) {
	var known []Deployment
	var errs []error
	for _, d := range all {
		o, err := m.State.Origin(d.ID)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s deployment %s: %w", d.Slot, d.ID.Short(), err))
			continue
		}
		d.Origin = o
		known = append(known, d)
	}
	return known, errors.Join(errs...)
}

// InSlot returns the first deployment in the slot, nil if there is none.
func InSlot(all []Deployment, slot bootc.Slot) *Deployment {
	for i := range all {
		if all[i].Slot == slot {
			return &all[i]
		}
	}
	return nil
}

// Previous returns the deployment to go back to: the first with a boot entry
// that is not booted, "" if there is none. A staged update may be the same.
func (m *Machine) Previous() (bootc.ID, error) {
	entries, err := m.Loader.Entries()
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if e.ID != "" && e.ID != m.Booted.ID && m.State.Exists(e.ID) {
			return e.ID, nil
		}
	}
	return "", nil
}

// RollbackQueued reports whether the boot entries begin with another deployment
// than the booted one. A staged update is not looked at: it changes the entries
// when it is applied.
func (m *Machine) RollbackQueued() (bool, error) {
	if m.Booted == nil || m.Loader == nil {
		return false, nil
	}
	entries, err := m.Loader.Entries()
	if err != nil {
		return false, err
	}
	if e := find(entries, m.Booted.ID); e != nil && e.Name.Exhausted() {
		entries = boot.InPlaces(entries) // this boot is its last try, and may be good
	}
	next := first(entries)
	return next != "" && next != m.Booted.ID, nil
}

// BootsNext reports whether the deployment is the first that the loader tries.
func (m *Machine) BootsNext(id bootc.ID) (bool, error) {
	entries, err := m.Loader.Entries()
	return err == nil && first(entries) == id, err
}

func find(entries []boot.Entry, id bootc.ID) *boot.Entry {
	for i := range entries {
		if entries[i].ID == id {
			return &entries[i]
		}
	}
	return nil
}

// first returns the deployment that boots next.
func first(entries []boot.Entry) bootc.ID {
	for _, e := range entries {
		if e.ID != "" {
			return e.ID
		}
	}
	return ""
}
