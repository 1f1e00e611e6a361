package dirtree

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// Hash is an [Object] that only computes the digest.
func Hash(a verity.Algorithm) Object {
	return func(f *os.File, size int64) (verity.Digest, error) {
		h := verity.New(a)
		n, err := io.Copy(h, f)
		if err == nil && n != size {
			err = changed(n, size)
		}
		if err != nil {
			return verity.Digest{}, err
		}
		return h.Sum(), nil
	}
}

func changed(n, size int64) error {
	return fmt.Errorf("the file has %d bytes, its inode said %d", n, size)
}

// file reads the content of a small file now, that of a larger one in the
// group. It closes f.
func (r *reader) file(path string, n *tree.Node, f *os.File) error {
	if n.Size > InlineMax {
		r.group.Go(func() error {
			defer f.Close()
			if err := r.ctx.Err(); err != nil {
				return err
			}
			var err error
			if n.Object, err = r.options.Object(f, int64(n.Size)); err != nil {
				return fmt.Errorf("reading %q: %w", path, err)
			}
			return nil
		})
		return nil
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, InlineMax+1))
	if err == nil && uint64(len(content)) != n.Size {
		err = changed(int64(len(content)), int64(n.Size))
	}
	if err != nil {
		return fmt.Errorf("reading %q: %w", path, err)
	}
	n.Content = content
	return nil
}

// meta reads what a node is apart from content and entries. The descriptor may
// be one of O_PATH.
func (r *reader) meta(fd int, st *unix.Stat_t) (*tree.Node, error) {
	if err := unix.Fstat(fd, st); err != nil {
		return nil, err
	}
	n := &tree.Node{
		Mode:  st.Mode,
		UID:   st.Uid,
		GID:   st.Gid,
		Mtime: tree.Time{Sec: int64(st.Mtim.Sec), Nsec: uint32(st.Mtim.Nsec)},
	}
	var err error
	switch n.Type() {
	case tree.TypeDir:
	case tree.TypeChar, tree.TypeBlock:
		n.Nlink = 1
		major, minor := unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))
		n.Rdev = minor&0xff | major<<8 | (minor&^0xff)<<12
	case tree.TypeRegular:
		n.Nlink, n.Size = 1, uint64(st.Size)
	case tree.TypeSymlink:
		n.Nlink = 1
		if n.Target, err = readlink(fd); err != nil {
			return nil, err
		}
	default:
		n.Nlink = 1
	}
	n.Xattrs, err = r.xattrs(fd)
	return n, err
}

func readlink(fd int) (string, error) {
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(fd, "", buf[:])
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// xattrs reads the extended attributes that are wanted, sorted by name.
func (r *reader) xattrs(fd int) ([]tree.Xattr, error) {
	at := proc(fd)
	list, err := grow(func(buf []byte) (int, error) { return unix.Listxattr(at, buf) })
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing extended attributes: %w", err)
	}
	var all []tree.Xattr
	for name := range strings.SplitSeq(list, "\x00") {
		if name == "" || r.options.Xattr != nil && !r.options.Xattr(name) {
			continue
		}
		value, err := grow(func(buf []byte) (int, error) { return unix.Getxattr(at, name, buf) })
		if err != nil {
			return nil, fmt.Errorf("reading extended attribute %q: %w", name, err)
		}
		all = append(all, tree.Xattr{Name: strings.Clone(name), Value: value})
	}
	slices.SortFunc(all, func(x, y tree.Xattr) int { return strings.Compare(x.Name, y.Name) })
	return all, nil
}

// grow calls read with larger buffers until the answer fits. 64 KiB is the
// kernel's limit for values and lists.
func grow(read func([]byte) (int, error)) (string, error) {
	var small [256]byte
	n, err := read(small[:])
	if err == nil {
		return string(small[:n]), nil
	}
	if !errors.Is(err, unix.ERANGE) {
		return "", err
	}
	large := make([]byte, 1<<16)
	if n, err = read(large); err != nil {
		return "", err
	}
	return string(large[:n]), nil
}

// openat opens an entry of a directory as a mere place.
func openat(parent int, name string) (int, error) {
	for {
		fd, err := unix.Openat(parent, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// reopen opens for reading what a descriptor stands for.
func reopen(fd, flags int) (*os.File, error) {
	for {
		got, err := unix.Open(proc(fd), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY|flags, 0)
		switch {
		case err == nil:
			return os.NewFile(uintptr(got), proc(fd)), nil
		case !errors.Is(err, unix.EINTR):
			return nil, err
		}
	}
}

// proc names an open descriptor for the calls that take only paths. It leads
// to the very inode, also if that is a symbolic link.
func proc(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }
