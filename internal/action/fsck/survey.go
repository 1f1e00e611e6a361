package fsck

import (
	"errors"
	"runtime"
	"slices"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/bls"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/bootable"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// A survey is what can be known of a machine, whatever of it is damaged.
type survey struct {
	m   *machine.Machine
	set *boot.Set
	// next are the staged entries.
	next    []boot.Entry
	nextErr error
	// staged is what staged.json says, nil if it says nothing.
	staged *deploy.Staged
	// all are the deployments: those with an entry, in the order of the loader, the
	// booted one if it has none, the staged one, those that nothing names.
	all []*deployment
	// broken are entries of ours that lead to no deployment, or to one that another
	// entry boots.
	broken   []brokenEntry
	findings []Finding
}

// A deployment is what is known of one.
type deployment struct {
	id    bootc.ID
	slot  bootc.Slot
	entry *boot.Entry // of the loader; nil if it has none
	next  *boot.Entry // staged

	origin    deploy.Origin
	originErr error
	record    *deploy.Origin // the second copy of the origin
	recordErr error
	manifest  bootc.Digest // as far as anything tells
	tree      *tree.Tree   // of its image; nil if it cannot be read
	system    *bootable.System
	systemErr error
}

// A brokenEntry is an entry of ours that boots nothing.
type brokenEntry struct {
	name  bls.Name
	entry *boot.Entry // nil if it cannot be read
	why   string
}

// look reads all that is not content.
func look(m *machine.Machine) (*survey, error) {
	s := &survey{m: m}
	var err error
	if s.set, err = m.Loader.Set(); err != nil {
		return nil, err
	}
	s.next, s.nextErr = m.Loader.StagedEntries()
	s.staged, _ = m.State.Staged() // what is wrong with it is checked
	s.fromEntries()
	if b := m.Booted; b != nil && s.find(b.ID) == nil {
		s.add(b.ID, bootc.Booted)
	}
	if s.staged != nil && m.State.Has(s.staged.ID) {
		d := s.find(s.staged.ID)
		if d == nil {
			d = s.add(s.staged.ID, bootc.Staged)
		}
		for i := range s.next {
			if s.next[i].ID == d.id {
				d.next = &s.next[i]
				break
			}
		}
	}
	ids, err := m.State.IDs()
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	for _, id := range ids {
		if s.find(id) == nil {
			s.add(id, loose)
		}
	}
	for _, d := range s.all {
		s.read(d)
	}
	return s, nil
}

func (s *survey) find(id bootc.ID) *deployment {
	for _, d := range s.all {
		if d.id == id {
			return d
		}
	}
	return nil
}

func (s *survey) add(id bootc.ID, slot bootc.Slot) *deployment {
	d := &deployment{id: id, slot: slot}
	s.all = append(s.all, d)
	return d
}

// fromEntries finds the deployments that the loader's entries boot, and the entries
// that boot none. An entry that another one has already been copied over is told by
// its name, which does not fit its place.
func (s *survey) fromEntries() {
	rollback := false
	for _, u := range s.set.Unreadable {
		if (&boot.Entry{Entry: bls.Entry{Name: u.Name}}).Ours() {
			s.broken = append(s.broken, brokenEntry{name: u.Name, why: "it cannot be read: " + u.Err.Error()})
		}
	}
	for i := range s.set.Entries {
		e := &s.set.Entries[i]
		if !e.Ours() {
			continue
		}
		if id := e.UKIOf(); id != "" && s.m.State.Has(id) {
			e.ID = id // what it names is compared with that one's
		}
		d := s.find(e.ID)
		switch {
		case e.ID == "":
			s.broken = append(s.broken, brokenEntry{e.Name, e, "it names no deployment"})
		case d != nil && fits(e) && !fits(d.entry):
			s.broken = append(s.broken, brokenEntry{d.entry.Name, d.entry, "it boots the deployment of another entry"})
			d.entry = e
		case d != nil:
			s.broken = append(s.broken, brokenEntry{e.Name, e, "it boots the deployment of another entry"})
		case !s.m.State.Has(e.ID) && !s.hasImage(e.ID) && (s.m.Booted == nil || e.ID != s.m.Booted.ID):
			s.broken = append(s.broken, brokenEntry{e.Name, e, "its deployment " + e.ID.Short() + " does not exist"})
		default:
			slot := bootc.Other
			if s.m.Booted != nil && e.ID == s.m.Booted.ID {
				slot = bootc.Booted
			} else if !rollback {
				slot, rollback = bootc.Rollback, true
			}
			s.add(e.ID, slot).entry = e
		}
	}
}

// fits reports whether the name of an entry and its sort-key say the same place.
func fits(e *boot.Entry) bool {
	key := e.Get("sort-key")
	return key != "" && boot.FirstByName(e.Name) == (key[len(key)-1] == '0')
}

func (s *survey) hasImage(id bootc.ID) bool {
	all, err := s.m.Repo.Images()
	return err == nil && slices.Contains(all, id)
}

// read finds out what a deployment was made from.
func (s *survey) read(d *deployment) {
	d.origin, d.originErr = s.m.State.Origin(d.id)
	d.record, d.recordErr = s.m.State.Recorded(d.id)
	if d.originErr == nil && d.origin.Manifest == "" {
		d.originErr = errors.New("it names no manifest")
	}
	d.manifest = s.manifestOf(d)
	if d.manifest == "" {
		d.systemErr = errors.New("it is not known which image it was made from")
		return
	}
	// The image that boots has all but unified kernel images, and is faster to read.
	boots, bootsErr := s.m.Repo.ReadImage(d.id)
	if bootsErr == nil {
		d.tree = boots
	}
	if bootsErr == nil && !mayBeSealed(d) {
		d.system, d.systemErr = bootable.Read(boots, s.m.Repo.ReadFile, runtime.GOARCH)
	}
	if d.system != nil {
		return
	}
	img, err := s.m.Repo.Image(d.manifest)
	if err != nil {
		d.systemErr = err
		return
	}
	if d.tree == nil {
		d.tree = img.Tree
	}
	d.system, d.systemErr = bootable.Read(img.Tree, s.m.Repo.ReadFile, runtime.GOARCH)
}

// mayBeSealed reports whether a deployment can have a unified kernel image: something
// says so, or nothing says anything.
func mayBeSealed(d *deployment) bool {
	for _, e := range []*boot.Entry{d.entry, d.next} {
		if e != nil && (first(e, "efi") != "" || first(e, "uki") != "") {
			return true
		}
	}
	return d.originErr != nil && d.record == nil ||
		d.originErr == nil && d.origin.BootType == deploy.UKI || d.record != nil && d.record.BootType == deploy.UKI
}

// manifestOf finds the image of a deployment: what the origin says if that is in the
// repository, the second copy, the staged update, the images that it can be found in.
func (s *survey) manifestOf(d *deployment) bootc.Digest {
	var all []bootc.Digest
	if d.originErr == nil {
		all = append(all, d.origin.Manifest)
	}
	if d.record != nil {
		all = append(all, d.record.Manifest)
	}
	if s.staged != nil && s.staged.ID == d.id {
		all = append(all, s.staged.Manifest)
	}
	for _, m := range all {
		if _, err := s.m.Repo.ManifestStream(m); err == nil {
			return m
		}
	}
	if info, err := s.m.Repo.FindByID(d.id); err == nil {
		return info.Manifest
	}
	if len(all) > 0 {
		return all[0]
	}
	return ""
}

// wanted reports whether the deployment must be able to boot: something names it, or
// an entry that named it is lost.
func (s *survey) wanted(d *deployment) bool { return d.slot != loose || s.lost(d) }

// lost reports whether a deployment without an entry has lost it: it is booted, or
// there is a broken entry, the staged entries have one of it, or there is no other to go
// back to. Else it is a leftover
// of a verb that was interrupted.
func (s *survey) lost(d *deployment) bool {
	if d.entry != nil || d.slot == bootc.Staged {
		return false
	}
	if d.slot == bootc.Booted {
		return true
	}
	if d.originErr != nil && d.record == nil || !s.hasImage(d.id) {
		return false // half removed
	}
	if slices.ContainsFunc(s.next, func(e boot.Entry) bool { return e.ID == d.id }) {
		return true // it had one when the update was staged
	}
	others := 0
	for _, o := range s.all {
		if o.entry != nil && o.slot != bootc.Booted {
			others++
		}
	}
	return len(s.broken) > 0 || others == 0 && s.staged == nil
}

// bootedFirst is all with the booted deployment before the others.
func (s *survey) bootedFirst() []*deployment {
	all := slices.Clone(s.all)
	ahead(all, func(d *deployment) bool { return d.slot == bootc.Booted })
	return all
}

// ahead puts those before the others for which is is true, each kind in its order.
func ahead[T any](all []T, is func(T) bool) {
	slices.SortStableFunc(all, func(a, b T) int {
		switch {
		case is(a) == is(b):
			return 0
		case is(a):
			return -1
		}
		return 1
	})
}
