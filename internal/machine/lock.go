package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Lock is held by the one verb that changes the machine.
type Lock struct{ f *os.File }

// A LockedError says who holds the lock.
type LockedError struct{ Holder string }

func (e *LockedError) Error() string {
	return fmt.Sprintf("another bootc is at work: %s", e.Holder)
}

const lockFile = "bootc.lock"

// TakeLock takes the lock in run (the directory /run), in the name of verb. It
// waits at most for the given time, or until ctx ends; then it returns a
// [*LockedError]. The kernel releases the lock of a process that dies.
func TakeLock(ctx context.Context, run *os.Root, verb string, wait time.Duration) (*Lock, error) {
	// Nobody but root may open it, or anybody could hold the lock.
	f, err := run.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(0o600); err != nil {
		f.Close()
		return nil, err
	}
	deadline := time.Now().Add(wait)
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || ctx.Err() != nil || !time.Now().Before(deadline) {
			holder := readHolder(f)
			f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, &LockedError{Holder: holder}
			}
			return nil, fmt.Errorf("locking /run/%s: %w", lockFile, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	text := fmt.Sprintf("bootc %s (process %d)\n", verb, os.Getpid())
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(text), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("writing /run/%s: %w", lockFile, err)
	}
	return &Lock{f}, nil
}

// Release gives the lock back.
func (l *Lock) Release() error {
	return errors.Join(l.f.Truncate(0), l.f.Close())
}

func readHolder(f *os.File) string {
	text, _ := io.ReadAll(io.NewSectionReader(f, 0, 256))
	if s := strings.TrimSpace(string(text)); s != "" {
		return s
	}
	return "an unknown process"
}
