// Package mount makes mounts by file descriptor.
//
// A new mount is detached: it has no place in the tree of mounts, nobody else
// sees it, and it vanishes when its descriptor is closed, unless it was attached
// somewhere. Most of our work needs no more: what is mounted for one program
// cannot be left behind by it.
//
// The package knows kernels, not images: where the new ways are missing it falls
// back to older ones ([Composefs] says which). It verifies nothing; measuring the
// image before it is mounted is the caller's task.
//
// Source: fsopen(2), fsconfig(2), fsmount(2), open_tree(2), move_mount(2),
// mount_setattr(2); Documentation/filesystems/overlayfs.rst and erofs.rst of the
// Linux kernel.
package mount

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Clone makes a detached copy of the mount that a path lies in, with the path
// as its root. Mounts below are not copied.
func Clone(path string) (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cloning the mount of %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// CloneFile is [Clone] for an open directory or file.
func CloneFile(f *os.File) (*os.File, error) {
	fd, err := unix.OpenTree(int(f.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return nil, fmt.Errorf("cloning the mount of %s: %w", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// SetReadOnly makes a mount read-only, or writable as far as its file system
// is: see [MakeWritable].
func SetReadOnly(m *os.File, readOnly bool) error {
	attr := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	if readOnly {
		attr = unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	}
	if err := unix.MountSetattr(int(m.Fd()), "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("setting the mount of %s read-only=%t: %w", m.Name(), readOnly, err)
	}
	return nil
}

// Private ends the propagation of mounts made below m to other places.
func Private(m *os.File) error {
	attr := unix.MountAttr{Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(int(m.Fd()), "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("making the mount of %s private: %w", m.Name(), err)
	}
	return nil
}

// MakeWritable makes the file system that f lies on writable, for all its
// mounts that are not read-only themselves. It does nothing if it is already.
func MakeWritable(f *os.File) error {
	ro, err := readOnlyFS(f)
	if err != nil || !ro {
		return err
	}
	fd, err := unix.Fspick(int(f.Fd()), "", unix.FSPICK_CLOEXEC|unix.FSPICK_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("making the file system of %s writable: %w", f.Name(), err)
	}
	c := &fsContext{fd: fd, name: f.Name()}
	defer c.close()
	if err := unix.FsconfigSetFlag(c.fd, "rw"); err != nil {
		return c.fail("setting rw", err)
	}
	if err := unix.FsconfigReconfigure(c.fd); err != nil {
		return c.fail("making the file system writable", err)
	}
	return nil
}

// readOnlyFS tells whether a file system, not only a mount of it, is read-only:
// a clone without the mount's own attribute shows it.
func readOnlyFS(f *os.File) (bool, error) {
	clone, err := CloneFile(f)
	if err != nil {
		return false, err
	}
	defer clone.Close()
	if err := SetReadOnly(clone, false); err != nil {
		return false, err
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(clone.Fd()), &st); err != nil {
		return false, err
	}
	return st.Flags&unix.ST_RDONLY != 0, nil
}

// Attach gives a detached mount the place target. An attached mount is moved.
func Attach(m *os.File, target string) error {
	if err := unix.MoveMount(int(m.Fd()), "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("attaching %s to %s: %w", m.Name(), target, err)
	}
	return nil
}

// AttachAt gives a mount the place name in a directory. The name is not
// followed if it is a symbolic link.
func AttachAt(m, dir *os.File, name string) error {
	if strings.Contains(name, "/") || name == ".." {
		return fmt.Errorf("attaching %s: %q is not a name", m.Name(), name)
	}
	if err := unix.MoveMount(int(m.Fd()), "", int(dir.Fd()), name, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("attaching %s to %s/%s: %w", m.Name(), dir.Name(), name, err)
	}
	return nil
}

// Detach takes a mount out of the tree of mounts; it lives on for those who
// have it open.
func Detach(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("detaching %s: %w", path, err)
	}
	return nil
}

// Device mounts a file system of a device, detached. Options are as in fstab,
// "ro" and "fmask=0077".
func Device(fstype, source string, options ...string) (*os.File, error) {
	c, err := open(fstype)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := c.set("source", source); err != nil {
		return nil, err
	}
	attrs := 0
	for _, o := range options {
		key, value, ok := strings.Cut(o, "=")
		if ok {
			err = c.set(key, value)
		} else {
			err = c.flag(key)
		}
		if err != nil {
			return nil, err
		}
		if o == "ro" {
			attrs |= unix.MOUNT_ATTR_RDONLY
		}
	}
	return c.mount(source, attrs)
}

// Tmpfs mounts an empty tmpfs, detached. Options are those of tmpfs, "mode=0755".
func Tmpfs(options ...string) (*os.File, error) { return Device("tmpfs", "tmpfs", options...) }

// An fsContext is a file system context of fsopen(2).
type fsContext struct {
	fd   int
	name string
}

func open(fstype string) (*fsContext, error) {
	fd, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("opening file system type %s: %w", fstype, err)
	}
	return &fsContext{fd: fd, name: fstype}, nil
}

func (c *fsContext) close() { unix.Close(c.fd) }

func (c *fsContext) flag(key string) error {
	if err := unix.FsconfigSetFlag(c.fd, key); err != nil {
		return c.fail("setting "+key, err)
	}
	return nil
}

func (c *fsContext) set(key, value string) error {
	if err := unix.FsconfigSetString(c.fd, key, value); err != nil {
		return c.fail("setting "+key, err)
	}
	return nil
}

func (c *fsContext) setFile(key string, f *os.File) error {
	if err := unix.FsconfigSetFd(c.fd, key, int(f.Fd())); err != nil {
		return c.fail("setting "+key, err)
	}
	return nil
}

func (c *fsContext) mount(name string, attrs int) (*os.File, error) {
	if err := unix.FsconfigCreate(c.fd); err != nil {
		return nil, c.fail("mounting", err)
	}
	fd, err := unix.Fsmount(c.fd, unix.FSMOUNT_CLOEXEC, attrs)
	if err != nil {
		return nil, c.fail("mounting", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// fail adds what the kernel has to say about the context to an error.
func (c *fsContext) fail(doing string, err error) error {
	var told []string
	buf := make([]byte, 4096)
	for {
		n, readErr := unix.Read(c.fd, buf)
		if readErr != nil || n <= 0 {
			break
		}
		// "e message": an error; "w" and "i" are warnings and notes.
		if kind, text, ok := strings.Cut(strings.TrimSpace(string(buf[:n])), " "); ok && (kind == "e" || kind == "w") {
			told = append(told, text)
		}
	}
	if len(told) > 0 {
		return fmt.Errorf("%s: %s: %w (%s)", c.name, doing, err, strings.Join(told, "; "))
	}
	return fmt.Errorf("%s: %s: %w", c.name, doing, err)
}

// unsupported reports whether a kernel refused something because it does not
// know it.
func unsupported(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EBADF) ||
		errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS)
}

func procPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }
