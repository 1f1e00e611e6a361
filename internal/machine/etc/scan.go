package etc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// Scan reads a directory tree that may be in use: metadata, extended
// attributes, and of each regular file its content up to 64 bytes or else its
// SHA-512 fs-verity digest. An entry that vanishes meanwhile is left out; a
// file that changes while it is read is read again, a few times. What other
// mounts cover is read as it lies below them; where the kernel does not allow
// that, such entries count as unchanged in a merge.
func Scan(d *dir.Dir) (*tree.Tree, error) {
	f, err := uncovered(d.File())
	if err != nil {
		return nil, err
	}
	defer f.Close()
	root, err := scanDir("", f)
	if err != nil {
		return nil, err
	}
	return &tree.Tree{Root: root}, nil
}

// uncovered opens a directory apart from the mounts below it: through a
// detached copy of its mount where that is allowed, else as it is.
func uncovered(d *os.File) (*os.File, error) {
	top := int(d.Fd())
	const flags = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH
	if fd, err := unix.OpenTree(top, "", flags); err == nil {
		defer unix.Close(fd)
		top = fd
	}
	fd, err := retry(func() (int, error) {
		return unix.Openat(top, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, fmt.Errorf("opening the directory: %w", err)
	}
	return os.NewFile(uintptr(fd), d.Name()), nil
}

func scanDir(path string, f *os.File) (*tree.Node, error) {
	n, err := readMeta(int(f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("reading metadata of %s: %w", Quote(path), err)
	}
	names, err := f.Readdirnames(-1)
	if err != nil && !vanished(err) {
		return nil, fmt.Errorf("listing %s: %w", Quote(path), err)
	}
	slices.Sort(names)
	for _, name := range names {
		below := name
		if path != "" {
			below = path + "/" + name
		}
		child, err := scanEntry(below, int(f.Fd()), name)
		if err != nil {
			return nil, err
		}
		if child != nil {
			n.SetChild(name, child)
		}
	}
	return n, nil
}

// scanEntry reads the entry name of the directory parent; nil if it is gone.
func scanEntry(path string, parent int, name string) (*tree.Node, error) {
	fd, err := openEntry(parent, name, unix.O_PATH)
	switch {
	case vanished(err):
		return nil, nil
	case errors.Is(err, unix.EXDEV):
		return &tree.Node{Mode: covered}, nil
	case err != nil:
		return nil, fmt.Errorf("opening %s: %w", Quote(path), err)
	}
	defer unix.Close(fd)
	n, err := readMeta(fd)
	if err != nil {
		return nil, fmt.Errorf("reading metadata of %s: %w", Quote(path), err)
	}
	switch n.Type() {
	case tree.TypeDir:
		f, err := reopen(fd, unix.O_DIRECTORY)
		if vanished(err) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("opening %s: %w", Quote(path), err)
		}
		defer f.Close()
		return scanDir(path, f)
	case tree.TypeRegular:
		f, err := reopen(fd, 0)
		if vanished(err) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("opening %s: %w", Quote(path), err)
		}
		defer f.Close()
		if err := readStable(f, n); err != nil {
			return nil, fmt.Errorf("reading %s: %w", Quote(path), err)
		}
	}
	return n, nil
}

// readStable reads content until size and times stay the same over a reading,
// at most four times; a file that is written all the time has no better
// content than the last one read.
func readStable(f *os.File, n *tree.Node) error {
	for range 4 {
		before, err := f.Stat()
		if err != nil {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := readContent(f, n); err != nil {
			return err
		}
		after, err := f.Stat()
		if err != nil {
			return err
		}
		if before.Size() == after.Size() && before.ModTime().Equal(after.ModTime()) && after.Size() == int64(n.Size) {
			break
		}
	}
	return nil
}

func readContent(r io.Reader, n *tree.Node) error {
	var head [inlineMax + 1]byte
	got, err := io.ReadFull(r, head[:])
	n.Content, n.Object = nil, verity.Digest{}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		n.Size = uint64(got)
		if got > 0 {
			n.Content = slices.Clone(head[:got])
		}
		return nil
	}
	if err != nil {
		return err
	}
	h := verity.New(verity.SHA512)
	if _, err := h.Write(head[:]); err != nil {
		return err
	}
	rest, err := io.Copy(h, r)
	if err != nil {
		return err
	}
	n.Size = uint64(got) + uint64(rest)
	n.Object = h.Sum()
	return nil
}

// readMeta reads what a node is apart from content and entries. The descriptor
// may be one of O_PATH.
func readMeta(fd int) (*tree.Node, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
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
	case tree.TypeChar, tree.TypeBlock:
		major, minor := unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))
		n.Rdev = minor&0xff | major<<8 | (minor&^0xff)<<12
	case tree.TypeRegular:
		n.Size = uint64(st.Size)
	case tree.TypeSymlink:
		if n.Target, err = readlink(fd); err != nil {
			return nil, err
		}
	}
	n.Xattrs, err = readXattrs(fd)
	return n, err
}

func readlink(fd int) (string, error) {
	for size := 256; ; size *= 2 {
		buf := make([]byte, size)
		n, err := unix.Readlinkat(fd, "", buf)
		if err != nil {
			return "", err
		}
		if n < size {
			return string(buf[:n]), nil
		}
	}
}
