// Package change makes a list of steps happen wholly or not at all, as far as
// a running process can see: when a step cannot be done, the steps before it
// are undone, last first.
//
// It keeps no journal. After a power cut the truth is what the boot entries
// and staged.json name; everything that they do not name is a leftover and is
// removed by the next operation. Hence the order of steps is the safety
// argument: each step makes something that nothing refers to yet, and the last
// one makes the reference.
//
// Invariants:
//   - Do is idempotent: it meets what an interrupted run has left;
//   - Undo also undoes a Do that stopped halfway.
//
// The package knows nothing of deployments.
package change

import (
	"context"
	"errors"
	"fmt"

	"github.com/bootc-go/bootc"
)

// A Step is one reversible act.
type Step struct {
	// Name says what is being done, as a gerund: "writing boot entry". It is
	// used in errors and in progress.
	Name string
	Do   func(context.Context) error
	// Undo may be nil for a step whose leftovers nothing refers to.
	Undo func(context.Context) error
}

// Run does the steps in order and tells p about each before it begins. After an
// error, or when ctx ends between two steps, what was done is undone, last first,
// and the error says which step it was and, if ctx has one, the cause of its end.
// Undoing ignores the end of ctx.
//
// So whoever is told of the steps can let one fail, by ending ctx with a cause:
// tests do.
func Run(ctx context.Context, task string, steps []Step, p bootc.Progress) error {
	for i, s := range steps {
		p.Send(bootc.Steps{Task: task, ID: task, Description: s.Name, Steps: uint64(i), Total: uint64(len(steps))})
		err := context.Cause(ctx)
		if err == nil {
			err = s.Do(ctx)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", s.Name, err)
			return errors.Join(err, undo(context.WithoutCancel(ctx), steps[:i+1]))
		}
	}
	p.Send(bootc.Steps{Task: task, ID: task, Description: "done", Steps: uint64(len(steps)), Total: uint64(len(steps)), Done: true})
	return nil
}

func undo(ctx context.Context, steps []Step) error {
	var errs []error
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].Undo == nil {
			continue
		}
		if err := steps[i].Undo(ctx); err != nil {
			errs = append(errs, fmt.Errorf("undoing %q: %w", steps[i].Name, err))
		}
	}
	return errors.Join(errs...)
}
