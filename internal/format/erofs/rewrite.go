package erofs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// rewrite sets the mode and the extended attributes that are stored for a
// node: what overlayfs would take for its own is escaped, what it shall find
// is added.
func (b *builder) rewrite(in *inode) error {
	n := in.node
	in.mode = n.Mode
	if err := tree.CheckXattrs(n.Xattrs); err != nil {
		return in.wrap(err)
	}
	added := in.overlayXattrs(b.version)
	if n.IsWhiteout() && !in.stub && !b.legacy() {
		in.mode = tree.TypeRegular | n.Perm()
	}
	if len(added) == 0 && !slices.ContainsFunc(n.Xattrs, isOverlay) {
		in.xattrs = n.Xattrs
	} else {
		in.xattrs = merge(n.Xattrs, added)
		if err := tree.CheckXattrs(in.xattrs); err != nil {
			return in.wrap(err)
		}
		if b.legacy() {
			legacyXattrs(in.xattrs)
		}
	}
	for _, x := range in.xattrs {
		if x.Name == "system.posix_acl_access" || x.Name == "system.posix_acl_default" {
			b.hasACL = true
		}
	}
	return nil
}

func isOverlay(x tree.Xattr) bool { return strings.HasPrefix(x.Name, overlayPrefix) }

// overlayXattrs returns the attributes that speak to overlayfs.
func (in *inode) overlayXattrs(version uint32) []tree.Xattr {
	n := in.node
	var added []tree.Xattr
	add := func(name, value string) { added = append(added, tree.Xattr{Name: name, Value: value}) }
	switch {
	case in.stub:
	case n.IsRegular() && n.Size > 0 && n.Content == nil:
		add(metacopyName, metacopy(n))
		if p := payload(n); p != "" {
			add(redirectName, "/"+p)
		}
	case version == 2:
	case n.IsWhiteout():
		add(escapedPrefix+"whiteout", "")
		add("user.overlay.whiteout", "")
	case in.whiteouts:
		add(escapedPrefix+"whiteouts", "")
		add("user.overlay.whiteouts", "")
		if version >= 1 {
			add(escapedPrefix+"opaque", "x")
			add("user.overlay.opaque", "x")
		}
	}
	if in.ino == 0 && version != 2 {
		add(opaqueName, "y")
	}
	return added
}

// merge escapes the attributes of a node and sets those that are added.
func merge(xattrs, added []tree.Xattr) []tree.Xattr {
	all := make([]tree.Xattr, 0, len(xattrs)+len(added))
	for _, x := range xattrs {
		if isOverlay(x) {
			x.Name = escapedPrefix + x.Name[len(overlayPrefix):]
		}
		if !slices.ContainsFunc(added, func(y tree.Xattr) bool { return x.Name == y.Name }) {
			all = append(all, x)
		}
	}
	all = append(all, added...)
	slices.SortFunc(all, func(x, y tree.Xattr) int { return strings.Compare(x.Name, y.Name) })
	return all
}

// metacopy is the value that tells overlayfs the digest of the object.
func metacopy(n *tree.Node) string {
	if n.Object.IsZero() {
		return ""
	}
	sum := n.Object.Bytes()
	return string(append([]byte{0, byte(4 + len(sum)), 0, byte(n.Object.Algorithm())}, sum...))
}

// payload returns the path of the object, nothing if there is none.
func payload(n *tree.Node) string {
	switch n.Payload {
	case "":
		return n.Object.ObjectPath()
	case tree.NoPayload:
		return ""
	}
	return n.Payload
}

// wrap adds to an error which inode it is about.
func (in *inode) wrap(err error) error {
	name := in.homeName
	if in.dirents != nil {
		name = "a directory"
		for _, d := range in.dirents {
			if d.name != ".." {
				continue
			}
			for _, e := range d.in.dirents {
				if e.in == in && e.name != "." {
					name = e.name
				}
			}
		}
	}
	return fmt.Errorf("%q: %w", name, err)
}
