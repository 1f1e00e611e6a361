package erofs

import (
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// An attr is an extended attribute as it is stored. What names an object is
// written out only where it is needed.
type attr struct {
	name   string
	value  string
	digest verity.Digest
	form   form
}

// A form says what the value of an attribute is made of.
type form byte

const (
	formPlain    form = iota
	formMetacopy      // what tells overlayfs of the digest
	formObject        // the path of the digest's object
	formPath          // the value without the slash that it begins with
)

// size returns the length of the value.
func (a attr) size() int {
	switch a.form {
	case formMetacopy:
		return 4 + len(a.digest.Raw())
	case formObject:
		return 2 + 2*len(a.digest.Raw())
	case formPath:
		return 1 + len(a.value)
	}
	return len(a.value)
}

// appendValue appends the value.
func (a attr) appendValue(b []byte) []byte {
	switch a.form {
	case formMetacopy:
		b = append(b, 0, byte(a.size()), 0, byte(a.digest.Algorithm()))
		return append(b, a.digest.Raw()...)
	case formObject:
		return a.digest.AppendObjectPath(append(b, '/'))
	case formPath:
		b = append(b, '/')
	}
	return append(b, a.value...)
}

// xattr returns the attribute with its value written out.
func (a attr) xattr() tree.Xattr {
	if a.form == formPlain {
		return tree.Xattr{Name: a.name, Value: a.value}
	}
	return tree.Xattr{Name: a.name, Value: string(a.appendValue(nil))}
}

// attrs returns the attributes that are stored for an inode, in their order:
// what overlayfs would take for its own is escaped, what it shall find is added.
// They are valid until the next call.
func (b *builder) attrs(in *inode) []attr {
	n := in.node
	all := b.overlayAttrs(in, b.scratch[:0])
	if added := len(all); len(n.Xattrs) > 0 {
		for _, x := range n.Xattrs {
			if isOverlay(x) {
				x.Name = escapedPrefix + x.Name[len(overlayPrefix):]
			}
			if !slices.ContainsFunc(all[:added], func(a attr) bool { return a.name == x.Name }) {
				all = append(all, attr{name: x.Name, value: x.Value})
			}
		}
		if added > 0 {
			slices.SortFunc(all, func(x, y attr) int { return strings.Compare(x.name, y.name) })
		}
		if b.legacy() {
			legacyOrder(all)
		}
	}
	b.scratch = all[:0]
	return all
}

func isOverlay(x tree.Xattr) bool { return strings.HasPrefix(x.Name, overlayPrefix) }

// overlayAttrs appends the attributes that speak to overlayfs, sorted by name.
func (b *builder) overlayAttrs(in *inode, to []attr) []attr {
	n := in.node
	add := func(name, value string) { to = append(to, attr{name: name, value: value}) }
	switch {
	case n == b.stub:
	case n.IsRegular() && n.Size > 0 && n.Content == nil:
		return objectAttrs(n, to)
	case b.legacy():
	case n.IsWhiteout():
		add(escapedPrefix+"whiteout", "")
		add("user.overlay.whiteout", "")
	case n.IsDir():
		if in == &b.inodes[0] {
			add(opaqueName, "y")
		}
		opaque := in.whiteouts && b.version >= 1
		if opaque {
			add(escapedPrefix+"opaque", "x")
		}
		if in.whiteouts {
			add(escapedPrefix+"whiteouts", "")
		}
		if opaque {
			add("user.overlay.opaque", "x")
		}
		if in.whiteouts {
			add("user.overlay.whiteouts", "")
		}
	}
	return to
}

// objectAttrs appends what leads overlayfs to an object.
func objectAttrs(n *tree.Node, to []attr) []attr {
	known := !n.Object.IsZero()
	if known {
		to = append(to, attr{name: metacopyName, digest: n.Object, form: formMetacopy})
	} else {
		to = append(to, attr{name: metacopyName})
	}
	switch {
	case n.Payload == tree.NoPayload || n.Payload == "" && !known:
	case n.Payload == "":
		to = append(to, attr{name: redirectName, digest: n.Object, form: formObject})
	default:
		to = append(to, attr{name: redirectName, value: n.Payload, form: formPath})
	}
	return to
}

// check checks the attributes of an inode, as they are and as they are stored.
func (b *builder) check(in *inode) error {
	n := in.node
	if len(n.Xattrs) == 0 && n.Payload == "" {
		return nil // what is added is small
	}
	if err := tree.CheckXattrs(n.Xattrs); err != nil {
		return err
	}
	total, good := 12, true
	all := b.attrs(in)
	for _, a := range all {
		if a.name == "system.posix_acl_access" || a.name == "system.posix_acl_default" {
			b.hasACL = true
		}
		total += len(a.name) + a.size() + 7
		good = good && len(a.name) <= tree.MaxName
	}
	if good && total <= tree.MaxXattrs {
		return nil
	}
	stored := make([]tree.Xattr, 0, len(all))
	for _, a := range all {
		stored = append(stored, a.xattr())
	}
	slices.SortFunc(stored, func(x, y tree.Xattr) int { return strings.Compare(x.Name, y.Name) })
	return tree.CheckXattrs(stored)
}
