package accounts_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/accounts"
)

func TestLogins(t *testing.T) {
	db := accounts.Parse(map[string][]byte{
		accounts.Passwd: []byte("root:x:0:0:root:/root:/bin/bash\nlocked:x:1:1::/home/locked:/bin/sh\nopen::2:2::/home/open:/bin/sh\n" +
			"none:x:3:3::/:/usr/sbin/nologin\nfalse:x:4:4::/:/bin/false\nnoshadow:x:5:5::/:/bin/sh\nbroken:x\n"),
		accounts.Shadow:    []byte("root:$y$a:1::::::\nlocked:!$6$x:1::::::\nnone:$6$x:1::::::\n"),
		accounts.UsrPasswd: []byte("root:x:0:0:again:/:/bin/sh\nusr:x:6:6::/usr/home:/bin/sh\n"),
	}, 0)
	want := []accounts.Login{
		{Name: "root", Home: "/root", Password: true},
		{Name: "locked", Home: "/home/locked"},
		{Name: "open", Home: "/home/open", Password: true},
		{Name: "noshadow", Home: "/"},
		{Name: "usr", Home: "/usr/home"},
	}
	if diff := cmp.Diff(want, db.Logins()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
