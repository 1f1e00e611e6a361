package build

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/format/fat"
	"github.com/bootc-go/bootc/internal/machine/storage"
)

// unread is a file of which only the size matters.
func unread(name string, size int64) fat.File {
	return fat.File{Name: name, Size: size, Open: func() (io.ReadCloser, error) { return nil, errors.New("not to be read") }}
}

// TestESPSize has kernels of several sizes, of which an update must be able to write
// another one beside two.
func TestESPSize(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		initrd int64 // MiB
		want   uint64
	}{
		{40, 0}, {200, 0}, {320, 0}, {340, 1067 * mib}, {1000, 3047 * mib},
	} {
		files := []fat.File{
			unread("EFI/BOOT/BOOTX64.EFI", 1*mib), unread("EFI/Linux/d/vmlinuz", 15*mib), unread("EFI/Linux/d/initrd", c.initrd*mib),
		}
		got, err := espSize(files)
		if err != nil {
			t.Errorf("%d MiB: %v", c.initrd, err)
			continue
		}
		// The tables take a little.
		if got < c.want || got > c.want+8*mib || (got == 0) != (c.want == 0) {
			t.Errorf("an initrd of %d MiB: %d MiB, want %d", c.initrd, got>>20, c.want>>20)
		}
		if got == 0 {
			got = 1024 * mib
		}
		image, err := fat.New(files, fat.Options{Size: int64(got)})
		if err != nil || image.Free() < 2*(15+c.initrd)*mib {
			t.Errorf("an initrd of %d MiB: %v", c.initrd, err)
		}
	}
	p := &Plan{Options: Options{Size: 3 << 30}}
	_, _, err := p.divide(needs{esp: []fat.File{unread("EFI/Linux/x.efi", 1<<30)}})
	if err == nil || !strings.Contains(err.Error(), "the disk is too small: it has 3072 MiB") || !strings.Contains(err.Error(), "for the kernels of three deployments") {
		t.Errorf("the error is %v", err)
	}
	p.Options.Size = 0
	if _, parts, err := p.divide(needs{arch: "arm64", esp: []fat.File{unread("EFI/Linux/x.efi", 1<<30)}}); err != nil || parts[0].Size <= 3<<30 || parts[len(parts)-1].Size < 9<<30 {
		t.Errorf("%s %v", storage.Describe(0, parts), err)
	}
}
