package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bootc-go/bootc/test/vm"
)

// bootLimit is how long a boot may take.
const bootLimit = 10 * time.Minute

// booting is a machine that is really booted from a disk: the firmware takes
// systemd-boot from it, that takes kernel and initramfs, and the initramfs program of
// bootc makes the root. Then init says what it is (test/crash/init).
type booting struct {
	lab  *vm.Lab
	name string
	disk vm.Disk
}

// boot returns the version that was booted, when the machine has gone off.
func (b *booting) boot(ctx context.Context) (version string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, bootLimit, fmt.Errorf("the machine was not up after %v", bootLimit))
	defer cancel()
	if b.disk.Record != "" {
		if err := os.WriteFile(b.disk.Record, nil, 0o644); err != nil {
			return "", err
		}
	}
	m, err := b.lab.Machine(b.name, vm.Hardware{Memory: 768, Disks: []vm.Disk{b.disk}})
	if err != nil {
		return "", err
	}
	defer m.PowerCut()
	if err := m.On(ctx); err != nil {
		return "", err
	}
	if err := m.AwaitOff(ctx); err != nil {
		return "", fmt.Errorf("%w\n%s", err, m.SerialTail())
	}
	return said(m.SerialTail())
}

// said finds what init has said last.
func said(serial string) (version string, err error) {
	for line := range strings.Lines(serial) {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "CRASH: ")
		if !ok {
			continue
		}
		if v, ok := strings.CutPrefix(text, "version "); ok {
			version, _, _ = strings.Cut(v, " ")
		}
		if strings.HasPrefix(text, "failed") {
			return "", errors.New(text)
		}
	}
	if version == "" {
		return "", fmt.Errorf("nothing is up: %s", serial)
	}
	return version, nil
}

// forget makes the machine one whose firmware remembers nothing.
func (b *booting) forget() error {
	err := os.Remove(filepath.Join(b.lab.Out, b.name, "vars.fd"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
