// Package rollback makes the previous deployment the next to boot, or takes
// that back.
package rollback

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/change"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// ErrNone means that there is no deployment to go back to.
var ErrNone = errors.New("no rollback available")

// A Plan says what a rollback would do.
type Plan struct {
	// Revert is true when a rollback is queued and is taken back.
	Revert bool
	// Staged is the update that is dropped, nil if none is staged.
	Staged *machine.Deployment
	// Next is the deployment that boots next: the booted one if a rollback is
	// taken back, or if dropping the staged update is all that can be done.
	Next bootc.ID

	m      *machine.Machine
	booted machine.Deployment
}

// New finds the deployment to go back to. Without one, and without a staged
// update that could be dropped, the error is [ErrNone].
func New(m *machine.Machine) (*Plan, error) {
	all, err := m.Deployments()
	booted := machine.InSlot(all, bootc.Booted)
	if booted == nil {
		return nil, errors.Join(errors.New("the booted deployment has no boot entry"), err)
	}
	p := &Plan{m: m, booted: *booted, Next: booted.ID, Staged: machine.InSlot(all, bootc.Staged)}
	if p.Revert, err = m.RollbackQueued(); err != nil {
		return nil, err
	}
	previous, err := m.Previous()
	switch {
	case err != nil:
		return nil, err
	case previous == "" && p.Staged == nil:
		return nil, ErrNone
	case previous != "" && !p.Revert:
		p.Next = previous
	}
	return p, nil
}

// Back reports whether another deployment than the booted one boots next.
func (p *Plan) Back() bool { return p.Next != p.booted.ID }

// Apply swaps the boot order; that is the commit. What is rolled back from is
// recorded, so that an upgrade does not take it again by itself. That it could
// not be recorded, or that something is left over, is told, and is no error: the
// machine goes back all the same. After an error it is as before.
func (p *Plan) Apply(ctx context.Context, progress bootc.Progress) error {
	if err := change.Run(ctx, "rolling back", p.steps(), progress); err != nil {
		return err
	}
	if err := p.remember(); err != nil {
		progress.Send(bootc.Notice{Text: fmt.Sprintf("warning: the image is not remembered as rolled back, an upgrade may take it again: %v", err)})
	}
	if err := p.m.Clean(context.WithoutCancel(ctx)); err != nil {
		progress.Send(bootc.Notice{Text: fmt.Sprintf("warning: what is not needed any more is not removed: %v", err)})
	}
	return nil
}

// steps lead to the commit, which is the last one. The staged update goes first:
// a cut between the two must not leave it to the next shutdown.
func (p *Plan) steps() []change.Step {
	var first bootc.ID // before
	return []change.Step{
		{Name: "dropping the staged update", Do: func(context.Context) error {
			return p.m.DropStaged()
		}, Undo: func(context.Context) error {
			return p.m.StageAgain(p.Staged)
		}},
		{Name: "switching boot entries", Do: func(context.Context) error {
			entries, err := p.m.Loader.Entries()
			if err != nil {
				return err
			}
			for _, e := range entries {
				if e.ID != "" {
					first = e.ID
					break
				}
			}
			return p.m.Loader.MakeFirst(p.Next)
		}, Undo: func(context.Context) error {
			if first == "" {
				return nil
			}
			return p.m.Loader.MakeFirst(first)
		}},
	}
}

func (p *Plan) remember() error {
	if p.Next == p.booted.ID {
		return p.m.State.Accept(p.booted.Origin.Manifest)
	}
	next, err := p.m.State.Origin(p.Next)
	if err == nil {
		err = p.m.State.Accept(next.Manifest)
	}
	return errors.Join(err, p.m.State.Reject(deploy.Rejection{
		Manifest: p.booted.Origin.Manifest,
		Reason:   deploy.RolledBack,
		Time:     time.Now().UTC().Truncate(time.Second),
		Image:    p.booted.Origin.Ref.String(),
	}))
}
