package credential

import (
	"bytes"
	"fmt"
	"strings"
)

// Archive makes an initrd of credentials, as systemd-stub makes one of the files in
// loader/credentials: a boot entry can name it where no stub runs. It is a cpio
// archive in the form newc, a multiple of 4 bytes.
//
// Source: initramfs buffer format, Documentation/driver-api/early-userspace of the
// Linux kernel.
func Archive(all []Credential) []byte {
	var a archive
	a.add(".extra", 0o040555, nil)
	a.add(".extra/global_credentials", 0o040500, nil)
	for _, c := range all {
		a.add(".extra/global_credentials/"+c.File(), 0o100400, c.Encoded)
	}
	a.add("TRAILER!!!", 0, nil)
	return a.Bytes()
}

type archive struct {
	bytes.Buffer
	inode int
}

// add adds a file or a directory of root's, made in 1970.
func (a *archive) add(name string, mode uint32, data []byte) {
	a.inode++
	// Magic, inode, mode, user, group, links, time, size, device, its number, size
	// of the name, check sum.
	fmt.Fprintf(a, "070701%08x%08x%08x%08x%08x%08x%08x", a.inode, mode, 0, 0, 1, 0, len(data))
	fmt.Fprintf(a, "%s%08x%08x%s\x00", strings.Repeat("0", 4*8), len(name)+1, 0, name)
	a.align()
	a.Write(data)
	a.align()
}

func (a *archive) align() { a.Write(make([]byte, -a.Len()&3)) }
