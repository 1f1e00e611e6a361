package machine

import (
	"context"
	"errors"

	"github.com/bootc-go/bootc"
)

// Recover ends what a power cut interrupted. The boot entries decide: a staged
// update that they already boot is no longer staged; entries that are staged
// without a record are dropped.
func (m *Machine) Recover() error {
	st, err := m.State.Staged()
	if err != nil {
		return err
	}
	entries, err := m.Loader.Entries()
	if err != nil {
		return err
	}
	if st != nil && (st.ID == first(entries) || m.Booted != nil && st.ID == m.Booted.ID) {
		// The switch had happened.
		if err := m.ClearStaged(); err != nil {
			return err
		}
		st = nil
	}
	if st == nil {
		return m.Loader.DropStaged()
	}
	next, err := m.Loader.StagedEntries()
	if err != nil {
		return err // what cannot be read is not dropped
	}
	if !m.State.Exists(st.ID) || find(next, st.ID) == nil {
		return m.DropStaged()
	}
	return m.Loader.Recover(st.ID)
}

// Clean recovers and then removes every deployment that no boot entry and no
// staged update names: boot files, state, tag. Objects of its image stay until
// they are collected. A power cut in the middle leaves work for the next call.
func (m *Machine) Clean(ctx context.Context) error {
	if err := m.Recover(); err != nil {
		return err
	}
	live, err := m.live()
	if err != nil {
		return err
	}
	if m.Booted != nil && !live[m.Booted.ID] {
		return errors.New("internal error: the booted deployment has no boot entry, nothing is removed")
	}
	if err := m.Loader.Collect(); err != nil {
		return err
	}
	if err := m.State.RemoveLeftovers(); err != nil {
		return err
	}
	ids, err := m.State.IDs()
	if err != nil {
		return err
	}
	tags := map[bootc.Digest]bool{}
	known := true
	for _, id := range ids {
		if !live[id] {
			// The state goes last: it is what is found again after a cut.
			if err := m.Repo.RemoveImage(id); err != nil {
				return err
			}
			if err := m.State.Remove(id); err != nil {
				return err
			}
			continue
		}
		o, err := m.State.Origin(id)
		known = known && err == nil // whose image is not known keeps all tags
		tags[o.Manifest] = true
	}
	if !known {
		return nil
	}
	return m.untag(tags)
}

func (m *Machine) untag(keep map[bootc.Digest]bool) error {
	tags, err := m.Repo.Tags()
	if err != nil {
		return err
	}
	for _, t := range tags {
		if !keep[t] {
			if err := m.Repo.Untag(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// live lists the deployments that a boot entry or the staged update names.
func (m *Machine) live() (map[bootc.ID]bool, error) {
	entries, err := m.Loader.Entries()
	if err != nil {
		return nil, err
	}
	live := map[bootc.ID]bool{}
	for _, e := range entries {
		live[e.ID] = true
	}
	st, err := m.State.Staged()
	if err != nil {
		return nil, err
	}
	if st != nil {
		live[st.ID] = true
	}
	delete(live, "")
	return live, nil
}
