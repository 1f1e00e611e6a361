package boot_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/test/fault"
)

// TestVolumeChild is the process in which a flush fails.
func TestVolumeChild(t *testing.T) {
	top := os.Getenv("VOLUME_TOP")
	if top == "" {
		return
	}
	root, err := os.OpenRoot(top)
	if err != nil {
		t.Fatal(err)
	}
	v := boot.Mounted(root)
	if err := v.Mkdir("old"); err != nil {
		t.Fatal(err)
	}
	if err := v.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := fault.Begin(); err != nil {
		t.Fatal(err)
	}
	if err := v.Mkdir("new"); err != nil {
		t.Fatal(err)
	}
	if err := v.Flush(); err == nil {
		t.Error("the flush has not failed")
	}
	_, created := v.Create("file")
	for what, err := range map[string]error{
		"Create": created, "Mkdir": v.Mkdir("dir"), "Remove": v.Remove("old"), "Rename": v.Rename("old", "x"),
		"Exchange": v.Exchange(".", "old", "new"), "Flush": v.Flush(),
	} {
		if err == nil {
			t.Errorf("%s after a flush that has failed", what)
		}
	}
}

// TestVolumeLost changes nothing more after a flush that has failed, in either of
// its parts.
func TestVolumeLost(t *testing.T) {
	if err := fault.Supported(); err != nil {
		t.Skip(err)
	}
	for _, failing := range []string{"syncfs", "fsync"} {
		top := filepath.Join(t.TempDir(), "top")
		if err := os.Mkdir(top, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestVolumeChild$")
		cmd.Env = append(os.Environ(), "VOLUME_TOP="+top)
		cmd.Stderr = os.Stderr
		r, err := fault.Watch(cmd, []string{top}, func(_ int, c fault.Call) fault.Verdict {
			if c.Name == failing {
				return fault.Verdict{Errno: unix.EIO}
			}
			return fault.Verdict{}
		})
		if err != nil {
			t.Fatal(err)
		}
		if last := r.Calls[len(r.Calls)-1]; !r.State.Success() || last.Name != failing {
			t.Errorf("%s failing: %v, the last call is %v", failing, r.State, last)
		}
	}
}
