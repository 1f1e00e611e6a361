package build

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/bls"
)

// TestBIOSConfig names all initrds of the entry to GRUB.
func TestBIOSConfig(t *testing.T) {
	var e bls.Entry
	e.Set("linux", "/EFI/Linux/a/vmlinuz")
	e.Set("initrd", "/EFI/Linux/a/initrd")
	e.Add("initrd", "/loader/credentials/bootc.initrd")
	const want = `search --no-floppy --set=iso --fs-uuid 1970-01-01-00-00-01-00
loopback esp ($iso)/efi.img
set root=esp
linux /EFI/Linux/a/vmlinuz root=UUID=x ro
initrd /EFI/Linux/a/initrd /loader/credentials/bootc.initrd
boot
`
	if diff := cmp.Diff(want, biosConfig(&source{time: 1}, &medium{entry: e, options: "root=UUID=x ro"})); diff != "" {
		t.Errorf("grub.cfg (-want +got):\n%s", diff)
	}
}
