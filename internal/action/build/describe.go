package build

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bootc-go/bootc/internal/format/blueprint"
)

// describe tells what goes into the disk beside the image.
func describe(b *strings.Builder, want *blueprint.Blueprint) {
	for _, g := range want.Groups {
		fmt.Fprintf(b, "Group: %s%s\n", g.Name, number(" with ID %d", g.GID))
	}
	for _, u := range want.Users {
		fmt.Fprintf(b, "User: %s%s", u.Name, number(" with ID %d", u.UID))
		if len(u.Groups) > 0 {
			fmt.Fprintf(b, ", in %s", strings.Join(u.Groups, ", "))
		}
		if u.Password != "" {
			b.WriteString(", with a password")
		}
		if u.SSHKeys != "" {
			b.WriteString(", with SSH keys")
		}
		b.WriteString("\n")
	}
	for _, d := range want.Directories {
		fmt.Fprintf(b, "Added directory: %s\n", d.Path)
	}
	for _, f := range want.Files {
		fmt.Fprintf(b, "Added file: %s (%d bytes)\n", f.Path, len(f.Data))
	}
}

func number(format string, n *uint32) string {
	if n == nil {
		return ""
	}
	return fmt.Sprintf(format, *n)
}

// checkKeys refuses SSH keys of root that come from two sides: what makes those
// of Install leaves alone a file that is there.
func (o *Options) checkKeys() error {
	for _, u := range o.Customize.Users {
		if u.Name == "root" && u.SSHKeys != "" && len(o.Install.SSHKeys) > 0 {
			return errors.New(u.Key + ".key: the SSH keys of root are given by --root-ssh-authorized-keys, too")
		}
	}
	return nil
}
