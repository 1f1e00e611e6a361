package dir_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/linux/dir"
	"github.com/bootc-go/bootc/test/fault"
)

// TestWriteFileChild is the process in which faults are planted.
func TestWriteFileChild(t *testing.T) {
	top := os.Getenv("WRITE_TOP")
	if top == "" {
		return
	}
	root, err := os.OpenRoot(top)
	if err != nil {
		t.Fatal(err)
	}
	if err := fault.Begin(); err != nil {
		t.Fatal(err)
	}
	if err := dir.WriteFile(root, "file", []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestWriteFileElsewhere lets the flush of a file fail: once, and the content is
// written to another file; twice, and the old one stays. No flush is tried again.
func TestWriteFileElsewhere(t *testing.T) {
	if err := fault.Supported(); err != nil {
		t.Skip(err)
	}
	for failing, want := range map[int]string{0: "new", 1: "new", 2: "old"} {
		top := filepath.Join(t.TempDir(), "top")
		write(t, top+"/file", "old")
		cmd := exec.Command(os.Args[0], "-test.run=^TestWriteFileChild$")
		cmd.Env = append(os.Environ(), "WRITE_TOP="+top)
		var flushed []string
		r, err := fault.Watch(cmd, []string{top}, func(_ int, c fault.Call) fault.Verdict {
			if c.Name != "fsync" {
				return fault.Verdict{}
			}
			flushed = append(flushed, c.Path)
			if len(flushed) <= failing {
				return fault.Verdict{Errno: unix.EIO}
			}
			return fault.Verdict{}
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.State.Success() != (failing < 2) {
			t.Errorf("%d flushes failing: %v", failing, r.State)
		}
		if n := len(slices.Compact(slices.Sorted(slices.Values(flushed)))); n != len(flushed) {
			t.Errorf("%d flushes failing: flushed %q", failing, flushed)
		}
		if err := r.Forget(); err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(top + "/file"); err != nil || string(data) != want {
			t.Errorf("%d flushes failing: the file has %q, %v; want %q", failing, data, err, want)
		}
		if got := names(t, top); !slices.Equal(got, []string{"file"}) {
			t.Errorf("%d flushes failing: the directory has %q", failing, got)
		}
	}
}
