package accounts

import "strings"

// A Login is a user and what is known of how he logs in.
type Login struct {
	Name, Home string
	Password   bool // there is a password that can be given, or none is needed
}

// Logins lists the users, those in /etc first.
func (db *DB) Logins() []Login {
	var all []Login
	seen := map[string]bool{}
	for _, file := range []string{Passwd, UsrPasswd} {
		for _, line := range db.files[file].lines {
			f := strings.Split(line, ":")
			if len(f) < 7 || f[0] == "" || seen[f[0]] || strings.HasSuffix(f[6], "/nologin") || strings.HasSuffix(f[6], "/false") {
				continue
			}
			seen[f[0]] = true
			all = append(all, Login{Name: f[0], Home: f[5], Password: db.opens(f)})
		}
	}
	return all
}

// opens reports whether a line of passwd has a password, there or in shadow.
func (db *DB) opens(f []string) bool {
	password := f[1]
	if password == "x" {
		s := db.files[Shadow].find(f[0])
		if len(s) < 2 {
			return false
		}
		password = s[1]
	}
	return password == "" || strings.HasPrefix(password, "$")
}
