// Package systemd asks the service manager of the running system for things.
//
// It speaks through systemctl, so that a machine where D-Bus is down can still
// be driven as root.
package systemd

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/bootc-go/bootc/internal/linux/tool"
)

// Running reports whether systemd is the service manager of this system.
func Running() bool {
	info, err := os.Lstat("/run/systemd/system")
	return err == nil && info.IsDir()
}

// StartUnit starts a unit and waits until it has started.
func StartUnit(ctx context.Context, unit string) error {
	if err := tool.Run(ctx, tool.Systemctl, "start", "--", unit); err != nil {
		return fmt.Errorf("starting %s: %w", unit, err)
	}
	return nil
}

// ActiveState returns the state of a unit: active, reloading, inactive, failed,
// activating or deactivating. A unit that does not exist is inactive.
func ActiveState(ctx context.Context, unit string) (string, error) {
	out, err := tool.Output(ctx, tool.Systemctl, "show", "--property=ActiveState", "--value", "--", unit)
	if err != nil {
		return "", fmt.Errorf("asking for the state of %s: %w", unit, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Reboot asks for a reboot and waits to be ended by it, so that a caller does
// not go on in a system that is going down. It returns nil when ctx is done
// after the reboot was accepted.
func Reboot(ctx context.Context) error {
	// The request outlives a signal to us: it is the beginning of the shutdown.
	err := tool.Run(context.WithoutCancel(ctx), tool.Systemctl, "reboot", "--message=Initiated by bootc")
	if err != nil {
		return fmt.Errorf("rebooting: %w", err)
	}
	<-ctx.Done()
	return nil
}
