package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/machine"
)

// generate writes what systemd-generator(7) calls the normal directory, for a system
// that bootc booted.
func generate(normal string) error {
	if _, err := machine.ReadBooted(); err != nil {
		if errors.Is(err, machine.ErrNotBooted) {
			return nil
		}
		return err
	}
	return writeUnits(normal, filepath.Join("/run", bootc.MediumFile))
}

// writeUnits wants the units that restore a staged update, grow the root, judge the
// boot, and install what is on a medium, and says what systemd must not do: to its
// root, which is an image, to the boot entries, and to the partition below if the file
// medium says that it is not to be written.
func writeUnits(normal, medium string) error {
	for unit, dir := range map[string]string{
		"bootc-staged-restore.service": "multi-user.target.wants",
		"bootc-root-growfs.service":    "local-fs.target.wants",
		"bootc-boot-begun.service":     "sysinit.target.wants",
		"bootc-health.service":         "boot-complete.target.requires",
		"bootc-bless-boot.service":     "basic.target.wants",
		"bootc-installer.service":      "multi-user.target.wants",
	} {
		wants := filepath.Join(normal, dir)
		if err := os.MkdirAll(wants, 0o755); err != nil {
			return err
		}
		if err := link("/usr/lib/systemd/system/"+unit, filepath.Join(wants, unit)); err != nil {
			return err
		}
	}
	// It renames the entry in place, which FAT may lose in a power cut.
	if err := link(os.DevNull, filepath.Join(normal, "systemd-bless-boot.service")); err != nil {
		return err
	}
	// Where the partition of the root is marked as growing,
	// systemd-gpt-auto-generator wants it, and it fails.
	if err := link(os.DevNull, filepath.Join(normal, "systemd-growfs-root.service")); err != nil {
		return err
	}
	if _, err := os.Stat(medium); err == nil {
		// It would make the partition larger where the medium can be written.
		if err := link(os.DevNull, filepath.Join(normal, "systemd-repart.service")); err != nil {
			return err
		}
	}
	// Without rw on the command line, as of a unified kernel image, systemd
	// would want to remount the root for writing.
	dropIn := filepath.Join(normal, "systemd-remount-fs.service.d")
	if err := os.MkdirAll(dropIn, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dropIn, "60-bootc.conf"), []byte("[Service]\nUnsetEnvironment=SYSTEMD_REMOUNT_ROOT_RW\n"), 0o644)
}

// link makes a symbolic link, or leaves what is there.
func link(target, name string) error {
	err := os.Symlink(target, name)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
