package cli

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/registry"
	"github.com/bootc-go/bootc/internal/machine"
)

// openLocked opens the running computer for the verb and takes the lock,
// waiting at most for the given time. unlock closes both and may be called
// again.
func (a *App) openLocked(ctx context.Context, verb string, wait time.Duration) (m *machine.Machine, unlock func(), err error) {
	if m, err = machine.OpenRunning(); err != nil {
		return nil, nil, err
	}
	lock, err := machine.TakeLock(ctx, m.Run, verb, wait)
	if err != nil {
		m.Close()
		return nil, nil, err
	}
	released := false
	return m, func() {
		if released {
			return
		}
		released = true
		m.Close()
		lock.Release()
	}, nil
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
