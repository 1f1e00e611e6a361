package machine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bootc-go/bootc/internal/linux/lock/locktest"
	"github.com/bootc-go/bootc/internal/machine"
)

// TestLockHolder is the other process: it holds the lock until it is killed.
func TestLockHolder(t *testing.T) {
	if os.Getenv("LOCK_RUN") == "" {
		return
	}
	if _, err := machine.TakeLock(t.Context(), openRoot(t, os.Getenv("LOCK_RUN")), machine.LockOptions{}); err != nil {
		t.Fatal(err)
	}
	locktest.Held()
}

func openRoot(t *testing.T, name string) *os.Root {
	t.Helper()
	r, err := os.OpenRoot(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// TestLock meets a lock that another process holds, which is killed: not by waiting,
// by waiting, and after its end. An older version has left a text in the file.
func TestLock(t *testing.T) {
	path := t.TempDir()
	run := openRoot(t, path)
	if err := run.WriteFile("bootc.lock", []byte("bootc upgrade (process 1)\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := locktest.Hold(t, "TestLockHolder", "LOCK_RUN="+path)
	want := fmt.Sprintf("another bootc is at work: machine.test (process %d", cmd.Process.Pid)
	_, err := machine.TakeLock(t.Context(), run, machine.LockOptions{})
	if locked := (*machine.LockedError)(nil); !errors.As(err, &locked) || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), ") since 20") {
		t.Errorf("TakeLock = %v, want %q…", err, want)
	}

	// The waiting ends with the context.
	ctx, cancel := context.WithCancel(t.Context())
	_, err = machine.TakeLock(ctx, run, machine.LockOptions{Wait: time.Hour, Waiting: func(string) { cancel() }})
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("TakeLock that is stopped = %v, want %q…", err, want)
	}

	// Or with the holder.
	var told string
	l, err := machine.TakeLock(t.Context(), run, machine.LockOptions{Wait: time.Hour, Waiting: func(holder string) {
		told = holder
		cmd.Process.Kill()
	}})
	if err != nil || !strings.HasPrefix("another bootc is at work: "+told, want) {
		t.Fatalf("TakeLock that waits = %v, told of %q", err, told)
	}
	if info, err := run.Stat("bootc.lock"); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file has mode %v, %v; want that of root alone", info.Mode(), err)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
	again, err := machine.TakeLock(t.Context(), run, machine.LockOptions{})
	if err != nil {
		t.Fatalf("TakeLock after Release = %v", err)
	}
	again.Release()
}
