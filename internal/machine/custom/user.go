package custom

import (
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/accounts"
	"github.com/bootc-go/bootc/internal/format/blueprint"
	"github.com/bootc-go/bootc/internal/format/tree"
)

// users makes or changes the users, first those whose IDs are given.
func (c *customizer) users() error {
	home, shell, err := c.defaults()
	if err != nil {
		return err
	}
	for _, u := range explicitFirst(c.want.Users, func(u blueprint.User) bool { return u.UID != nil }) {
		if _, ok := c.accounts.User(u.Name); !ok {
			if u.Home == "" {
				u.Home = path.Join(home, u.Name)
			}
			if u.Shell == "" {
				u.Shell = shell
			}
		}
		if err := c.user(u); err != nil {
			return err
		}
	}
	return nil
}

// defaults are the directory of homes and the shell of users that are made: what
// /etc/default/useradd says.
func (c *customizer) defaults() (home, shell string, err error) {
	home, shell = "/home", "/bin/sh"
	if p, err := c.find("/bin/bash", true); err == nil && p.node() != nil {
		shell = "/bin/bash"
	}
	data, err := c.readFile("/etc/default/useradd")
	for line := range strings.Lines(string(data)) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), "="); {
		case value == "" || !path.IsAbs(value):
		case key == "HOME":
			home = value
		case key == "SHELL":
			shell = value
		}
	}
	return home, shell, err
}

func (c *customizer) user(u blueprint.User) error {
	hash, err := c.hash(u)
	if err != nil {
		return fmt.Errorf("%s.password: %w", u.Key, err)
	}
	if u.Shell != "" {
		if p, err := c.find(u.Shell, true); err != nil || p.node() == nil {
			return fmt.Errorf("%s.shell: the image has no %s", u.Key, u.Shell)
		}
	}
	e, isNew, err := c.accounts.SetUser(accounts.User{
		Name: u.Name, Description: u.Description, Hash: hash, Home: u.Home, Shell: u.Shell, Groups: u.Groups,
		UID: u.UID, GID: u.GID, Expires: u.Expires, Reset: u.Reset,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", u.Key, err)
	}
	if !isNew && u.SSHKeys == "" && u.Home == "" {
		return nil
	}
	home, err := c.home(e, isNew)
	if err != nil {
		return fmt.Errorf("%s.home: %w", u.Key, err)
	}
	if u.SSHKeys == "" {
		return nil
	}
	if err := c.sshKeys(home, e, u.SSHKeys); err != nil {
		return fmt.Errorf("%s.key: %w", u.Key, err)
	}
	return nil
}

// hash hashes a password that is in the clear. The salt is always the same for
// the same image, seed and user, as all of the disk is. It must not be made of
// the password, which could be guessed from it.
func (c *customizer) hash(u blueprint.User) (string, error) {
	if u.Password == "" || accounts.IsHash(u.Password) {
		return u.Password, accounts.CheckHash(u.Password)
	}
	sum := sha256.Sum256([]byte("bootc password\x00" + c.salt + "\x00" + u.Name))
	return accounts.Hash(u.Password, [16]byte(sum[:]))
}

// home finds the home of a user. One that is missing is made, for a new user with
// what is in /etc/skel.
func (c *customizer) home(e accounts.Entry, isNew bool) (place, error) {
	p, err := c.findOurs(e.Home, true)
	if err != nil {
		return p, err
	}
	if n := p.node(); n != nil {
		if !n.IsDir() {
			return p, fmt.Errorf("%s of the image is not a directory", p)
		}
		return p, nil
	}
	p, err = c.putDir(p, tree.Node{Mode: 0o700, UID: e.UID, GID: e.GID})
	if err != nil || !isNew {
		return p, err
	}
	skeleton, err := c.find("/etc/skel", true)
	if n := skeleton.node(); err != nil || n == nil || !n.IsDir() {
		return p, err
	}
	return p, c.copyTo(p, skeleton.node(), e.UID, e.GID)
}

// sshKeys adds lines to the authorized_keys of a user.
func (c *customizer) sshKeys(home place, e accounts.Entry, keys string) error {
	dir := c.child(home, ".ssh")
	if n := dir.node(); n == nil {
		var err error
		if dir, err = c.putDir(dir, tree.Node{Mode: 0o700, UID: e.UID, GID: e.GID}); err != nil {
			return err
		}
	} else if !n.IsDir() {
		return fmt.Errorf("%s of the image is not a directory", dir)
	}
	file := c.child(dir, "authorized_keys")
	var lines []string
	if file.node() != nil {
		has, err := c.content(file)
		if err != nil {
			return err
		}
		lines = split(string(has))
	}
	for _, line := range split(keys) {
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return c.putFile(file, tree.Node{Mode: 0o600, UID: e.UID, GID: e.GID}, []byte(strings.Join(lines, "\n")+"\n"))
}

func split(text string) []string { return strings.Split(strings.TrimRight(text, "\n"), "\n") }
