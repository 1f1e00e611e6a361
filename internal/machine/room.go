package machine

import (
	"slices"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/bootable"
)

// Room is the plan for the files of a new deployment on the boot partition.
type Room struct {
	boot.Room
	// Staged is true if the staged update has to give way first; the new one
	// replaces it.
	Staged bool
	// Drops are the deployments that have to give way then: their entries go,
	// and their files. The booted one is never among them.
	Drops []bootc.ID
}

// PlanRoom works out whether kernel and initrd of a deployment fit on the boot
// partition, and what has to give way for them: what is staged first, then what
// is not booted, the last in boot order first, and no more than is needed. While
// the booted one is on trial nothing but what is staged gives way. It only reads. The error is a [*boot.RoomError] if that does not suffice.
func (m *Machine) PlanRoom(id bootc.ID, s *bootable.System) (*Room, error) {
	r := &Room{}
	var err error
	if s.UKI != nil {
		r.Room, err = m.Loader.UKIRoom(id, m.file(s.UKI))
	} else {
		r.Room, err = m.Loader.KernelRoom(m.file(s.Kernel), m.file(s.Initrd))
	}
	if err != nil || r.Needed <= r.Free {
		return r, err
	}
	steps, err := m.roomSteps(id, r)
	if err != nil {
		return nil, err
	}
	var other int64
	for _, step := range steps {
		step()
		if other, err = m.Loader.Frees(r.Staged, r.Drops...); err != nil {
			return nil, err
		}
		if r.Needed <= r.Free+other {
			return r, m.spareAll(r)
		}
	}
	return nil, &boot.RoomError{Free: r.Free, Needed: r.Needed, Other: other}
}

// spareAll takes out of the plan what it does without: a deployment whose files
// are also another one's.
func (m *Machine) spareAll(r *Room) error {
	for i := 0; i < len(r.Drops); {
		fewer := slices.Delete(slices.Clone(r.Drops), i, i+1)
		other, err := m.Loader.Frees(r.Staged, fewer...)
		if err != nil {
			return err
		}
		if r.Needed <= r.Free+other {
			r.Drops = fewer
		} else {
			i++
		}
	}
	return nil
}

// roomSteps lists what may give way, one after the other, as changes to the
// plan.
func (m *Machine) roomSteps(id bootc.ID, r *Room) ([]func(), error) {
	st, err := m.State.Staged()
	if err != nil {
		return nil, err
	}
	staged, err := m.Loader.StagedEntries()
	if err != nil {
		return nil, err
	}
	entries, err := m.Loader.Entries()
	if err != nil {
		return nil, err
	}
	shares := func(e boot.Entry) bool { return r.Shares(&e) }
	trial := slices.ContainsFunc(entries, func(e boot.Entry) bool { return e.ID == m.Booted.ID && e.Name.Counted })
	var steps []func()
	if st != nil && st.ID != id && !slices.ContainsFunc(staged, func(e boot.Entry) bool { return e.ID == st.ID && shares(e) }) {
		steps = append(steps, func() { r.Staged = true })
	}
	for _, e := range slices.Backward(entries) {
		if trial || e.ID == "" || e.ID == id || e.ID == m.Booted.ID || shares(e) {
			continue
		}
		steps = append(steps, func() { r.Drops = append(r.Drops, e.ID) })
	}
	return steps, nil
}

// MakeRoom lets deployments give way, as planned. Their entries are gone from the
// disk before their files; a cut leaves what is booted, with all that it needs.
func (m *Machine) MakeRoom(r *Room) error {
	if r.Staged {
		if err := m.DropStaged(); err != nil {
			return err
		}
	}
	if len(r.Drops) == 0 {
		return nil
	}
	return m.Loader.Drop(r.Drops...)
}
