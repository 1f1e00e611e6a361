// Package gc removes what no deployment needs: files on the boot partition,
// state, tags and, where asked for, the garbage of the image repository.
//
// An upgrade does the same by itself; this is for who wants to see it, or to
// have the space now.
package gc

import (
	"context"
	"fmt"
	"time"

	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/machine"
)

// Options say what is removed.
type Options struct {
	// Prune collects the garbage of the repository, too.
	Prune bool
}

// A Plan says what would be removed.
type Plan struct {
	Leftovers *machine.Leftovers
	// Garbage is what is in the repository without the leftovers; it is zero
	// without Options.Prune.
	Garbage images.Garbage

	m *machine.Machine
	o Options
}

// New looks for what nothing needs. Nothing is changed.
func New(ctx context.Context, m *machine.Machine, o Options) (*Plan, error) {
	p := &Plan{m: m, o: o}
	var err error
	if p.Leftovers, err = m.Leftovers(); err != nil {
		return nil, err
	}
	if o.Prune {
		p.Garbage, err = m.Collect(ctx, images.CollectOptions{DryRun: true, Untagged: p.Leftovers.Tags})
	}
	return p, err
}

// Nothing reports whether there is nothing to remove.
func (p *Plan) Nothing() bool { return p.Leftovers.None() && p.Garbage.None() }

// Wait is how long a collection waits for other processes that have the repository
// open.
const Wait = time.Minute

// Apply removes it. It waits until no other process has the repository open, a
// minute at most: then the error is [images.ErrInUse]. What an error or a power cut
// leaves is found again.
func (p *Plan) Apply(ctx context.Context) error {
	if err := p.m.Clean(ctx); err != nil {
		return fmt.Errorf("removing leftovers: %w", err)
	}
	if !p.o.Prune {
		return nil
	}
	var err error
	if p.Garbage, err = p.m.Collect(ctx, images.CollectOptions{Wait: Wait}); err != nil {
		err = fmt.Errorf("collecting garbage: %w", err)
	}
	return err
}
