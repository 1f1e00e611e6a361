package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/registry"
	"github.com/bootc-go/bootc/internal/linux/lock"
	"github.com/bootc-go/bootc/internal/machine"
)

// How long a verb waits for another one that is at work: a person is told soon who
// that is; a service of the system has time, and nobody who would start it again.
const (
	personWait  = 5 * time.Second
	serviceWait = 30 * time.Minute
)

// An opener opens the running computer for changes, once it has the lock:
// [machine.OpenRunning] or [machine.OpenDamaged].
type opener func(context.Context, machine.LockOptions) (*machine.Machine, error)

// openLocked takes the lock and opens the running computer. unlock closes both and
// may be called again.
func (a *App) openLocked(ctx context.Context) (m *machine.Machine, unlock func(), err error) {
	return a.openWaiting(ctx, usualWait())
}

func usualWait() time.Duration {
	if lock.Unit() != "" {
		return serviceWait
	}
	return personWait
}

// openWaiting is openLocked for a verb that waits for the lock as long as is said.
func (a *App) openWaiting(ctx context.Context, wait time.Duration) (m *machine.Machine, unlock func(), err error) {
	return a.openBy(ctx, wait, machine.OpenRunning)
}

// openBy is openWaiting with another way to open the computer.
func (a *App) openBy(ctx context.Context, wait time.Duration, open opener) (m *machine.Machine, unlock func(), err error) {
	m, err = open(ctx, machine.LockOptions{Wait: wait, Waiting: func(holder string) {
		fmt.Fprintf(a.Stderr, "notice: waiting for another bootc: %s\n", holder)
	}})
	if err != nil {
		return nil, nil, err
	}
	return m, func() { _ = m.Close() }, nil // handles, and the lock
}

// openPreview opens the running computer to show what a verb would change. It is
// refused where that verb is.
func openPreview() (*machine.Machine, error) {
	m, err := machine.OpenReading()
	if err == nil && m.Medium {
		err = errors.Join(machine.ErrMedium, m.Close())
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// registryOptions says how images are fetched; p is told of what fails and is
// tried again.
func (a *App) registryOptions(p bootc.Progress) registry.Options {
	return registry.Options{Version: a.Version, Progress: p}
}

// isTerminal reports whether f is a terminal.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	st, err := file.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}
