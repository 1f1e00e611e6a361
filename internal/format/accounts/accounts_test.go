package accounts_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/accounts"
)

func id(n uint32) *uint32 { return &n }

// system is what an image has: odd lines, and accounts that are not in /etc.
func system() map[string][]byte {
	return map[string][]byte{
		accounts.Passwd:    []byte("# kept\nroot:x:0:0:root:/root:/bin/bash\nbroken\nold:x:1000:1000::/home/old:/bin/sh\n+::::::"),
		accounts.Group:     []byte("root:x:0:\nold:x:1000:\nadmin:x:1001:old\n"),
		accounts.Shadow:    []byte("root:*:1:0:99999:7:::\nold:$6$a$b:2:0:99999:7:::\n"),
		accounts.Gshadow:   []byte("root:*::\nadmin:!::old\n"),
		accounts.Subuid:    []byte("old:100000:65536\n"),
		accounts.UsrPasswd: []byte("daemon:x:2:2:daemon:/:/sbin/nologin\nsystem:x:1002:1002::/:/sbin/nologin\n"),
		accounts.UsrGroup:  []byte("wheel:x:10:\n"),
	}
}

func TestSetUser(t *testing.T) {
	files := system()
	db := accounts.Parse(files, 20000)
	for _, g := range []struct {
		name string
		gid  *uint32
	}{{"ops", id(1010)}, {"admin", nil}, {"free", nil}} {
		if err := db.AddGroup(g.name, g.gid); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		user accounts.User
		want accounts.Entry
		new  bool
	}{
		{accounts.User{Name: "core", Description: "C", Home: "/home/core", Shell: "/bin/sh", Hash: "$6$x$y", Groups: []string{"wheel", "admin"}},
			accounts.Entry{UID: 1004, GID: 1004, Home: "/home/core"}, true},
		{accounts.User{Name: "ops", Home: "/home/ops", Shell: "/bin/sh", UID: id(1042), Reset: true, Expires: id(30000)},
			accounts.Entry{UID: 1042, GID: 1010, Home: "/home/ops"}, true},
		{accounts.User{Name: "own", Home: "/", Shell: "/bin/sh", UID: id(999), GID: id(2000)}, accounts.Entry{UID: 999, GID: 2000, Home: "/"}, true},
		{accounts.User{Name: "old", Shell: "/bin/bash", Hash: "$y$z"}, accounts.Entry{UID: 1000, GID: 1000, Home: "/home/old"}, false},
		{accounts.User{Name: "root"}, accounts.Entry{Home: "/root"}, false},
		{accounts.User{Name: "daemon", Hash: "$5$d"}, accounts.Entry{UID: 2, GID: 2, Home: "/"}, false},
	} {
		got, isNew, err := db.SetUser(c.user)
		if err != nil || got != c.want || isNew != c.new {
			t.Errorf("%s is %+v, new %v, %v", c.user.Name, got, isNew, err)
		}
	}
	want := map[string]string{
		accounts.Passwd: "# kept\nroot:x:0:0:root:/root:/bin/bash\nbroken\nold:x:1000:1000::/home/old:/bin/bash\n+::::::\n" +
			"core:x:1004:1004:C:/home/core:/bin/sh\nops:x:1042:1010::/home/ops:/bin/sh\nown:x:999:2000::/:/bin/sh\ndaemon:x:2:2:daemon:/:/sbin/nologin\n",
		accounts.Group: "root:x:0:\nold:x:1000:\nadmin:x:1001:old,core\nops:x:1010:\nfree:x:1003:\ncore:x:1004:\nwheel:x:10:core\nown:x:2000:\n",
		accounts.Shadow: "root:*:1:0:99999:7:::\nold:$y$z:20000:0:99999:7:::\ncore:$6$x$y:20000:0:99999:7:::\n" +
			"ops:!:0:0:99999:7::30000:\nown:!:20000:0:99999:7:::\ndaemon:$5$d:20000:0:99999:7:::\n",
		accounts.Gshadow: "root:*::\nadmin:!::old,core\nops:!::\nfree:!::\ncore:!::\nwheel:!::core\nown:!::\n",
		accounts.Subuid:  "old:100000:65536\ncore:165536:65536\nops:231072:65536\n",
	}
	got := map[string]string{}
	for name, data := range db.Changed() {
		got[name] = string(data)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// TestUnchanged changes nothing that is as wanted already.
func TestUnchanged(t *testing.T) {
	db := accounts.Parse(system(), 20000)
	if err := db.AddGroup("admin", id(1001)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := db.SetUser(accounts.User{Name: "old", Groups: []string{"admin"}}); err != nil {
		t.Fatal(err)
	}
	if changed := db.Changed(); len(changed) > 0 {
		t.Errorf("changed: %q", changed)
	}
}

// TestBare makes a user where there are no accounts. A day 0 would mean that the
// password has to be changed.
func TestBare(t *testing.T) {
	db := accounts.Parse(nil, 0)
	if _, _, err := db.SetUser(accounts.User{Name: "a", Home: "/home/a", Shell: "/bin/sh", Hash: "$6$"}); err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{
		accounts.Passwd: []byte("a:x:1000:1000::/home/a:/bin/sh\n"), accounts.Group: []byte("a:x:1000:\n"), accounts.Shadow: []byte("a:$6$::0:99999:7:::\n"),
	}
	if diff := cmp.Diff(want, db.Changed()); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		do   func(*accounts.DB) error
		want string
	}{
		{func(db *accounts.DB) error { return db.AddGroup("admin", id(5)) }, "group admin with the ID 1001, which cannot become 5"},
		{func(db *accounts.DB) error { return db.AddGroup("x", id(10)) }, "the group wheel has the ID 10 already"},
		{set(accounts.User{Name: "old", UID: id(5)}), "user old with the ID 1000, which cannot become 5"},
		{set(accounts.User{Name: "old", GID: id(5)}), "user old in the group 1000"},
		{set(accounts.User{Name: "x", UID: id(1002)}), "the user system has the ID 1002 already"},
		{set(accounts.User{Name: "admin", GID: id(1999)}), "no group has the ID 1999, and admin has 1001"},
		{set(accounts.User{Name: "x", Groups: []string{"docker"}}), `no group "docker"`},
	} {
		if err := c.do(accounts.Parse(system(), 1)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("the error is %v, want %q in it", err, c.want)
		}
	}
}

func set(u accounts.User) func(*accounts.DB) error {
	return func(db *accounts.DB) error {
		_, _, err := db.SetUser(u)
		return err
	}
}

// TestHash compares with openssl passwd -6.
func TestHash(t *testing.T) {
	got, err := accounts.Hash("secret", [16]byte{0, 1, 2, 3, 63, 64, 11, 12, 13, 14, 15, 16, 17, 18, 19, 255})
	if err != nil {
		t.Fatal(err)
	}
	const want = "$6$./01z.9ABCDEFGHz$BrJIP2Gu3qqlBB26NQfLU/L0EvYDgTA1WA4tMFnoB/jZEjS/O5L4Fa5XDal5J9PbtZ0BA1HNi3sY3sDdRdDfM1"
	if got != want || !accounts.IsHash(got) {
		t.Errorf("the hash is %s, want %s", got, want)
	}
	if accounts.IsHash("secret") || accounts.IsHash("$ecret") {
		t.Error("a password counts as hashed")
	}
	if accounts.CheckHash(got) != nil || accounts.CheckHash("$6$a:b") == nil {
		t.Error("wrong hashes are not told")
	}
}
