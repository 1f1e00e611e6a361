package change_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/machine/change"
)

// TestRunUndoes fails step after step and checks that all that was begun is
// undone, last first.
func TestRunUndoes(t *testing.T) {
	for fail := range 4 {
		var log []string
		step := func(i int, name string) change.Step {
			return change.Step{
				Name: name,
				Do: func(context.Context) error {
					log = append(log, "+"+name)
					if i == fail {
						return errors.New("no room")
					}
					return nil
				},
				Undo: func(ctx context.Context) error {
					log = append(log, "-"+name)
					return ctx.Err()
				},
			}
		}
		err := change.Run(context.Background(), "staging", []change.Step{step(0, "a"), step(1, "b"), step(2, "c")}, nil)
		want := []string{"+a -a", "+a +b -b -a", "+a +b +c -c -b -a", "+a +b +c"}[fail]
		if got := strings.Join(log, " "); got != want {
			t.Errorf("failing step %d: %s, want %s", fail, got, want)
		}
		if fail < 3 && (err == nil || !strings.HasSuffix(err.Error(), ": no room")) {
			t.Errorf("failing step %d: error %v", fail, err)
		}
		if fail == 3 && err != nil {
			t.Errorf("no step fails: error %v", err)
		}
	}
}

// TestRunCancelled undoes although the context has ended.
func TestRunCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	undone := false
	steps := []change.Step{
		{Name: "a", Do: func(context.Context) error { cancel(); return nil }, Undo: func(ctx context.Context) error { undone = ctx.Err() == nil; return nil }},
		{Name: "b", Do: func(context.Context) error { t.Error("step b ran after the end of the context"); return nil }},
	}
	if err := change.Run(ctx, "staging", steps, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if !undone {
		t.Error("step a was not undone, or with a context that had ended")
	}
}

// TestRunCause ends the context, with a cause, when it is told of a step: that one
// fails with it.
func TestRunCause(t *testing.T) {
	full := errors.New("no room")
	ctx, cancel := context.WithCancelCause(context.Background())
	p := bootc.Progress(func(e bootc.Event) {
		if e.(bootc.Steps).Description == "b" {
			cancel(full)
		}
	})
	nop := func(context.Context) error { return nil }
	err := change.Run(ctx, "staging", []change.Step{{Name: "a", Do: nop}, {Name: "b", Do: nop}}, p)
	if !errors.Is(err, full) || err.Error() != "b: no room" {
		t.Errorf("error %v, want that of step b", err)
	}
}

func TestRunTells(t *testing.T) {
	var got []uint64
	p := bootc.Progress(func(e bootc.Event) { got = append(got, e.(bootc.Steps).Steps) })
	nop := func(context.Context) error { return nil }
	if err := change.Run(context.Background(), "staging", []change.Step{{Name: "a", Do: nop}, {Name: "b", Do: nop}}, p); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[2] != 2 {
		t.Errorf("events %v, want 0 1 2", got)
	}
}
