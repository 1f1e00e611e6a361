// Package systemd asks the service manager of the running system for things.
//
// It speaks through systemctl, so that a machine where D-Bus is down can still
// be driven as root.
package systemd

import (
	"context"
	"fmt"
	"strings"

	"github.com/bootc-go/bootc/internal/linux/tool"
)

// StartUnit starts a unit and waits until it has started.
func StartUnit(ctx context.Context, unit string) error {
	if err := tool.Run(ctx, tool.Systemctl, "start", "--", unit); err != nil {
		return fmt.Errorf("starting %s: %w", unit, err)
	}
	return nil
}

// QueueUnit asks for the start of a unit and does not wait for it.
func QueueUnit(ctx context.Context, unit string) error {
	if err := tool.Run(ctx, tool.Systemctl, "start", "--no-block", "--", unit); err != nil {
		return fmt.Errorf("starting %s: %w", unit, err)
	}
	return nil
}

// FailedUnits lists the units that have failed.
func FailedUnits(ctx context.Context) ([]string, error) {
	out, err := tool.Output(ctx, tool.Systemctl, "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager")
	if err != nil {
		return nil, fmt.Errorf("asking for failed units: %w", err)
	}
	return column(out, 0), nil
}

// RunningJobs lists the units that are being started or stopped at this moment,
// without those that wait for them.
func RunningJobs(ctx context.Context) ([]string, error) {
	out, err := tool.Output(ctx, tool.Systemctl, "list-jobs", "--plain", "--no-legend", "--no-pager")
	if err != nil {
		return nil, fmt.Errorf("asking for jobs: %w", err)
	}
	var running []byte
	for line := range strings.Lines(string(out)) { // JOB UNIT TYPE STATE
		if strings.HasSuffix(strings.TrimSpace(line), " running") {
			running = append(running, line...)
		}
	}
	return column(running, 1), nil
}

// column returns a column of a table.
func column(table []byte, n int) []string {
	var all []string
	for line := range strings.Lines(string(table)) {
		if words := strings.Fields(line); len(words) > n {
			all = append(all, words[n])
		}
	}
	return all
}

// Journal returns the last warnings and errors that the journal has of this
// boot.
func Journal(ctx context.Context) (string, error) {
	out, err := tool.Output(ctx, tool.Journalctl, "--boot", "--priority=warning", "--lines=50", "--output=short-monotonic", "--no-pager", "--quiet", "--no-hostname")
	if err != nil {
		return "", fmt.Errorf("reading the journal: %w", err)
	}
	return string(out), nil
}

// Reboot asks for a reboot and waits to be ended by it, so that a caller does
// not go on in a system that is going down. It returns nil when ctx is done
// after the reboot was accepted.
func Reboot(ctx context.Context) error { return shutdown(ctx, "rebooting", "reboot") }

// PowerOff is [Reboot] for switching the machine off.
func PowerOff(ctx context.Context) error { return shutdown(ctx, "switching off", "poweroff") }

func shutdown(ctx context.Context, doing, verb string) error {
	// The request outlives a signal to us: it is the beginning of the shutdown.
	err := tool.Run(context.WithoutCancel(ctx), tool.Systemctl, verb, "--message=Initiated by bootc")
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	<-ctx.Done()
	return nil
}
