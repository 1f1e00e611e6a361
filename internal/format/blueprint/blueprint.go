// Package blueprint reads what an owner wants in a disk image beside the
// container image: config.toml in the format of bootc-image-builder, also as JSON.
//
// Each key of the format is either honoured, and then it is in a [Blueprint], or
// refused by its name; so is a key that the format does not have. Nothing is left
// out silently.
//
// The keys are in bootc-build-disk(8). Source: the blueprint reference of osbuild.
package blueprint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/bootc-go/bootc/internal/format/cmdline"
)

// A Blueprint is what is wanted. The Key of a value is its name in the file, for
// errors.
type Blueprint struct {
	Kargs      []string // more kernel arguments
	DiskSize   Size     // the least of the disk
	RootSize   Size     // the least of the root partition
	Partitions []Partition
	// Divided is set where something is said about the disk, if only that the usual
	// layout is wanted.
	Divided     bool
	Groups      []Group
	Users       []User
	Directories []Directory
	Files       []File
	Installer   Installer
}

// A Size is a number of bytes; 0 is any.
type Size struct {
	Key   string
	Bytes uint64
}

// A Partition is one beside the root.
type Partition struct {
	Key        string
	Mount      string // below /var; empty for swap space
	Filesystem string // "ext4", "vfat" or "swap"
	Label      string // of the file system; may be empty
	Size       uint64 // the least, in bytes
}

// A Group is one to make.
type Group struct {
	Key  string
	Name string
	GID  *uint32 // nil: any
}

// A User is one to make or, if the image has it, to change: what is empty stays
// as it is.
type User struct {
	Key         string
	Name        string
	Description string
	Password    string // in the clear or hashed
	SSHKeys     string // lines of authorized_keys
	Home        string
	Shell       string
	Groups      []string // beside its own
	UID, GID    *uint32
	Expires     *uint32 // days since 1970 after which the account is closed
	Reset       bool    // the password has to be changed at the first login
}

// A Directory is one to make, below /etc or /var.
type Directory struct {
	Node
	Parents bool // make those that are missing, too
}

// A File is one to write, below /etc or /var.
type File struct {
	Node
	Data string
}

// A Node is what files and directories have. What is nil is not said.
type Node struct {
	Key         string
	Path        string  // absolute and clean
	Mode        *uint32 // permissions
	User, Group *Owner
}

// An Owner is a user or a group by its name or, where that is empty, by its ID.
type Owner struct {
	Name string
	ID   uint32
}

// Parse reads a file. It is JSON if its name ends in .json or the text begins
// with a brace, otherwise TOML.
func Parse(name string, data []byte) (*Blueprint, error) {
	values, err := decode(name, data)
	if err != nil {
		return nil, err
	}
	p := &parser{}
	b := p.blueprint(&table{p: p, values: values})
	if p.err != nil {
		return nil, p.err
	}
	return b, b.check()
}

// ParseDisk reads only what a file says about the disk. The other keys of
// customizations, and those beside it that a blueprint does not need, are passed over
// and listed.
func ParseDisk(name string, data []byte) (b *Blueprint, passed []string, err error) {
	values, err := decode(name, data)
	if err != nil {
		return nil, nil, err
	}
	p := &parser{}
	t := &table{p: p, values: values}
	b = &Blueprint{}
	if c := t.table("customizations"); c != nil {
		b.sizes(c)
		passed = c.rest()
	}
	for _, key := range []string{"name", "description", "version"} {
		t.take(key)
	}
	passed = append(passed, t.rest()...)
	if p.err != nil {
		return nil, nil, p.err
	}
	return b, passed, b.check()
}

func decode(name string, data []byte) (map[string]any, error) {
	values := map[string]any{}
	if !strings.HasSuffix(name, ".json") && !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		_, err := toml.Decode(string(data), &values)
		return values, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&values); err != nil {
		return nil, fmt.Errorf("json: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("json: something follows after the end")
	}
	return values, nil
}

func (p *parser) blueprint(t *table) *Blueprint {
	for _, key := range []string{"name", "description", "version"} { // of the file itself
		t.string(key)
	}
	t.refuse(refusedOutside())
	b := &Blueprint{}
	if c := t.table("customizations"); c != nil {
		c.refuse(refused())
		b.Kargs = kernel(c.table("kernel"))
		for _, g := range c.tables("group") {
			b.Groups = append(b.Groups, Group{Key: g.name, Name: g.account("name"), GID: g.number("gid")})
			g.end()
		}
		for _, u := range c.tables("user") {
			b.Users = append(b.Users, user(u))
		}
		for _, d := range c.tables("directories") {
			b.Directories = append(b.Directories, Directory{Node: node(d), Parents: d.bool("ensure_parents")})
			d.end()
		}
		for _, f := range c.tables("files") {
			f.refuse(map[string]string{"uri": "the content has to be in data"})
			b.Files = append(b.Files, File{Node: node(f), Data: f.string("data")})
			f.end()
		}
		b.installer(c)
		b.sizes(c)
		c.end()
	}
	t.end()
	return b
}

func kernel(t *table) (kargs []string) {
	if t == nil {
		return nil
	}
	t.refuse(map[string]string{"name": "the kernel is the image's"})
	if line := t.text("append"); line != "" {
		if err := cmdline.CheckLocal(line); err != nil {
			t.fail("append", "%w", err)
		}
		for _, p := range cmdline.Split(line) {
			kargs = append(kargs, p.Text)
		}
	}
	t.end()
	return kargs
}

func user(t *table) User {
	u := User{
		Key: t.name, Name: t.account("name"), Description: t.field("description"), Password: t.text("password"),
		SSHKeys: t.text("key"), Home: t.file("home"), Shell: t.file("shell"), Groups: t.strings("groups"),
		UID: t.number("uid"), GID: t.number("gid"), Expires: t.number("expiredate"), Reset: t.bool("force_password_reset"),
	}
	if strings.ContainsAny(u.Password, "\x00\n") {
		t.fail("password", "has a line break")
	}
	if strings.Contains(u.SSHKeys, "\x00") {
		t.fail("key", "has a NUL byte")
	}
	t.end()
	return u
}

func node(t *table) Node {
	return Node{Key: t.name, Path: t.place("path"), Mode: t.mode("mode"), User: t.owner("user"), Group: t.owner("group")}
}

// check refuses what is there twice.
func (b *Blueprint) check() error {
	seen := map[string]string{} // first the kind, then the name
	add := func(kind, name, key string) error {
		id := kind + name
		if first, ok := seen[id]; ok {
			return fmt.Errorf("%s: %s is in %s already", key, name, first)
		}
		seen[id] = key
		return nil
	}
	var errs []error
	for _, g := range b.Groups {
		errs = append(errs, add("group ", g.Name, g.Key))
	}
	for _, u := range b.Users {
		errs = append(errs, add("user ", u.Name, u.Key))
	}
	for _, p := range b.Partitions {
		if p.Mount != "" {
			errs = append(errs, add("a file system at ", p.Mount, p.Key))
		}
	}
	for _, d := range b.Directories {
		errs = append(errs, add("", d.Path, d.Key))
	}
	for _, f := range b.Files {
		errs = append(errs, add("", f.Path, f.Key))
	}
	return errors.Join(errs...)
}
