package etc

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openEntry opens one entry of a directory, never through a symbolic link and
// never across a mount (EXDEV).
func openEntry(parent int, name string, flags uint64) (int, error) {
	return retry(func() (int, error) {
		return unix.Openat2(parent, name, &unix.OpenHow{
			Flags:   flags | unix.O_NOFOLLOW | unix.O_CLOEXEC,
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
		})
	})
}

// openSubdir opens a directory inside another for reading.
func openSubdir(parent *os.File, name string) (*os.File, error) {
	fd, err := openEntry(int(parent.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// reopen opens for reading what a descriptor of O_PATH stands for.
func reopen(fd int, flags int) (*os.File, error) {
	got, err := retry(func() (int, error) {
		return unix.Open(procPath(fd), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY|flags, 0)
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(got), procPath(fd)), nil
}

// procPath names an open descriptor for the calls that take only paths. It
// leads to the very inode, also if that is a symbolic link.
func procPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// vanished reports whether an entry went away while it was looked at.
func vanished(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESTALE)
}

// retry repeats a call that was interrupted or met a concurrent rename
// (EAGAIN of openat2).
func retry[T any](call func() (T, error)) (T, error) {
	for range 1000 {
		v, err := call()
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return v, err
		}
	}
	return call()
}
