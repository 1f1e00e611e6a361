package custom

import (
	"bytes"
	"slices"

	"github.com/bootc-go/bootc/internal/format/accounts"
	"github.com/bootc-go/bootc/internal/format/tree"
)

// RootKeys is a file for systemd-tmpfiles that makes the SSH keys of root at boot,
// below /etc: an installation writes it.
const RootKeys = "tmpfiles.d/bootc-root-ssh.conf"

// Access is who can log in to a system.
type Access struct {
	Names []string // users with a password or SSH keys, sorted
	Admin string   // the group whose members may become root, "" if there is none
}

// ReadAccess finds out who can log in, as far as the system itself says. Nothing is
// changed.
func ReadAccess(s System) (Access, error) {
	c := &customizer{view: &view{image: s.Image, etc: s.Etc, varDir: s.Var, read: s.Read}}
	db, err := c.readAccounts(0)
	if err != nil {
		return Access{}, err
	}
	var a Access
	for _, l := range db.Logins() {
		keys := false
		if !l.Password {
			if keys, err = c.hasKeys(l); err != nil {
				return Access{}, err
			}
		}
		if l.Password || keys {
			a.Names = append(a.Names, l.Name)
		}
	}
	slices.Sort(a.Names)
	for _, group := range []string{"wheel", "sudo"} {
		if _, ok := db.Group(group); ok && a.Admin == "" {
			a.Admin = group
		}
	}
	return a, nil
}

// hasKeys reports whether a user has SSH keys.
func (c *customizer) hasKeys(l accounts.Login) (bool, error) {
	if l.Name == "root" && (&tree.Tree{Root: c.etc}).Lookup(RootKeys) != nil {
		return true, nil
	}
	p, err := c.find(l.Home+"/.ssh/authorized_keys", true)
	if err != nil || p.node() == nil || !p.node().IsRegular() {
		return false, nil // a home that leads nowhere has none
	}
	data, err := c.content(p)
	return len(bytes.TrimSpace(data)) > 0, err
}
