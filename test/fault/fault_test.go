package fault_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/test/fault"
)

// TestChild is the process that is watched.
func TestChild(t *testing.T) {
	top := os.Getenv("FAULT_TOP")
	if top == "" {
		return
	}
	if err := fault.Begin(); err != nil {
		t.Fatal(err)
	}
	if err := work(top); err != nil {
		t.Fatal(err)
	}
}

// work writes a file, flushes it and gives it another name; beside, it writes where
// nobody looks, and reads.
func work(top string) error {
	if err := os.WriteFile(top+".outside", []byte("x"), 0o600); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(top, "new"))
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString("content"); err != nil {
		return err
	}
	if err := f.Sync(); err != nil && !errors.Is(err, unix.EIO) {
		return err
	}
	if _, err := os.ReadFile(f.Name()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(top, "name"))
}

func watch(t *testing.T, decide func(int, fault.Call) fault.Verdict) (r *fault.Run, top string) {
	t.Helper()
	if err := fault.Supported(); err != nil {
		t.Skip(err)
	}
	top = filepath.Join(t.TempDir(), "top")
	if err := os.Mkdir(top, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), "FAULT_TOP="+top)
	r, err := fault.Watch(cmd, []string{top}, decide)
	if err != nil {
		t.Fatal(err)
	}
	return r, top
}

func names(r *fault.Run) (all []string) {
	for _, c := range r.Calls {
		all = append(all, c.String())
	}
	return all
}

// TestCalls sees the calls below the tree in their order, and no other.
func TestCalls(t *testing.T) {
	r, top := watch(t, func(int, fault.Call) fault.Verdict { return fault.Verdict{} })
	want := []string{"openat top/new", "write top/new", "fsync top/new", "renameat top/name"}
	if d := cmp.Diff(want, names(r)); d != "" || !r.State.Success() {
		t.Errorf("%v, calls (-want +got):\n%s", r.State, d)
	}
	if data, err := os.ReadFile(top + "/name"); string(data) != "content" {
		t.Errorf("the file has %q, %v", data, err)
	}
}

// TestFail lets each call fail in turn: it has not happened, and those before it
// have.
func TestFail(t *testing.T) {
	for at := range 4 {
		r, top := watch(t, func(n int, _ fault.Call) fault.Verdict {
			if n == at {
				return fault.Verdict{Errno: unix.ENOSPC}
			}
			return fault.Verdict{}
		})
		if r.State.Success() || len(r.Calls) != at+1 {
			t.Errorf("call %d failing: %v, calls %q", at, r.State, names(r))
		}
		_, err := os.Stat(top + "/new")
		if there := err == nil; there != (at > 0) {
			t.Errorf("call %d failing: the new file is there: %t", at, there)
		}
	}
}

// TestKill kills the process at a call.
func TestKill(t *testing.T) {
	r, top := watch(t, func(n int, _ fault.Call) fault.Verdict { return fault.Verdict{Kill: n == 3} })
	if r.State.ExitCode() != -1 || len(r.Calls) != 4 {
		t.Errorf("%v, calls %q", r.State, names(r))
	}
	if _, err := os.Stat(top + "/new"); err != nil {
		t.Error(err)
	}
}

// TestForget takes away what a flush that failed has lost, by whatever name.
func TestForget(t *testing.T) {
	r, top := watch(t, func(_ int, c fault.Call) fault.Verdict {
		if c.Flush {
			return fault.Verdict{Errno: unix.EIO}
		}
		return fault.Verdict{}
	})
	if !r.State.Success() {
		t.Fatal(r.State)
	}
	for _, want := range []string{"content", "\x00\x00\x00\x00\x00\x00\x00"} {
		if data, err := os.ReadFile(top + "/name"); string(data) != want {
			t.Errorf("the file has %q, %v; want %q", data, err, want)
		}
		if err := r.Forget(); err != nil {
			t.Fatal(err)
		}
	}
}
