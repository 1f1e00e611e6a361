package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Binaries returns the path of systemd-boot in an image, and its names on the
// partition, for an architecture by Go's name. A signed one is beside it with
// ".signed" at the end of its name; where it exists it is to be preferred.
func Binaries(goarch string) (source string, targets []string, err error) {
	efi := map[string]string{
		"amd64": "x64", "arm64": "aa64", "386": "ia32", "arm": "arm", "riscv64": "riscv64", "loong64": "loongarch64",
	}[goarch]
	if efi == "" {
		return "", nil, fmt.Errorf("systemd-boot does not support %s", goarch)
	}
	return "/usr/lib/systemd/boot/efi/systemd-boot" + efi + ".efi",
		[]string{"EFI/systemd/systemd-boot" + efi + ".efi", "EFI/BOOT/BOOT" + strings.ToUpper(efi) + ".EFI"}, nil
}

// Install copies systemd-boot to a partition, as bootctl(1) does, and makes its
// directories. Entries and a loader.conf that are there stay. It is for a
// machine that is being installed: a cut leaves a partition that does not boot.
func (l *SystemdBoot) Install(ctx context.Context, loader File, targets []string) error {
	// loader/entries comes first: a file system check that finds two names of
	// one directory keeps the first.
	for _, d := range []string{entriesDir, "loader/keys", "EFI/systemd", "EFI/BOOT", linuxDir, ukiDir} {
		if err := l.mkdirAll(d); err != nil {
			return err
		}
	}
	for _, name := range targets {
		if err := l.replace(ctx, name, loader); err != nil {
			return fmt.Errorf("copying systemd-boot: %w", err)
		}
	}
	for name, text := range Config() {
		err := l.writeFile(name, []byte(text))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return l.v.Flush()
}

// InstallKeys copies signature lists to loader/keys/<set>, from where
// systemd-boot enrols them.
func (l *SystemdBoot) InstallKeys(ctx context.Context, set string, keys []Named) error {
	dir := path.Join("loader/keys", set)
	if err := l.mkdirAll(dir); err != nil {
		return err
	}
	for _, k := range keys {
		if err := l.replace(ctx, path.Join(dir, k.Name), k.File); err != nil {
			return fmt.Errorf("copying Secure Boot keys: %w", err)
		}
	}
	return l.v.Flush()
}

// replace writes a file, unless it is there with the same content.
func (l *SystemdBoot) replace(ctx context.Context, name string, f File) error {
	present, err := l.present(name)
	if err != nil {
		return err
	}
	if present {
		if l.hasFile(name, f) {
			return nil
		}
		if err := l.removeTree(name); err != nil {
			return err
		}
	}
	if err := l.checkRoom([]Named{{"", f}}); err != nil {
		return err
	}
	return l.copy(ctx, name, f)
}
