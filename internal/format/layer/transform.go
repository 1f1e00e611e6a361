package layer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// Plain makes the tree of an image what composefs stores: the root has the
// attributes of /usr, /run is empty, only file capabilities are left of the
// extended attributes. Links are counted.
func Plain(t *tree.Tree) error {
	usr, err := directory(t, "usr")
	if err != nil {
		return err
	}
	if usr == nil {
		return errors.New("the image has no directory /usr")
	}
	setStat(t.Root, usr)
	run, err := directory(t, "run")
	if err != nil {
		return err
	}
	if run != nil {
		run.RemoveChildren()
		run.Mtime = usr.Mtime
	}
	err = t.Walk(func(_ string, n *tree.Node) error {
		if value, ok := n.Xattr("security.capability"); ok {
			n.Xattrs = []tree.Xattr{{Name: "security.capability", Value: value}}
		} else {
			n.Xattrs = nil
		}
		return nil
	})
	t.CountLinks()
	return err
}

// A PolicyError means that the image has an SELinux policy, whose labels are
// part of the tree that boots.
type PolicyError struct{ Type string }

func (e *PolicyError) Error() string {
	return fmt.Sprintf("the image has the SELinux policy %q, whose labels are not supported yet", e.Type)
}

// Boot makes a tree that Plain has made what a machine boots: /boot and
// /sysroot are empty. read reads the whole content of a regular file. An image
// with an SELinux policy is a [*PolicyError].
func Boot(t *tree.Tree, read func(*tree.Node) ([]byte, error)) error {
	usr, err := directory(t, "usr")
	if err != nil {
		return err
	}
	for _, name := range []string{"boot", "sysroot"} {
		d, err := directory(t, name)
		if err != nil {
			return err
		}
		if d == nil {
			return fmt.Errorf("the image has no directory /%s; add RUN mkdir /%s", name, name)
		}
	}
	if err := checkEntries(t, read); err != nil {
		return err
	}
	for _, name := range []string{"boot", "sysroot"} {
		d := t.Root.Child(name)
		d.RemoveChildren()
		d.Mtime = usr.Mtime
	}
	t.CountLinks()
	policy, err := selinuxType(t, read)
	if err == nil && policy != "" {
		err = &PolicyError{policy}
	}
	return err
}

// directory returns an entry of the root, nil if there is none.
func directory(t *tree.Tree, name string) (*tree.Node, error) {
	n := t.Root.Child(name)
	if n != nil && !n.IsDir() {
		return nil, fmt.Errorf("/%s of the image is not a directory; add RUN rm /%s && mkdir /%s", name, name, name)
	}
	return n, nil
}

// checkEntries refuses an image with a boot loader entry that names a file
// which is not in the image.
func checkEntries(t *tree.Tree, read func(*tree.Node) ([]byte, error)) error {
	dir := t.Lookup("/boot/loader/entries")
	if dir == nil || !dir.IsDir() {
		return nil
	}
	for _, name := range dir.Names() {
		n := dir.Child(name)
		if !strings.HasSuffix(name, ".conf") || !n.IsRegular() {
			continue
		}
		data, err := read(n)
		if err != nil {
			return fmt.Errorf("reading /boot/loader/entries/%s: %w", name, err)
		}
		for line := range strings.Lines(string(data)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			value = strings.TrimSpace(value)
			if (key == "linux" || key == "initrd") && t.Lookup(value) == nil {
				return fmt.Errorf("/boot/loader/entries/%s of the image names %q, which is not in the image", name, value)
			}
		}
	}
	return nil
}

// selinuxType returns the policy that /etc/selinux/config names.
func selinuxType(t *tree.Tree, read func(*tree.Node) ([]byte, error)) (string, error) {
	n := t.Lookup("/etc/selinux/config")
	if n == nil {
		return "", nil
	}
	if !n.IsRegular() {
		return "", errors.New("/etc/selinux/config of the image is not a regular file")
	}
	data, err := read(n)
	if err != nil {
		return "", fmt.Errorf("reading /etc/selinux/config: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		key, value, ok := strings.Cut(line, "=")
		if ok && strings.EqualFold(strings.TrimSpace(key), "SELINUXTYPE") {
			return strings.TrimSpace(value), nil
		}
	}
	return "", nil
}
