package lock_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bootc-go/bootc/internal/linux/lock"
	"github.com/bootc-go/bootc/internal/linux/lock/locktest"
)

func open(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestHolder is the process that holds a lock: until its input ends.
func TestHolder(t *testing.T) {
	name := os.Getenv("LOCK_FILE")
	if name == "" {
		return
	}
	if err := lock.Try(open(t, name), lock.Exclusive); err != nil {
		t.Fatal(err)
	}
	locktest.Held()
}

// TestKilledHolder kills the process that holds a lock: the next has it at once.
func TestKilledHolder(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	cmd := locktest.Hold(t, "TestHolder", "LOCK_FILE="+name)
	f := open(t, name)
	if err := lock.Try(f, lock.Shared); !errors.Is(err, lock.ErrHeld) {
		t.Errorf("beside the holder: %v, want ErrHeld", err)
	}
	all := lock.Holders(f)
	if len(all) != 1 || all[0].PID != cmd.Process.Pid || all[0].Command != "lock.test" {
		t.Fatalf("holders %+v, want process %d", all, cmd.Process.Pid)
	}
	if age := time.Since(all[0].Since); age < -2*time.Second || age > time.Hour {
		t.Errorf("held since %v", all[0].Since)
	}
	if want := fmt.Sprintf("lock.test (process %d", cmd.Process.Pid); !strings.HasPrefix(all[0].String(), want) {
		t.Errorf("holder %q, want %q…", all[0], want)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if err := lock.Try(f, lock.Exclusive); err != nil {
		t.Errorf("after its end: %v", err)
	}
	if all := lock.Holders(f); len(all) != 0 {
		t.Errorf("holders %+v, want none but this process", all)
	}
}

// TestTake waits until the holder gives the lock back, or the context ends.
func TestTake(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	a, b := open(t, name), open(t, name)
	if err := lock.Try(a, lock.Exclusive); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := lock.Take(ctx, b, lock.Exclusive); !errors.Is(err, lock.ErrHeld) {
		t.Errorf("with a context that has ended: %v, want ErrHeld", err)
	}
	took := make(chan error)
	go func() { took <- lock.Take(t.Context(), b, lock.Exclusive) }()
	a.Close()
	if err := <-took; err != nil {
		t.Errorf("Take = %v", err)
	}
}
