package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/bootc-go/bootc/internal/linux/lock"
)

// A Lock is held by the one verb that changes the machine.
type Lock struct{ f *os.File }

// A LockedError says who holds the lock.
type LockedError struct{ Holder string }

func (e *LockedError) Error() string {
	return fmt.Sprintf("another bootc is at work: %s", e.Holder)
}

const lockFile = "bootc.lock"

// LockOptions say how long to wait for the lock. The zero value does not wait.
type LockOptions struct {
	Wait time.Duration
	// Waiting is told once who holds the lock, if it has to be waited for; nil: nobody is.
	Waiting func(holder string)
}

// TakeLock takes the lock in run (the directory /run). It waits as long as o says,
// or until ctx ends; then it returns a [*LockedError]. The kernel releases the lock
// of a process that dies.
func TakeLock(ctx context.Context, run *os.Root, o LockOptions) (*Lock, error) {
	// Nobody but root may open it, or anybody could hold the lock.
	f, err := run.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err = f.Chmod(0o600); err == nil {
		err = takeLock(ctx, f, o)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &Lock{f}, nil
}

func takeLock(ctx context.Context, f *os.File, o LockOptions) error {
	err := lock.Try(f, lock.Exclusive)
	if errors.Is(err, lock.ErrHeld) && o.Wait > 0 {
		if o.Waiting != nil {
			o.Waiting(holder(f))
		}
		ctx, cancel := context.WithTimeout(ctx, o.Wait)
		defer cancel()
		err = lock.Take(ctx, f, lock.Exclusive)
	}
	if errors.Is(err, lock.ErrHeld) {
		return &LockedError{Holder: holder(f)}
	}
	if err != nil {
		return fmt.Errorf("locking /run/%s: %w", lockFile, err)
	}
	return nil
}

// Release gives the lock back.
func (l *Lock) Release() error { return l.f.Close() }

func holder(f *os.File) string {
	for _, h := range lock.Holders(f) {
		return h.String()
	}
	return "a process that cannot be seen from here"
}
