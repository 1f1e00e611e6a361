package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bootc-go/bootc/internal/machine"
)

// generate writes what systemd-generator(7) calls the normal directory: the
// unit that restores a staged update, wanted by a system that bootc booted.
func generate(normal string) error {
	if _, err := machine.ReadBooted(); err != nil {
		if errors.Is(err, machine.ErrNotBooted) {
			return nil
		}
		return err
	}
	wants := filepath.Join(normal, "multi-user.target.wants")
	if err := os.MkdirAll(wants, 0o755); err != nil {
		return err
	}
	const unit = "bootc-staged-restore.service"
	err := os.Symlink("/usr/lib/systemd/system/"+unit, filepath.Join(wants, unit))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
