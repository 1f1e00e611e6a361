package boot

import (
	"context"
	"fmt"
	"strings"

	"github.com/bootc-go/bootc/internal/linux/dir"
)

// Binaries returns the path of systemd-boot in an image, and its names on the
// partition, for an architecture by Go's name.
func Binaries(goarch string) (source string, targets []string, err error) {
	efi := map[string]string{"amd64": "x64", "arm64": "aa64", "riscv64": "riscv64", "386": "ia32"}[goarch]
	if efi == "" {
		return "", nil, fmt.Errorf("systemd-boot does not support %s", goarch)
	}
	return "/usr/lib/systemd/boot/efi/systemd-boot" + efi + ".efi",
		[]string{"EFI/systemd/systemd-boot" + efi + ".efi", "EFI/BOOT/BOOT" + strings.ToUpper(efi) + ".EFI"}, nil
}

// Install copies systemd-boot to an empty partition.
func (l *SystemdBoot) Install(ctx context.Context, loader File, targets []string) error {
	for _, d := range []string{"EFI/BOOT", "EFI/systemd", linuxDir, entriesDir, "loader/keys"} {
		if err := l.esp.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	for _, name := range targets {
		if err := l.copy(ctx, name, loader); err != nil {
			return err
		}
	}
	if err := l.writeFile("loader/entries.srel", []byte("type1\n")); err != nil {
		return err
	}
	if err := l.writeFile("loader/loader.conf", []byte("#timeout 3\n#console-mode keep\n")); err != nil {
		return err
	}
	return dir.SyncFS(l.esp)
}
