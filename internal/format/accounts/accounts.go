// Package accounts adds users and groups to the files in which a system keeps
// them. Lines that are not concerned keep their bytes.
//
// It does what useradd, usermod and groupadd do with their defaults.
//
// Source: passwd(5), group(5), shadow(5), gshadow(5), subuid(5), useradd(8).
package accounts

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The files. Those below /usr/lib name accounts of the system beside those in
// /etc (nss-altfiles); they are only read.
const (
	Passwd    = "/etc/passwd"
	Group     = "/etc/group"
	Shadow    = "/etc/shadow"
	Gshadow   = "/etc/gshadow"
	Subuid    = "/etc/subuid"
	Subgid    = "/etc/subgid"
	UsrPasswd = "/usr/lib/passwd"
	UsrGroup  = "/usr/lib/group"
)

// Names lists the files.
func Names() []string {
	return []string{Passwd, Group, Shadow, Gshadow, Subuid, Subgid, UsrPasswd, UsrGroup}
}

// Where IDs of users and groups are taken from.
const (
	minID = 1000
	maxID = 60000
)

// A DB is the accounts of a system.
type DB struct {
	files map[string]*table
	day   int64
}

// Parse takes the contents of the files; one that the system does not have is
// missing. A password is said to be set on the given day since 1970.
func Parse(files map[string][]byte, day int64) *DB {
	db := &DB{files: map[string]*table{}, day: day}
	for _, name := range Names() {
		data, ok := files[name]
		db.files[name] = newTable(string(data), ok)
	}
	return db
}

// Changed returns the files that have changed.
func (db *DB) Changed() map[string][]byte {
	changed := map[string][]byte{}
	for name, t := range db.files {
		if t.changed {
			changed[name] = []byte(t.text())
		}
	}
	return changed
}

// A User is what is known of a user, or wanted. What is empty is not wanted.
type User struct {
	Name        string
	Description string
	Hash        string // of the password
	Home        string
	Shell       string
	Groups      []string // beside its own
	UID, GID    *uint32
	Expires     *uint32 // days since 1970
	Reset       bool    // the password has to be changed at the next login
}

// An Entry is a line of passwd.
type Entry struct {
	UID, GID uint32
	Home     string
}

// User finds a user by name.
func (db *DB) User(name string) (Entry, bool) {
	f := db.find(name, Passwd, UsrPasswd)
	uid, err := id(f, 2)
	gid, err2 := id(f, 3)
	if err != nil || err2 != nil || len(f) < 6 {
		return Entry{}, false
	}
	return Entry{UID: uid, GID: gid, Home: f[5]}, true
}

// Group finds the ID of a group by name.
func (db *DB) Group(name string) (gid uint32, ok bool) {
	gid, err := id(db.find(name, Group, UsrGroup), 2)
	return gid, err == nil
}

// find returns the fields of the first line with the name, nil if there is none.
func (db *DB) find(name string, files ...string) []string {
	for _, file := range files {
		if f := db.files[file].find(name); f != nil {
			return f
		}
	}
	return nil
}

func id(fields []string, at int) (uint32, error) {
	if len(fields) <= at {
		return 0, errors.New("no such field")
	}
	n, err := strconv.ParseUint(fields[at], 10, 32)
	return uint32(n), err
}

// AddGroup makes a group. One that is there stays, if it has the ID that is
// wanted; nil is any.
func (db *DB) AddGroup(name string, gid *uint32) error {
	if has, ok := db.Group(name); ok {
		if gid != nil && *gid != has {
			return fmt.Errorf("the image has the group %s with the ID %d, which cannot become %d", name, has, *gid)
		}
		return nil
	}
	if gid == nil {
		free, err := db.free(nil)
		if err != nil {
			return err
		}
		gid = &free
	} else if owner := db.owner(*gid, Group, UsrGroup); owner != "" {
		return fmt.Errorf("the group %s has the ID %d already", owner, *gid)
	}
	db.files[Group].add(name, "x", fmt.Sprint(*gid), "")
	db.addGshadow(name, "")
	return nil
}

func (db *DB) addGshadow(name, members string) {
	if t := db.files[Gshadow]; t.there && t.find(name) == nil {
		t.add(name, "!", "", members)
	}
}

// owner returns the name of the account that has an ID, "" if it is free.
func (db *DB) owner(want uint32, files ...string) string {
	for _, file := range files {
		for _, line := range db.files[file].lines {
			f := strings.Split(line, ":")
			if n, err := id(f, 2); err == nil && n == want {
				return f[0]
			}
		}
	}
	return ""
}

// free finds an ID that no group and no user has, best the wanted one, which no
// group must have.
func (db *DB) free(want *uint32) (uint32, error) {
	if want != nil && db.owner(*want, Group, UsrGroup) == "" {
		return *want, nil
	}
	used := map[uint32]bool{}
	for _, file := range []string{Passwd, UsrPasswd, Group, UsrGroup} {
		for _, line := range db.files[file].lines {
			if n, err := id(strings.Split(line, ":"), 2); err == nil {
				used[n] = true
			}
		}
	}
	for n := uint32(minID); n <= maxID; n++ {
		if !used[n] {
			return n, nil
		}
	}
	return 0, fmt.Errorf("the image has no free ID from %d to %d", minID, maxID)
}

// SetUser makes a user, or changes one that is there, whose IDs stay. It reports
// whether the user is new.
func (db *DB) SetUser(u User) (e Entry, isNew bool, err error) {
	e, ok := db.User(u.Name)
	if ok {
		err = db.change(u, e)
	} else {
		err = db.add(u)
	}
	if err != nil {
		return e, !ok, err
	}
	db.setShadow(u)
	for _, g := range u.Groups {
		if err := db.join(u.Name, g); err != nil {
			return e, !ok, err
		}
	}
	e, _ = db.User(u.Name)
	return e, !ok, nil
}

// change changes a user that is there.
func (db *DB) change(u User, e Entry) error {
	if u.UID != nil && *u.UID != e.UID {
		return fmt.Errorf("the image has the user %s with the ID %d, which cannot become %d", u.Name, e.UID, *u.UID)
	}
	if u.GID != nil && *u.GID != e.GID {
		return fmt.Errorf("the image has the user %s in the group %d, which cannot become %d", u.Name, e.GID, *u.GID)
	}
	db.keep(u.Name, Passwd, UsrPasswd)
	wanted := map[int]string{4: u.Description, 5: u.Home, 6: u.Shell}
	if u.Hash != "" {
		wanted[1] = "x" // in shadow
	}
	db.files[Passwd].set(u.Name, wanted)
	return nil
}

// keep copies an account of the system to /etc, where it can be changed.
func (db *DB) keep(name, etc, usr string) {
	if db.files[etc].find(name) == nil {
		db.files[etc].add(db.files[usr].find(name)...)
	}
}

// add makes a user.
func (db *DB) add(u User) error {
	if u.UID != nil {
		if owner := db.owner(*u.UID, Passwd, UsrPasswd); owner != "" {
			return fmt.Errorf("the user %s has the ID %d already", owner, *u.UID)
		}
	} else {
		free, err := db.free(nil)
		if err != nil {
			return err
		}
		u.UID = &free
	}
	gid, err := db.ownGroup(u)
	if err != nil {
		return err
	}
	db.files[Passwd].add(u.Name, "x", fmt.Sprint(*u.UID), fmt.Sprint(gid), u.Description, u.Home, u.Shell)
	for _, name := range []string{Subuid, Subgid} {
		if *u.UID >= minID && db.files[name].there {
			db.files[name].addRange(u.Name)
		}
	}
	return nil
}

// ownGroup finds or makes the group of a user that is made: the one that is
// wanted, or one of the user's name.
func (db *DB) ownGroup(u User) (uint32, error) {
	if u.GID != nil && db.owner(*u.GID, Group, UsrGroup) != "" {
		return *u.GID, nil
	}
	gid, ok := db.Group(u.Name)
	if !ok {
		want := u.GID
		if want == nil {
			free, err := db.free(u.UID)
			if err != nil {
				return 0, err
			}
			want = &free
		}
		return *want, db.AddGroup(u.Name, want)
	}
	if u.GID != nil {
		return 0, fmt.Errorf("no group has the ID %d, and %s has %d", *u.GID, u.Name, gid)
	}
	return gid, nil
}

// setShadow sets what stands in shadow. A user without a password has a locked
// one.
func (db *DB) setShadow(u User) {
	day := ""
	if db.day > 0 { // 0 would mean: to be changed
		day = fmt.Sprint(db.day)
	}
	wanted := map[int]string{1: u.Hash}
	if u.Hash != "" {
		wanted[2] = day
	}
	if db.files[Shadow].find(u.Name) == nil {
		db.files[Shadow].add(u.Name, "!", day, "0", "99999", "7", "", "", "")
	}
	if u.Reset {
		wanted[2] = "0"
	}
	if u.Expires != nil {
		wanted[7] = fmt.Sprint(*u.Expires)
	}
	db.files[Shadow].set(u.Name, wanted)
}

// join makes a user a member of a group.
func (db *DB) join(user, group string) error {
	if _, ok := db.Group(group); !ok {
		return fmt.Errorf("the image has no group %q", group)
	}
	db.keep(group, Group, UsrGroup)
	db.addGshadow(group, "")
	for _, file := range []string{Group, Gshadow} {
		t := db.files[file]
		f := t.find(group)
		if f == nil {
			continue
		}
		var members []string
		if len(f) > 3 && f[3] != "" {
			members = strings.Split(f[3], ",")
		}
		if !slices.Contains(members, user) {
			t.set(group, map[int]string{3: strings.Join(append(members, user), ",")})
		}
	}
	return nil
}
