package action_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/action/build"
)

// TestBuildNoRoom builds to a file system that is too small for the files.
func TestBuildNoRoom(t *testing.T) {
	l := newStore(t)
	o := l.toBuild(build.Types()...)
	if err := unix.Mount("tmpfs", o.Dir, "tmpfs", 0, "size=128k"); err != nil {
		t.Skipf("cannot mount here: %v", err)
	}
	defer unix.Unmount(o.Dir, unix.MNT_DETACH)
	if _, _, err := l.apply(o); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("the error is %v, want %v", err, unix.ENOSPC)
	}
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestBuildUnwritable builds to a directory that belongs to somebody else.
func TestBuildUnwritable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	l := newStore(t)
	o := l.toBuild("raw")
	must(t, os.Chmod(o.Dir, 0o555))
	_, err := build.New(t.Context(), o)
	if want := "output directory " + o.Dir + ": permission denied"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v, want %q", err, want)
	}
}
