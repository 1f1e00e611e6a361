package cli

import (
	"errors"
	"strings"
	"syscall"

	"github.com/bootc-go/bootc/internal/action/install"
	"github.com/bootc-go/bootc/internal/content/registry"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/boot"
)

// message is the text of an error for people: one line, with advice where
// there is some. Joined errors become one sentence.
func message(err error) string {
	text := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
	if a := advice(err); a != "" {
		text += " (" + a + ")"
	}
	return text
}

func advice(err error) string {
	var locked *machine.LockedError
	var setting *install.SettingError
	var esp *boot.RoomError
	switch {
	case errors.As(err, &locked):
		return "wait until it has ended, or stop it"
	case errors.Is(err, machine.ErrContainer):
		return "run it on the host"
	case errors.Is(err, install.ErrBIOS):
		return "start the machine by EFI; bootc install to-disk --generic-image installs all the same"
	case errors.As(err, &setting) && setting.Option != "":
		return setting.Option + " decides in place of it"
	case errors.As(err, &esp):
		return "the kernel that runs and the new one must both fit: remove other files from the ESP, or make the initrd smaller"
	case errors.Is(err, syscall.ENOSPC):
		return "make room on that file system first"
	case errors.Is(err, registry.ErrInterrupted):
		return "try again later; complete layers are kept"
	case errors.Is(err, errDamage):
		return "bootc fsck --repair heals it"
	case errors.Is(err, errStillDamage):
		return "bootc internals cleanup removes what no deployment needs"
	}
	return ""
}
