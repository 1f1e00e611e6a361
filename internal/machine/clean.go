package machine

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
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

// Leftovers are what no boot entry and no staged update names.
type Leftovers struct {
	Boot        []string // files and directories of ours on the boot partition
	Deployments []bootc.ID
	Tags        []bootc.Digest // of images that no deployment has
}

// None reports whether there are none.
func (l *Leftovers) None() bool {
	return len(l.Boot)+len(l.Deployments)+len(l.Tags) == 0
}

// Leftovers lists what Clean removes, apart from what [Machine.Recover] ends
// first. It only reads.
func (m *Machine) Leftovers() (*Leftovers, error) {
	live, err := m.live()
	if err != nil {
		return nil, err
	}
	if m.Booted != nil && !live[m.Booted.ID] {
		return nil, errors.New("internal error: the booted deployment has no boot entry, nothing is removed")
	}
	l := &Leftovers{}
	if l.Boot, err = m.Loader.Unused(); err != nil {
		return nil, err
	}
	ids, err := m.State.IDs()
	if err != nil {
		return nil, err
	}
	tags := map[bootc.Digest]bool{}
	known := true
	for _, id := range ids {
		if !live[id] {
			l.Deployments = append(l.Deployments, id)
			continue
		}
		o, err := m.State.Origin(id)
		known = known && err == nil // whose image is not known keeps all tags
		tags[o.Manifest] = true
	}
	if !known {
		return l, nil
	}
	all, err := m.Repo.Tags()
	for _, t := range all {
		if !tags[t] {
			l.Tags = append(l.Tags, t)
		}
	}
	return l, err
}

// Clean recovers and then removes every deployment that no boot entry and no
// staged update names: boot files, state, tag. Objects of its image stay until
// they are collected: see [Machine.Collect]. A power cut in the middle leaves
// work for the next call.
func (m *Machine) Clean(_ context.Context) error {
	if err := m.Recover(); err != nil {
		return err
	}
	l, err := m.Leftovers()
	if err != nil {
		return err
	}
	if err := m.Loader.Collect(); err != nil {
		return err
	}
	if err := m.State.RemoveLeftovers(); err != nil {
		return err
	}
	for _, id := range l.Deployments {
		// The state goes last: it is what is found again after a cut.
		if err := m.Repo.RemoveImage(id); err != nil {
			return err
		}
		if err := m.State.Remove(id); err != nil {
			return err
		}
	}
	for _, t := range l.Tags {
		if err := m.Repo.Untag(t); err != nil {
			return err
		}
	}
	return nil
}

// Collect removes from the repository what neither a deployment nor a tag
// needs, nor the layers given by their diff_id. Where the image of a deployment
// cannot be read nothing is removed. The error is [images.ErrInUse] while another
// process has the repository open, unless o.Wait.
func (m *Machine) Collect(ctx context.Context, o images.CollectOptions) (images.Garbage, error) {
	live, err := m.live()
	if err != nil {
		return images.Garbage{}, err
	}
	staged, err := m.Loader.StagedEntries()
	if err != nil {
		return images.Garbage{}, err
	}
	for _, e := range staged {
		live[e.ID] = true
	}
	if m.Booted != nil {
		live[m.Booted.ID] = true
	}
	delete(live, "")
	for _, id := range slices.Sorted(maps.Keys(live)) {
		o.Images = append(o.Images, id)
		if origin, err := m.State.Origin(id); err == nil {
			o.Manifests = append(o.Manifests, origin.Manifest)
		}
	}
	st, err := m.State.Staged()
	if err != nil {
		return images.Garbage{}, err
	}
	if st != nil {
		o.Manifests = append(o.Manifests, st.Manifest)
	}
	return m.Repo.Collect(ctx, o)
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
