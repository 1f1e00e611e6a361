package installer

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

func (d *dialogue) askHostName() error {
	for {
		answer, err := d.line("Host name (empty: as the image has it)")
		if err != nil {
			return err
		}
		if err := checkHostName(answer); err != nil {
			d.say("That cannot be a host name: %v.\n", err)
			continue
		}
		d.HostName = answer
		return nil
	}
}

// checkHostName refuses what hostname(5) does not allow.
func checkHostName(name string) error {
	label := regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
	if name == "" {
		return nil
	}
	if len(name) > 64 {
		return fmt.Errorf("it has %d characters, at most 64 are possible", len(name))
	}
	for part := range strings.SplitSeq(name, ".") {
		if !label.MatchString(part) {
			return errors.New("want letters, digits and hyphens, in parts with dots between them")
		}
	}
	return nil
}

// nobody is the answer for a machine that nobody can log in to.
const nobody = "nobody"

func (d *dialogue) askUser() error {
	question := "Name of another user (empty: none)"
	if len(d.Access.Names) > 0 {
		d.say("Can log in to the installed system: %s.\n", strings.Join(d.Access.Names, ", "))
	} else {
		d.say("Nobody can log in to the installed system yet.\n")
		question = "Name of a user, or " + nobody
	}
	for {
		name, err := d.line(question)
		if err != nil {
			return err
		}
		switch {
		case name == "" && len(d.Access.Names) > 0, name == nobody:
			d.User, d.Password, d.SSHKey, d.Group = "", "", "", ""
			return nil
		case name == "":
			continue
		case !regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`).MatchString(name):
			d.say("A name has small letters, digits, _ and -, and begins with a letter or _.\n")
			continue
		}
		password, key, err := d.askSecrets(name)
		if err != nil {
			return err
		}
		if password == "" && key == "" {
			d.say("%s could not log in without a password and a key.\n", name)
			continue
		}
		d.User, d.Password, d.SSHKey, d.Group = name, password, key, d.Access.Admin
		if name == "root" {
			d.Group = ""
		}
		return nil
	}
}

// askSecrets asks by what a user logs in.
func (d *dialogue) askSecrets(user string) (password, key string, err error) {
	for {
		if password, err = d.ReadSecret("Password of " + user + " (not shown; empty: none): "); err != nil {
			return "", "", err
		}
		if password == "" {
			break
		}
		again, err := d.ReadSecret("The same again: ")
		if err != nil {
			return "", "", err
		}
		if again == password {
			break
		}
		d.say("The two are not the same.\n")
	}
	for {
		if key, err = d.line("SSH public key of " + user + ", as one line (empty: none)"); err != nil || key == "" {
			return password, "", err
		}
		if err := checkKey(key); err != nil {
			d.say("That is not a public key: %v.\n", err)
			continue
		}
		return password, key, nil
	}
}

// checkKey refuses what is not a line of authorized_keys without options: a type, the
// key in Base64, which begins with the type again (RFC 4253, section 6.6), a comment.
func checkKey(line string) error {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return errors.New("want a type and a key, such as ssh-ed25519 AAAA…")
	}
	data, err := base64.StdEncoding.DecodeString(fields[1])
	if err != nil {
		return errors.New("it is cut short, or has characters that are not Base64")
	}
	if len(data) < 4 || binary.BigEndian.Uint32(data) != uint32(len(fields[0])) || !strings.HasPrefix(string(data[4:]), fields[0]) {
		return fmt.Errorf("it is not of the type %s", fields[0])
	}
	return nil
}

// user describes the answer about a user.
func (d *dialogue) user() string {
	if d.User == "" {
		if len(d.Access.Names) > 0 {
			return "no other than " + strings.Join(d.Access.Names, ", ")
		}
		return "none. Nobody can log in to the installed system."
	}
	text := d.User
	var with []string
	if d.Password != "" {
		with = append(with, "a password")
	}
	if d.SSHKey != "" {
		with = append(with, "an SSH key")
	}
	text += ", with " + strings.Join(with, " and ")
	if d.Group != "" {
		text += ", in the group " + d.Group
	}
	return text
}
