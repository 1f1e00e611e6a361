package etc

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// readXattrs reads all extended attributes that this process may see, sorted
// by name. The descriptor may be one of O_PATH.
func readXattrs(fd int) ([]tree.Xattr, error) {
	path := procPath(fd)
	list, err := grow(func(buf []byte) (int, error) { return unix.Listxattr(path, buf) })
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing extended attributes: %w", err)
	}
	var all []tree.Xattr
	for name := range strings.SplitSeq(string(list), "\x00") {
		if name == "" {
			continue
		}
		value, err := grow(func(buf []byte) (int, error) { return unix.Getxattr(path, name, buf) })
		if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading extended attribute %q: %w", name, err)
		}
		all = append(all, tree.Xattr{Name: name, Value: string(value)})
	}
	slices.SortFunc(all, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// grow calls f with larger buffers until the answer fits. 64 KiB is the
// kernel's limit for values and lists.
func grow(f func([]byte) (int, error)) ([]byte, error) {
	for size := 1 << 10; ; size <<= 2 {
		buf := make([]byte, size)
		n, err := f(buf)
		if errors.Is(err, unix.ERANGE) && size < 1<<20 {
			continue
		}
		if err != nil {
			return nil, err
		}
		return buf[:n], nil
	}
}

// writeXattrs gives a node exactly the attributes wanted. Labels that the
// security module of this machine gave it by itself stay if none is wanted.
func writeXattrs(fd int, want []tree.Xattr) error {
	have, err := readXattrs(fd)
	if err != nil {
		return err
	}
	path := procPath(fd)
	wanted := &tree.Node{Xattrs: want}
	for _, x := range have {
		if _, ok := wanted.Xattr(x.Name); ok {
			continue
		}
		err := unix.Removexattr(path, x.Name)
		if err != nil && !errors.Is(err, unix.ENODATA) && !isLabel(x.Name) {
			return fmt.Errorf("removing extended attribute %q: %w", x.Name, err)
		}
	}
	present := &tree.Node{Xattrs: have}
	for _, x := range want {
		if v, ok := present.Xattr(x.Name); ok && v == x.Value {
			continue
		}
		if err := unix.Setxattr(path, x.Name, []byte(x.Value), 0); err != nil {
			return fmt.Errorf("setting extended attribute %q: %w", x.Name, err)
		}
	}
	return nil
}

func isLabel(name string) bool {
	return name == "security.selinux" || strings.HasPrefix(name, "security.SMACK64")
}
