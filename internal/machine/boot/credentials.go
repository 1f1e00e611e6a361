package boot

import (
	"context"
	"fmt"
	"path"
)

// credentialsDir is where systemd-stub looks for credentials.
const credentialsDir = "loader/credentials"

// CredentialsArchive is the name of the archive that brings the credentials to a
// kernel which no stub starts: all entries of such kernels name it, as another
// initrd, as long as it is there and not empty.
const CredentialsArchive = "bootc.initrd"

// InstallCredentials copies credentials, and an archive of them, to the directory
// that is read by every boot. It is for a machine that is being installed, before
// its first kernel is written. They stay there when the machine is updated.
func (l *SystemdBoot) InstallCredentials(ctx context.Context, files []Named) error {
	if err := l.mkdirAll(credentialsDir); err != nil {
		return err
	}
	for _, f := range files {
		if err := l.replace(ctx, path.Join(credentialsDir, f.Name), f.File); err != nil {
			return fmt.Errorf("copying %s: %w", f.Name, err)
		}
	}
	return l.v.Flush()
}

// credentials returns the path of the archive for an entry, "" if there is none, or
// one that cannot be read: a kernel that is started without it is better than none.
func (l *SystemdBoot) credentials() string {
	name := path.Join(credentialsDir, CredentialsArchive)
	if size, err := l.size(name); err != nil || size == 0 {
		return ""
	}
	return "/" + name
}

// mayBeEmpty reports whether a path of an entry can be that of an empty file, which
// the loader passes over: so an owner takes credentials away.
func mayBeEmpty(name string) bool { return name == path.Join(credentialsDir, CredentialsArchive) }
