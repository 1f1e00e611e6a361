package custom

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/blueprint"
	"github.com/bootc-go/bootc/internal/format/tree"
)

// A Mount is a file system of its own below /var, or swap space.
type Mount struct {
	blueprint.Partition
	UUID string // by which the system finds it, as fstab(5) has it
}

// TakeOut takes what is to be in file systems of their own out of the system, and lets
// the system mount them. It returns what is in each, nil for swap space. Errors begin
// with the name of a key.
func TakeOut(all []Mount, s System) ([]*tree.Tree, error) {
	if len(all) == 0 {
		return nil, nil
	}
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	trees := make([]*tree.Tree, len(all))
	for _, k := range deepestFirst(all) {
		m := all[k]
		if m.Filesystem == "swap" {
			continue
		}
		if trees[k], err = v.takeOut(m.Mount); err != nil {
			return nil, fmt.Errorf("%s.mountpoint: %w", m.Key, err)
		}
	}
	return trees, v.writeFstab(all)
}

// deepestFirst puts in front those that are mounted inside of others.
func deepestFirst(all []Mount) []int {
	order := make([]int, len(all))
	for k := range order {
		order[k] = k
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(all[b].Mount), len(all[a].Mount)) })
	return order
}

// takeOut makes the directory at a path the root of a tree. An empty one like it
// stays, to mount the file system on.
func (v *view) takeOut(path string) (*tree.Tree, error) {
	p, err := v.find(path, true)
	switch {
	case err != nil:
		return nil, err
	case p.String() != path:
		return nil, fmt.Errorf("in the image %s leads to %s", path, p)
	case p.node() == nil:
		if p, err = v.putDir(p, tree.Node{Mode: 0o755}); err != nil {
			return nil, err
		}
	case !p.node().IsDir():
		return nil, fmt.Errorf("%s of the image is not a directory", p)
	}
	n := p.node()
	p.up().node().SetChild(p.names[len(p.names)-1], &tree.Node{Mode: n.Mode, UID: n.UID, GID: n.GID, Mtime: n.Mtime, Xattrs: n.Xattrs})
	return &tree.Tree{Root: n}, nil
}

// writeFstab adds the file systems to fstab(5).
func (v *view) writeFstab(all []Mount) error {
	const name = "/etc/fstab"
	data, err := v.readFile(name)
	if err != nil {
		return err
	}
	text := string(data)
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	for _, m := range all {
		if m.Filesystem == "swap" {
			text += "UUID=" + m.UUID + " none swap defaults 0 0\n"
			continue
		}
		if mounts(string(data), m.Mount) {
			return fmt.Errorf("%s.mountpoint: %s of the image mounts something at %s already", m.Key, name, m.Mount)
		}
		text += fmt.Sprintf("UUID=%s %s %s defaults 0 2\n", m.UUID, m.Mount, m.Filesystem)
	}
	p, err := v.findOurs(name, true)
	if err != nil {
		return err
	}
	file := tree.Node{Mode: 0o644}
	if n := p.node(); n != nil {
		file = tree.Node{Mode: n.Mode, UID: n.UID, GID: n.GID}
	}
	return v.putFile(p, file, []byte(text))
}

// mounts reports whether an fstab has a place.
func mounts(fstab, place string) bool {
	for line := range strings.Lines(fstab) {
		if f := strings.Fields(line); len(f) > 1 && !strings.HasPrefix(f[0], "#") && f[1] == place {
			return true
		}
	}
	return false
}
