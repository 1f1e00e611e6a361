// Package lock takes locks on open files, and says who holds one.
//
// A lock belongs to the open file: the kernel gives it back when the last handle
// of it is closed, so a process that is killed blocks nobody. Who holds a lock is
// asked of the kernel, too; nothing is written down that could outlive its writer.
//
// Source: flock(2), proc_locks(5), proc_pid_stat(5).
package lock

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrHeld means that another open file holds the lock.
var ErrHeld = errors.New("the lock is held")

// A Kind is a kind of lock.
type Kind int

// The kinds. Many may share a lock, or one has it alone.
const (
	Shared    Kind = unix.LOCK_SH
	Exclusive Kind = unix.LOCK_EX
)

// poll is how often a lock is tried. The kernel's own waiting cannot be ended.
const poll = 50 * time.Millisecond

// Try takes a lock, or changes its kind. The error is [ErrHeld] while that is not
// possible; who had a lock of another kind may have lost it then.
func Try(f *os.File, k Kind) error {
	err := flock(f, int(k)|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrHeld
	}
	return err
}

// Wait takes a lock, or changes its kind, however long that takes: nothing ends it.
func Wait(f *os.File, k Kind) error { return flock(f, int(k)) }

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Take is Try until ctx ends; then the error is ErrHeld. It tries once in any case.
func Take(ctx context.Context, f *os.File, k Kind) error {
	for {
		err := Try(f, k)
		if !errors.Is(err, ErrHeld) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(poll):
		}
	}
}
