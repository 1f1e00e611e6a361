package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/format/medium"
	"github.com/bootc-go/bootc/internal/linux/block"
)

// ErrNoMedium means that the system does not run from a medium to install from.
var ErrNoMedium = errors.New("this system does not run from a medium to install from")

// A Medium is the running computer where it was booted from a medium, as far as an
// installation takes something from it: see docs/formats/medium.md. It has no boot
// loader, and nothing of it is written.
type Medium struct {
	*Machine
	Settings medium.Medium
	// Disks are those that the medium is, or is in.
	Disks []*block.Device
}

// OpenMedium opens the medium that the system was booted from. Where it was not, the
// error is [ErrNoMedium].
func OpenMedium() (m *Medium, err error) {
	run, err := os.OpenRoot("/run")
	if err != nil {
		return nil, err
	}
	defer run.Close()
	m = &Medium{Machine: &Machine{}}
	if m.Settings, err = ReadMedium(run); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.Close())
		}
	}()
	if m.Booted, err = ReadBooted(); err != nil {
		return nil, err
	}
	const sysroot = "/sysroot"
	if err := m.openSysroot(sysroot, false, images.Open); err != nil {
		return nil, fmt.Errorf("opening %s: %w", sysroot, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(sysroot, &st); err != nil {
		return nil, err
	}
	if m.Disks, err = block.DisksOf(st.Dev); err != nil {
		return nil, fmt.Errorf("finding what %s is on: %w", sysroot, err)
	}
	return m, nil
}

// ReadMedium reads how the medium installs that the system was booted from, in run
// (the directory /run). Where there is none the error is [ErrNoMedium].
func ReadMedium(run *os.Root) (medium.Medium, error) {
	data, err := run.ReadFile(bootc.MediumFile)
	if errors.Is(err, fs.ErrNotExist) {
		return medium.Medium{}, ErrNoMedium
	}
	if err != nil {
		return medium.Medium{}, err
	}
	m, err := medium.Parse(data)
	if err != nil {
		return medium.Medium{}, fmt.Errorf("reading /run/%s: %w", bootc.MediumFile, err)
	}
	return m, nil
}
