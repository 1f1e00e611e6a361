package etc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// createFile makes a new, empty regular file that only root can read.
func createFile(parent int, name string) (*os.File, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(parent, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// copyFile copies content and keeps holes.
func copyFile(ctx context.Context, out, in *os.File) error {
	st, err := in.Stat()
	if err != nil {
		return err
	}
	for at, size := int64(0), st.Size(); at < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		start, end, err := nextData(in, at, size)
		if err != nil {
			return err
		}
		if start == end {
			break
		}
		if _, err := in.Seek(start, io.SeekStart); err != nil {
			return err
		}
		if _, err := out.Seek(start, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.CopyN(out, in, end-start); errors.Is(err, io.EOF) {
			break // it has become shorter
		} else if err != nil {
			return err
		}
		at = end
	}
	now, err := in.Stat()
	if err != nil {
		return err
	}
	return out.Truncate(min(st.Size(), now.Size()))
}

// nextData finds the next stretch of data from at; empty at the end. A file
// system without holes has one stretch.
func nextData(f *os.File, at, size int64) (start, end int64, err error) {
	start, err = unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size, size, nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		return at, size, nil
	case err != nil:
		return 0, 0, err
	}
	end, err = unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
	if err != nil {
		return 0, 0, err
	}
	if start >= size {
		return size, size, nil
	}
	return start, min(end, size), nil
}

// writeMeta gives an entry, whatever it is, owner, extended attributes, mode
// and mtime. The order matters: a change of owner clears setuid bits and file
// capabilities, an ACL changes the mode.
func writeMeta(parent int, name string, n *tree.Node) error {
	fd, err := openEntry(parent, name, unix.O_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Uid != n.UID || st.Gid != n.GID {
		if err := unix.Fchownat(fd, "", int(n.UID), int(n.GID), unix.AT_EMPTY_PATH); err != nil {
			return fmt.Errorf("setting owner %d:%d: %w", n.UID, n.GID, err)
		}
	}
	if err := writeXattrs(fd, n.Xattrs); err != nil {
		return err
	}
	if !n.IsSymlink() {
		if err := unix.Chmod(procPath(fd), n.Perm()); err != nil {
			return fmt.Errorf("setting mode %04o: %w", n.Perm(), err)
		}
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(0)}
	times[1].Sec, times[1].Nsec = n.Mtime.Sec, int64(n.Mtime.Nsec)
	if err := unix.UtimesNanoAt(parent, name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("setting the time: %w", err)
	}
	return nil
}

// removeAll removes an entry with all below it, if it is there. A mount in the
// way is an error.
func removeAll(parent *os.File, name string) error {
	d, err := openSubdir(parent, name)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO):
		return unix.Unlinkat(int(parent.Fd()), name, 0)
	case errors.Is(err, unix.EXDEV):
		return errors.New("something is mounted there")
	case err != nil:
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, child := range names {
		if err := removeAll(d, child); err != nil {
			return fmt.Errorf("%s: %w", Quote(child), err)
		}
	}
	return unix.Unlinkat(int(parent.Fd()), name, unix.AT_REMOVEDIR)
}
