// Package finalize makes a staged update the default, at shutdown: the changes
// that the machine made to /etc are merged into the new deployment, and then
// one commit point, the switch of the boot entries.
//
// A power cut before the switch leaves the update staged and the old system
// the default; the next shutdown starts again from the image's own /etc. A
// power cut after it boots the new system.
package finalize

import (
	"context"
	"errors"
	"fmt"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/change"
	"github.com/bootc-go/bootc/internal/machine/deploy"
	"github.com/bootc-go/bootc/internal/machine/etc"
)

// A Plan says what a shutdown would do.
type Plan struct {
	// Nothing is true when no update is staged, or only a downloaded one.
	Nothing bool
	// Conflicts are the paths in /etc that keep the update staged.
	Conflicts []etc.Conflict

	m     *machine.Machine
	merge *machine.EtcPlan
}

// New reads what is staged and merges /etc without writing.
func New(m *machine.Machine) (*Plan, error) {
	st, err := m.State.Staged()
	if err != nil {
		return nil, err
	}
	p := &Plan{m: m}
	if st == nil || st.Locked || st.ID == m.Booted.ID {
		p.Nothing = true
		return p, nil
	}
	p.merge, p.Conflicts, err = m.PlanEtc(st.ID)
	return p, err
}

// Apply merges /etc and switches the boot entries. Conflicts are recorded for
// bootc status and are an error; then nothing is switched. After the switch the
// end of ctx no longer stops it.
func (p *Plan) Apply(ctx context.Context, progress bootc.Progress) error {
	if p.Nothing {
		return nil
	}
	st, err := p.m.State.Staged()
	if err != nil {
		return err
	}
	if len(p.Conflicts) > 0 {
		st.Conflicts = nil
		text := ""
		for _, c := range p.Conflicts {
			st.Conflicts = append(st.Conflicts, c.Path)
			text += fmt.Sprintf("; %q: %s", c.Path, c.Reason)
		}
		err := fmt.Errorf("%d conflicts in /etc, the update stays staged%s", len(p.Conflicts), text)
		return errors.Join(err, p.m.MarkStaged(*st))
	}
	// An earlier attempt may have switched and then failed: what it has left of
	// the staged entries must not be switched to.
	if err := p.m.Recover(); err != nil {
		return err
	}
	done, err := p.m.BootsNext(st.ID)
	if err != nil {
		return err
	}
	if !done {
		if err := change.Run(ctx, "finalizing", p.steps(st), progress); err != nil {
			return errors.Join(err, Failed(p.m, err))
		}
	}
	return change.Run(context.WithoutCancel(ctx), "tidying", p.tidying(st), progress)
}

// Failed records why the staged update could not be applied, so that bootc
// status tells it and no machine reboots again and again for it.
func Failed(m *machine.Machine, cause error) error {
	st, err := m.State.Staged()
	if err != nil || st == nil {
		return err
	}
	st.Failure = cause.Error()
	return m.MarkStaged(*st)
}

// steps lead to the commit, which is the last one.
func (p *Plan) steps(st *deploy.Staged) []change.Step {
	return []change.Step{
		{Name: "merging /etc", Do: func(ctx context.Context) error {
			return p.m.MergeEtc(ctx, st.ID, p.merge)
		}},
		{Name: "flushing", Do: func(context.Context) error {
			return p.m.Repo.Sync()
		}},
		{Name: "switching boot entries", Do: func(context.Context) error {
			return p.m.Loader.SwitchEntries()
		}},
	}
}

// tidying is what follows the commit. The next boot does what is missed.
func (p *Plan) tidying(st *deploy.Staged) []change.Step {
	return []change.Step{
		{Name: "forgetting the staged update", Do: func(context.Context) error {
			return p.m.ClearStaged()
		}},
		{Name: "accepting the image", Do: func(context.Context) error {
			return p.m.State.Accept(st.Manifest)
		}},
		{Name: "removing leftovers", Do: p.m.Clean},
	}
}
