package credential

import "github.com/bootc-go/bootc/internal/format/cpio"

// Archive makes an initrd of credentials, as systemd-stub makes one of the files in
// loader/credentials: a boot entry can name it where no stub runs. It is a cpio
// archive, a multiple of 4 bytes.
func Archive(all []Credential) []byte {
	members := []cpio.Member{{Name: ".extra", Mode: 0o040555}, {Name: ".extra/global_credentials", Mode: 0o040500}}
	for _, c := range all {
		members = append(members, cpio.Member{Name: ".extra/global_credentials/" + c.File(), Mode: 0o100400, Data: c.Encoded})
	}
	return cpio.Bytes(members)
}
