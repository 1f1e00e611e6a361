// Package custom puts what an owner wants beside the image into the /etc and the /var
// of a deployment: users, groups, directories, files, a seed for cloud-init. What is to be
// in file systems of their own is taken out again.
//
// It works on trees in memory and knows nothing of disks; who makes a file system of
// the trees, or writes them to one, is its caller.
package custom

import (
	"fmt"
	"slices"

	"github.com/bootc-go/bootc/internal/format/accounts"
	"github.com/bootc-go/bootc/internal/format/blueprint"
	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/tree"
)

// A System is what is changed, and what that is seen from.
type System struct {
	Image *tree.Tree // as it boots; not changed
	// Etc and Var are the deployment's own directories, which are changed.
	Etc, Var *tree.Node
	Read     layer.Reader // the content of a file of any of the three
	Now      int64        // dates what is made, in seconds since 1970
	Salt     string       // what the salts of passwords, and the names of machines, are made of
}

// Apply puts into the system what is wanted. Errors begin with the name of a key.
func Apply(want *blueprint.Blueprint, s System) error {
	if len(want.Groups)+len(want.Users)+len(want.Directories)+len(want.Files) == 0 {
		return nil
	}
	v, err := s.view()
	if err != nil {
		return err
	}
	c := &customizer{view: v, want: want, salt: s.Salt}
	return c.apply(s.Now / (24 * 60 * 60))
}

// view looks at the system, to change it.
func (s System) view() (v *view, err error) {
	v = &view{image: s.Image, etc: s.Etc, varDir: s.Var, read: s.Read, mtime: tree.Time{Sec: s.Now}}
	v.labels, err = layer.ReadLabels(s.Image, v.read)
	return v, err
}

// A customizer puts into the trees what is wanted there.
type customizer struct {
	*view
	want     *blueprint.Blueprint
	accounts *accounts.DB
	salt     string
}

// apply makes what is wanted; a password is set on the given day since 1970.
func (c *customizer) apply(day int64) error {
	var err error
	if c.accounts, err = c.readAccounts(day); err != nil {
		return err
	}
	if err := c.groups(); err != nil {
		return err
	}
	if err := c.users(); err != nil {
		return err
	}
	if err := c.writeAccounts(); err != nil {
		return err
	}
	for _, d := range c.want.Directories {
		if err := c.directory(d); err != nil {
			return fmt.Errorf("%s.%w", d.Key, err)
		}
	}
	for _, f := range c.want.Files {
		if err := c.file(f); err != nil {
			return fmt.Errorf("%s.%w", f.Key, err)
		}
	}
	return nil
}

// readAccounts reads users and groups.
func (c *customizer) readAccounts(day int64) (*accounts.DB, error) {
	files := map[string][]byte{}
	for _, name := range accounts.Names() {
		data, err := c.readFile(name)
		if err != nil {
			return nil, err
		}
		if data != nil {
			files[name] = data
		}
	}
	return accounts.Parse(files, day), nil
}

// groups makes the groups, first those whose IDs are given.
func (c *customizer) groups() error {
	for _, g := range explicitFirst(c.want.Groups, func(g blueprint.Group) bool { return g.GID != nil }) {
		if err := c.accounts.AddGroup(g.Name, g.GID); err != nil {
			return fmt.Errorf("%s: %w", g.Key, err)
		}
	}
	return nil
}

// explicitFirst puts in front what is explicit, so that it is not taken by what
// is not.
func explicitFirst[T any](all []T, explicit func(T) bool) []T {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b T) int {
		switch {
		case explicit(a) == explicit(b):
			return 0
		case explicit(a):
			return -1
		}
		return 1
	})
	return all
}

// writeAccounts writes the files of users and groups. Owner and permissions stay.
func (c *customizer) writeAccounts() error {
	changed := c.accounts.Changed()
	for _, name := range accounts.Names() {
		data, ok := changed[name]
		if !ok {
			continue
		}
		p, err := c.findOurs(name, true)
		if err != nil {
			return err
		}
		file := tree.Node{Mode: 0o644}
		if name == accounts.Shadow {
			file.Mode = 0o600
		}
		if n := p.node(); n != nil {
			file = tree.Node{Mode: n.Mode, UID: n.UID, GID: n.GID, Xattrs: n.Xattrs}
		}
		if err := c.putFile(p, file, data); err != nil {
			return err
		}
	}
	return nil
}

// setStat gives a node the owner and the permissions that are wanted; others stay.
func (c *customizer) setStat(n *tree.Node, want blueprint.Node) error {
	if want.Mode != nil {
		n.Mode = n.Type() | *want.Mode
	}
	if o := want.User; o != nil {
		n.UID = o.ID
		if o.Name != "" {
			e, ok := c.accounts.User(o.Name)
			if !ok {
				return fmt.Errorf("user: the image has no user %q", o.Name)
			}
			n.UID = e.UID
		}
	}
	if o := want.Group; o != nil {
		n.GID = o.ID
		if o.Name != "" {
			gid, ok := c.accounts.Group(o.Name)
			if !ok {
				return fmt.Errorf("group: the image has no group %q", o.Name)
			}
			n.GID = gid
		}
	}
	return nil
}

func (c *customizer) directory(d blueprint.Directory) error {
	p, err := c.findOurs(d.Path, false)
	if err != nil {
		return fmt.Errorf("path: %w", err)
	}
	switch n := p.node(); {
	case n != nil && n.IsDir():
		return c.setStat(n, d.Node)
	case n != nil:
		return fmt.Errorf("path: %s of the image is not a directory", d.Path)
	case p.up().node() == nil && !d.Parents:
		return fmt.Errorf("path: the image has no directory %s, and ensure_parents is not set", p.up())
	}
	dir := tree.Node{Mode: 0o755}
	if err := c.setStat(&dir, d.Node); err != nil {
		return err
	}
	if _, err := c.putDir(p, dir); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	return nil
}

func (c *customizer) file(f blueprint.File) error {
	p, err := c.findOurs(f.Path, false)
	if err != nil {
		return fmt.Errorf("path: %w", err)
	}
	if p.up().node() == nil {
		return fmt.Errorf("path: the image has no directory %s; customizations.directories can make it", p.up())
	}
	file := tree.Node{Mode: 0o644}
	if err := c.setStat(&file, f.Node); err != nil {
		return err
	}
	if err := c.putFile(p, file, []byte(f.Data)); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	return nil
}
