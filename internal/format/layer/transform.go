package layer

import (
	"fmt"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// Options choose between ways of making a tree that exist in images that name
// their digest. The zero value is how trees are made now.
type Options struct {
	// KeepUserXattrs keeps user.* attributes, as well as security.capability.
	KeepUserXattrs bool
	// KeepNanoseconds leaves the nanoseconds of the times of /boot and
	// /sysroot, as bootc 1.16 does.
	KeepNanoseconds bool
}

// A Reader reads the whole content of a regular file of the image.
type Reader = func(*tree.Node) ([]byte, error)

// Plain is [Options.Plain] with the zero Options.
func Plain(t *tree.Tree) error { return Options{}.Plain(t) }

// Boot is [Options.Boot] with the zero Options.
func Boot(t *tree.Tree, read Reader) error { return Options{}.Boot(t, read) }

// Plain makes the tree of an image what composefs stores: the root has the
// attributes of /usr, /run is empty, only file capabilities are left of the
// extended attributes. Links are counted. The tree is changed in place, and not
// at all when there is an error.
func (o Options) Plain(t *tree.Tree) error {
	usr, err := directory(t, "usr")
	if err != nil {
		return err
	}
	run := t.Root.Child("run")
	if run != nil {
		if run, err = directory(t, "run"); err != nil {
			return err
		}
	}
	setStat(t.Root, usr)
	if run != nil {
		run.RemoveChildren()
		run.Mtime = usr.Mtime
	}
	_ = t.Walk(func(_ string, n *tree.Node) error {
		n.Xattrs = o.keep(n.Xattrs)
		return nil
	})
	t.CountLinks()
	return nil
}

// keep returns a new list of the attributes that stay.
func (o Options) keep(all []tree.Xattr) []tree.Xattr {
	var kept []tree.Xattr
	for _, x := range all {
		if x.Name == "security.capability" || o.KeepUserXattrs && strings.HasPrefix(x.Name, "user.") {
			kept = append(kept, x)
		}
	}
	return kept
}

// Boot makes a tree that Plain has made what a machine boots: /boot and
// /sysroot are empty, and everything has the label that the image's SELinux
// policy gives it, if it has a policy. Links are counted. The tree is changed in
// place, and not at all when there is an error.
func (o Options) Boot(t *tree.Tree, read Reader) error {
	usr, err := directory(t, "usr")
	if err != nil {
		return err
	}
	var emptied []*tree.Node
	for _, name := range []string{"boot", "sysroot"} {
		d, err := directory(t, name)
		if err != nil {
			return err
		}
		emptied = append(emptied, d)
	}
	if err := checkResources(t, read); err != nil {
		return err
	}
	labels, err := findLabels(t, read, emptied)
	if err != nil {
		return err
	}
	for _, d := range emptied {
		d.RemoveChildren()
		d.Mtime.Sec = usr.Mtime.Sec
		if !o.KeepNanoseconds {
			d.Mtime.Nsec = usr.Mtime.Nsec
		}
	}
	setLabels(labels)
	t.CountLinks()
	return nil
}

// directory returns a directory that the root must have.
func directory(t *tree.Tree, name string) (*tree.Node, error) {
	n := t.Root.Child(name)
	switch {
	case n == nil:
		return nil, fmt.Errorf("the image has no directory /%s: add `RUN mkdir /%s` to its Containerfile", name, name)
	case n.IsSymlink():
		return nil, fmt.Errorf("/%s of the image is a symbolic link to %s, not a directory: add `RUN rm /%s && mkdir /%s` to its Containerfile", name, quote(n.Target), name, name)
	case !n.IsDir():
		return nil, fmt.Errorf("/%s of the image is not a directory: add `RUN rm /%s && mkdir /%s` to its Containerfile", name, name, name)
	}
	return n, nil
}

// lookup finds a path of which every part but the last must be a directory; nil
// if something is missing. [tree.Tree.Lookup] does not tell what is missing
// from what is behind a symbolic link.
func lookup(t *tree.Tree, path string) (*tree.Node, error) {
	n := t.Root
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if !n.IsDir() {
			return nil, fmt.Errorf("the path %s of the image goes through something that is not a directory", quote(path))
		}
		if n = n.Child(name); n == nil {
			return nil, nil
		}
	}
	return n, nil
}
