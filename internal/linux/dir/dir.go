// Package dir opens directories as handles and keeps every path inside them.
//
// A [Dir] is the root of an OS tree that may come from anywhere: absolute
// symbolic links mean the tree's own root, ".." at the top stays at the top, and
// nothing outside can be reached, whoever changes the tree meanwhile. The kernel
// resolves the paths (openat2 with RESOLVE_IN_ROOT).
//
// For directories of our own, where no path should be a link at all, there are
// functions over *[os.Root]: [ReadDir], [WriteFile], [SyncDir], [Exchange], and [Flusher].
//
// Invariants:
//   - no method follows a path out of the tree, or through /proc's magic links;
//   - opening never waits and has no effect: what is not a regular file or a
//     directory is refused, so no FIFO blocks and no device is touched.
//
// Source: openat2(2), xattr(7).
package dir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Dir is an OS tree.
type Dir struct {
	f *os.File
}

// Open opens the tree at a path of the running system.
func Open(name string) (*Dir, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return FromFile(os.NewFile(uintptr(fd), name)), nil
}

// FromFile makes a tree of an open directory, which the tree owns from now on.
// The directory may be open with O_PATH.
func FromFile(f *os.File) *Dir { return &Dir{f: f} }

// Close releases the handle.
func (d *Dir) Close() error { return d.f.Close() }

// File returns the handle itself. It stays the tree's.
func (d *Dir) File() *os.File { return d.f }

// Open opens a regular file or a directory for reading.
func (d *Dir) Open(name string) (*os.File, error) {
	p, err := d.OpenPath(name)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	info, err := p.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() && !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: p.Name(), Err: errors.New("neither a regular file nor a directory")}
	}
	fd, err := unix.Open(proc(p), unix.O_RDONLY|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: p.Name(), Err: err}
	}
	return os.NewFile(uintptr(fd), p.Name()), nil
}

// OpenPath opens anything as a mere place (O_PATH), following symbolic links.
func (d *Dir) OpenPath(name string) (*os.File, error) { return d.openat2(name, unix.O_PATH) }

// OpenDir opens a directory of the tree as a tree of its own: for the new one
// it is the root that nothing leaves.
func (d *Dir) OpenDir(name string) (*Dir, error) {
	f, err := d.openat2(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	return FromFile(f), nil
}

// ReadFile returns the content of a regular file.
func (d *Dir) ReadFile(name string) ([]byte, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// ReadDir lists a directory in byte order of the names.
func (d *Dir) ReadDir(name string) ([]fs.DirEntry, error) {
	f, err := d.openat2(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// The handle's own lstat would go by a name that means nothing here.
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	sub := &Dir{f: f}
	var all []fs.DirEntry
	for _, n := range names {
		info, err := sub.Lstat(n)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, fs.FileInfoToDirEntry(info))
	}
	return all, nil
}

// Lstat describes what the name stands for, a symbolic link as such.
func (d *Dir) Lstat(name string) (fs.FileInfo, error) { return d.stat(name, unix.O_NOFOLLOW) }

// Stat describes what the name leads to.
func (d *Dir) Stat(name string) (fs.FileInfo, error) { return d.stat(name, 0) }

func (d *Dir) stat(name string, flags int) (fs.FileInfo, error) {
	f, err := d.openat2(name, unix.O_PATH|flags)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// Readlink returns the text of a symbolic link.
func (d *Dir) Readlink(name string) (string, error) {
	f, err := d.openat2(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return "", err
	}
	defer f.Close()
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(f.Fd()), "", buf)
	if errors.Is(err, unix.ENOENT) { // what the kernel says of anything but a link
		err = unix.EINVAL
	}
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: f.Name(), Err: err}
	}
	return string(buf[:n]), nil
}

// Xattrs returns the extended attributes of what the name stands for, of a
// symbolic link those of the link.
func (d *Dir) Xattrs(name string) (map[string]string, error) {
	f, err := d.openat2(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// O_PATH handles have no attributes; their entry in /proc leads to the inode.
	at := proc(f)
	list, err := grow(func(buf []byte) (int, error) { return unix.Listxattr(at, buf) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "listxattr", Path: f.Name(), Err: err}
	}
	all := map[string]string{}
	for attr := range strings.SplitSeq(string(list), "\x00") {
		if attr == "" {
			continue
		}
		value, err := grow(func(buf []byte) (int, error) { return unix.Getxattr(at, attr, buf) })
		if errors.Is(err, unix.ENODATA) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, &fs.PathError{Op: "getxattr " + attr, Path: f.Name(), Err: err}
		}
		all[attr] = string(value)
	}
	return all, nil
}

// grow calls read with a buffer that is large enough.
func grow(read func([]byte) (int, error)) ([]byte, error) {
	for size := 256; ; size *= 4 {
		buf := make([]byte, size)
		n, err := read(buf)
		if err == nil {
			return buf[:n], nil
		}
		if !errors.Is(err, unix.ERANGE) || size > 1<<20 {
			return nil, err
		}
	}
}

func (d *Dir) openat2(name string, flags int) (*os.File, error) {
	shown := path.Join(d.f.Name(), name)
	how := unix.OpenHow{
		Flags:   uint64(flags) | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	if name == "" {
		return nil, &fs.PathError{Op: "open", Path: shown, Err: unix.ENOENT}
	}
	// EAGAIN: something was renamed while ".." was resolved.
	for range 128 {
		fd, err := unix.Openat2(int(d.f.Fd()), name, &how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), shown), nil
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
			return nil, &fs.PathError{Op: "open", Path: shown, Err: err}
		}
	}
	return nil, &fs.PathError{Op: "open", Path: shown, Err: fmt.Errorf("the tree keeps changing: %w", unix.EAGAIN)}
}

func proc(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }
