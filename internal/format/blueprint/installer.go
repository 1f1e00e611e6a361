package blueprint

import (
	"fmt"
	"path"
	"strings"
)

// An Installer is what is wanted of a medium to install from. It means nothing on a
// disk image.
type Installer struct {
	Key        string // of the first value that is there, "" if none is
	Unattended bool   // install without a question
	Device     string // the disk to install to; "": any
	PowerOff   bool   // instead of a reboot, after an unattended installation
}

// sudoers is the file that lets users of sudo do without a password.
const sudoers = "/etc/sudoers.d/bootc-nopasswd"

// installer reads what is said about installing.
func (b *Blueprint) installer(c *table) {
	i := &b.Installer
	note := func(t *table, key string) {
		if _, there := t.values[key]; there && i.Key == "" {
			i.Key = t.key(key)
		}
	}
	note(c, "installation_device")
	i.Device = c.device("installation_device")
	t := c.table("installer")
	if t == nil {
		return
	}
	t.refuse(map[string]string{
		"kickstart": "the installer is not Anaconda, which reads it; users, files and kernel arguments are added by the other customizations",
		"modules":   "the installer is not Anaconda, which has them",
	})
	for _, key := range []string{"unattended", "poweroff", "sudo-nopasswd"} {
		note(t, key)
	}
	i.Unattended, i.PowerOff = t.bool("unattended"), t.bool("poweroff")
	b.sudo(t)
	t.end()
}

// sudo makes a file of the users and groups that need no password for sudo.
func (b *Blueprint) sudo(t *table) {
	const key = "sudo-nopasswd"
	names := t.strings(key)
	if len(names) == 0 {
		return
	}
	var text strings.Builder
	for _, name := range names {
		if !isName(strings.TrimPrefix(name, "%")) {
			t.fail(key, "%q is not the name of a user, or of a group with %% before it", name)
		}
		fmt.Fprintf(&text, "%s\tALL=(ALL)\tNOPASSWD: ALL\n", name)
	}
	mode := uint32(0o440)
	b.Files = append(b.Files, File{Node: Node{Key: t.key(key), Path: sudoers, Mode: &mode}, Data: text.String()})
}

// device is the path of a device, "" if it is not there.
func (t *table) device(key string) string {
	s := t.text(key)
	if s != "" && (!strings.HasPrefix(s, "/dev/") || path.Clean(s) != s) {
		t.fail(key, "%q is not a path below /dev", s)
	}
	return s
}
