package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bootc-go/bootc/internal/machine"
)

// generate writes what systemd-generator(7) calls the normal directory: the
// unit that restores a staged update, wanted by a system that bootc booted, and
// what systemd must not do to its root.
func generate(normal string) error {
	if _, err := machine.ReadBooted(); err != nil {
		if errors.Is(err, machine.ErrNotBooted) {
			return nil
		}
		return err
	}
	const unit = "bootc-staged-restore.service"
	wants := filepath.Join(normal, "multi-user.target.wants")
	if err := os.MkdirAll(wants, 0o755); err != nil {
		return err
	}
	err := os.Symlink("/usr/lib/systemd/system/"+unit, filepath.Join(wants, unit))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Without rw on the command line, as of a unified kernel image, systemd
	// would want to remount the root for writing, which an image cannot be.
	dropIn := filepath.Join(normal, "systemd-remount-fs.service.d")
	if err := os.MkdirAll(dropIn, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dropIn, "60-bootc.conf"), []byte("[Service]\nUnsetEnvironment=SYSTEMD_REMOUNT_ROOT_RW\n"), 0o644)
}
