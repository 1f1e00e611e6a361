package machine

import (
	"context"
	"errors"
	"fmt"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/machine/deploy"
	"github.com/bootc-go/bootc/internal/machine/etc"
)

// MarkStaged records the staged update and mirrors it to /run. The record is
// on disk on return.
func (m *Machine) MarkStaged(st deploy.Staged) error {
	if err := m.State.SetStaged(st); err != nil {
		return err
	}
	if m.Run != nil {
		// Only upstream's tools read it, and the next boot makes it again.
		_ = deploy.Mirror(m.Run, &st)
	}
	return nil
}

// ClearStaged forgets the staged update; its boot entries stay.
func (m *Machine) ClearStaged() error {
	if err := m.State.ClearStaged(); err != nil {
		return err
	}
	if m.Run == nil {
		return nil
	}
	return deploy.Mirror(m.Run, nil)
}

// DropStaged forgets the staged update and removes its boot entries. The
// record goes first: from then on the entries are a leftover.
func (m *Machine) DropStaged() error {
	if err := m.ClearStaged(); err != nil {
		return err
	}
	return m.Loader.DropStaged()
}

// StageAgain puts back an update that was to be dropped or replaced; nil: there
// was none. Its state and boot artefacts are there.
func (m *Machine) StageAgain(d *Deployment) error {
	if err := m.DropStaged(); err != nil || d == nil || d.Entry == nil {
		return err
	}
	if err := m.Loader.StageEntries(d.Entry.Entry, m.Booted.ID); err != nil {
		return err
	}
	return m.MarkStaged(*d.Staged)
}

// Restore brings the machine to a clean state after a boot: it ends or drops
// what a power cut interrupted and tells /run what is staged. It reports
// whether an update is staged.
func (m *Machine) Restore(ctx context.Context) (bool, error) {
	if err := m.Recover(); err != nil {
		return false, err
	}
	st, err := m.State.Staged()
	if err != nil || st == nil {
		return false, errors.Join(err, deploy.Mirror(m.Run, nil))
	}
	return true, deploy.Mirror(m.Run, st)
}

// An EtcPlan is a merge of /etc that has been worked out.
type EtcPlan struct {
	next *tree.Tree
	plan *etc.Plan
}

// PlanEtc merges the live /etc, as it was changed since the booted image, with
// the /etc of the image that id boots, labels included. It only reads.
func (m *Machine) PlanEtc(id bootc.ID) (*EtcPlan, []etc.Conflict, error) {
	next, err := m.Repo.ReadImage(id)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the staged image: %w", err)
	}
	booted, err := m.Repo.ReadImage(m.Booted.ID)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the booted image: %w", err)
	}
	current, err := etc.Scan(m.Etc)
	if err != nil {
		return nil, nil, err
	}
	plan, conflicts := etc.Merge(subtree(booted, "/etc"), current, subtree(next, "/etc"))
	return &EtcPlan{next, plan}, conflicts, nil
}

// MergeEtc writes the merged /etc of a deployment that does not run.
func (m *Machine) MergeEtc(ctx context.Context, id bootc.ID, p *EtcPlan) error {
	return m.State.MergeEtc(ctx, id, p.next, m.Repo.OpenFile, p.plan, m.Etc)
}

// RestoreEtc gives a deployment the /etc of its image, without the machine's changes.
// It is for one whose /etc is lost.
func (m *Machine) RestoreEtc(ctx context.Context, id bootc.ID) error {
	t, err := m.Repo.ReadImage(id)
	if err != nil {
		return err
	}
	pristine := subtree(t, "/etc")
	plan, _ := etc.Merge(pristine, pristine, pristine)
	return m.MergeEtc(ctx, id, &EtcPlan{t, plan})
}

func subtree(t *tree.Tree, path string) *tree.Tree {
	if n := t.Lookup(path); n != nil && n.IsDir() {
		return &tree.Tree{Root: n}
	}
	return tree.New()
}

// EtcChanges lists what the machine changed in /etc since the booted image.
func (m *Machine) EtcChanges() ([]etc.Change, error) {
	booted, err := m.Repo.ReadImage(m.Booted.ID)
	if err != nil {
		return nil, fmt.Errorf("reading the booted image: %w", err)
	}
	current, err := etc.Scan(m.Etc)
	if err != nil {
		return nil, err
	}
	return etc.Diff(subtree(booted, "/etc"), current), nil
}
