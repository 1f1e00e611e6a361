package custom

import (
	"fmt"
	"strings"

	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/tree"
)

// A view is the tree of the system that will run. Only what is in /etc and /var
// can be changed, and belongs to the disk; the rest is the image's.
type view struct {
	image  *tree.Tree // as it boots
	etc    *tree.Node
	varDir *tree.Node
	read   layer.Reader
	labels *layer.Labels
	mtime  tree.Time // of what is made
}

// maxLinks is how many links a path may lead through, as in the kernel.
const maxLinks = 40

// A place is where a path leads, without links. What is missing has nil nodes.
type place struct {
	names []string
	nodes []*tree.Node // of the root, and for each name
}

func (p place) String() string { return "/" + strings.Join(p.names, "/") }

func (p place) node() *tree.Node { return p.nodes[len(p.nodes)-1] }

// ours reports whether something may be put there.
func (p place) ours() bool {
	return len(p.names) > 1 && (p.names[0] == "etc" || p.names[0] == "var")
}

// up is the place of the directory.
func (p place) up() place {
	if len(p.names) == 0 {
		return p
	}
	return place{p.names[:len(p.names)-1], p.nodes[:len(p.nodes)-1]}
}

// child is a place in the directory.
func (v *view) child(p place, name string) place {
	var n *tree.Node
	switch {
	case p.node() == nil:
	case len(p.names) == 0 && name == "etc":
		n = v.etc
	case len(p.names) == 0 && name == "var":
		n = v.varDir
	default:
		n = p.node().Child(name)
	}
	return place{append(p.names[:len(p.names):len(p.names)], name), append(p.nodes[:len(p.nodes):len(p.nodes)], n)}
}

// find finds where a path leads. Links are followed, the last name only if
// follow is set.
func (v *view) find(path string, follow bool) (place, error) {
	top := place{nodes: []*tree.Node{v.image.Root}}
	at, links := top, 0
	for todo := strings.Split(path, "/"); len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = at.up()
			continue
		}
		if n := at.node(); n != nil && !n.IsDir() {
			return at, fmt.Errorf("%s is not a directory", at)
		}
		if err := tree.CheckName(name); err != nil {
			return at, err
		}
		next := v.child(at, name)
		if n := next.node(); n != nil && n.IsSymlink() && (follow || len(todo) > 0) {
			if links++; links > maxLinks {
				return at, fmt.Errorf("%s leads through more than %d links", path, maxLinks)
			}
			if strings.HasPrefix(n.Target, "/") {
				at = top
			}
			todo = append(strings.Split(n.Target, "/"), todo...)
			continue
		}
		at = next
	}
	return at, nil
}

// findOurs finds a place where something may be put.
func (v *view) findOurs(path string, follow bool) (place, error) {
	p, err := v.find(path, follow)
	if err == nil && !p.ours() {
		err = fmt.Errorf("%s is in the image at %s, where nothing can be added: only /etc and /var can be written", path, p)
	}
	return p, err
}

// maxFile bounds what is read of an image into memory, in bytes: its accounts,
// keys of a user.
const maxFile = 16 << 20

// readFile reads a file; nil if it is not there.
func (v *view) readFile(path string) ([]byte, error) {
	p, err := v.find(path, true)
	if err != nil || p.node() == nil {
		return nil, err
	}
	data, err := v.content(p)
	if data == nil {
		data = []byte{}
	}
	return data, err
}

// content reads what is at a place.
func (v *view) content(p place) ([]byte, error) {
	switch n := p.node(); {
	case !n.IsRegular():
		return nil, fmt.Errorf("%s of the image is not a regular file", p)
	case n.Size > maxFile:
		return nil, fmt.Errorf("%s of the image has %d bytes, at most %d are possible", p, n.Size, maxFile)
	default:
		return v.read(n)
	}
}

// put makes or replaces what is at a place, in a directory that is there. The
// result is where it is.
func (v *view) put(p place, n *tree.Node) (place, error) {
	if err := v.labels.Set(p.String(), n); err != nil {
		return p, err
	}
	name := p.names[len(p.names)-1]
	p.up().node().SetChild(name, n)
	return v.child(p.up(), name), nil
}

// putDir makes a directory; those above that are missing belong to root.
func (v *view) putDir(p place, dir tree.Node) (place, error) {
	up := p.up()
	if up.node() == nil {
		var err error
		if up, err = v.putDir(up, tree.Node{Mode: 0o755}); err != nil {
			return p, err
		}
	}
	dir.Mode |= tree.TypeDir
	dir.Mtime = v.mtime
	return v.put(v.child(up, p.names[len(p.names)-1]), &dir)
}

// putFile makes or replaces a file.
func (v *view) putFile(p place, file tree.Node, data []byte) error {
	if n := p.node(); n != nil && !n.IsRegular() {
		return fmt.Errorf("%s of the image is not a regular file", p)
	}
	file.Mode |= tree.TypeRegular
	file.Mtime, file.Content, file.Size = v.mtime, data, uint64(len(data))
	_, err := v.put(p, &file)
	return err
}

// copyTo copies what is in a directory to another one, for a new owner.
func (v *view) copyTo(to place, from *tree.Node, uid, gid uint32) error {
	for name, n := range from.Entries() {
		c := &tree.Node{
			Mode: n.Mode, UID: uid, GID: gid, Rdev: n.Rdev, Mtime: n.Mtime,
			Size: n.Size, Content: n.Content, Object: n.Object, Payload: n.Payload, Target: n.Target,
		}
		p, err := v.put(v.child(to, name), c)
		if err != nil {
			return err
		}
		if n.IsDir() {
			if err := v.copyTo(p, n, uid, gid); err != nil {
				return err
			}
		}
	}
	return nil
}
