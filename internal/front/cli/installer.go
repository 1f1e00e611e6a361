package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc/internal/action/install"
	"github.com/bootc-go/bootc/internal/format/medium"
	"github.com/bootc-go/bootc/internal/linux/block"
	"github.com/bootc-go/bootc/internal/linux/systemd"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/storage"
)

// The units of a medium; see docs/formats/medium.md, "How it installs".
const (
	unattendedUnit = "bootc-installer-unattended.service"
	askUnit        = "bootc-installer@%s.service"
)

// failure is where an installation without a question leaves for the dialogue why it
// has ended, below /run.
const failure = "bootc/install-failed"

// issue is where logins find what they say before the name is asked for, below /run.
const issue = "issue.d/60-bootc.issue"

const greeting = `This system runs from a medium and keeps nothing.
To install it to a disk of this machine, log in and run, as root:

    bootc install interactive

`

// installerCommand is what the units of a medium call.
func (a *App) installerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "installer", Hidden: true, Short: "Called by the units of a medium",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.decideInstaller(cmd.Context()) },
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "unattended", Hidden: true, Short: "Install without a question",
			Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return a.unattended(cmd.Context()) },
		},
		&cobra.Command{
			Use: "eject [VERB]", Hidden: true, Short: "Eject what was installed, at the end of a shutdown",
			Args: cobra.MaximumNArgs(1),
			RunE: func(*cobra.Command, []string) error { return eject("/run") },
		},
	)
	return cmd
}

// decideInstaller starts what the medium and the kernel command line ask for. What
// cannot be decided is asked.
func (a *App) decideInstaller(ctx context.Context) error {
	m, err := machine.OpenMedium()
	if err != nil {
		return err
	}
	defer m.Close()
	r, err := m.Settings.Request(m.Booted.Cmdline)
	if err != nil {
		return errors.Join(fmt.Errorf("cannot tell what to install: %w", err), askOnConsoles(ctx))
	}
	switch r.Mode {
	case medium.Unattended:
		return systemd.QueueUnit(ctx, unattendedUnit)
	case medium.Ask:
		return askOnConsoles(ctx)
	}
	access, err := install.ReadAccess(ctx, m)
	if err == nil && len(access.Names) == 0 {
		return askOnConsoles(ctx)
	}
	return errors.Join(err, greet("/run"))
}

// greet says at the logins how to install.
func greet(run string) error {
	name := filepath.Join(run, issue)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(greeting), 0o644)
}

// askOnConsoles begins the dialogue on every console of the kernel.
func askOnConsoles(ctx context.Context) error {
	active, err := os.ReadFile("/sys/class/tty/console/active")
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range consoles(string(active)) {
		errs = append(errs, systemd.QueueUnit(ctx, fmt.Sprintf(askUnit, name)))
	}
	return errors.Join(errs...)
}

// consoles lists the terminals of the kernel's consoles, by what sysfs says. tty0 is
// whichever virtual terminal is seen; the first one is where people look.
func consoles(active string) []string {
	var all []string
	for _, name := range strings.Fields(active) {
		if name == "tty0" {
			name = "tty1"
		}
		all = append(all, name)
	}
	if len(all) == 0 {
		all = []string{"tty1"}
	}
	return all
}

// unattended installs without a question. When it fails the consoles ask, and the
// machine stays as it is.
func (a *App) unattended(ctx context.Context) error {
	end, err := a.installUnattended(ctx)
	if err != nil {
		ask := os.WriteFile(filepath.Join("/run", failure), []byte(message(err)), 0o644)
		return errors.Join(fmt.Errorf("cannot install: %w", err), ask, askOnConsoles(context.WithoutCancel(ctx)))
	}
	if end == medium.PowerOff {
		fmt.Fprintln(a.Stdout, "The system is installed. The machine is switched off now.")
		return systemd.PowerOff(ctx)
	}
	fmt.Fprintln(a.Stdout, "The system is installed. The machine starts it now.")
	return systemd.Reboot(ctx)
}

func (a *App) installUnattended(ctx context.Context) (end medium.End, err error) {
	m, err := machine.OpenMedium()
	if err != nil {
		return "", err
	}
	defer m.Close()
	r, err := m.Settings.Request(m.Booted.Cmdline)
	if err != nil {
		return "", err
	}
	firmware, err := install.Firmware()
	if err != nil {
		return "", err
	}
	defer firmware.Close()
	if r.Device == "" {
		disks, err := candidates(m)
		if err != nil {
			return "", err
		}
		only, err := storage.Only(disks)
		if err != nil {
			return "", err
		}
		r.Device = only.Path
	}
	o := install.Options{Device: r.Device, Medium: m, Storage: storage.Options{Wipe: true}}
	told, err := a.applyMedium(ctx, o, firmware)
	if err == nil && !told && r.End == medium.Reboot {
		// It might start the medium again, and that would install again.
		fmt.Fprintln(a.Stderr, "notice: the machine is not restarted, as its firmware might start the medium again")
		r.End = medium.PowerOff
	}
	return r.End, err
}

// ejectList is the file that says which drives are ejected at the end, below /run:
// their devices, one a line.
const ejectList = "bootc/eject"

// ejectLater has the discs of a medium that was installed ejected when the machine
// goes down: before, the system is on them.
func ejectLater(run *os.Root, m *machine.Medium) error {
	var list strings.Builder
	for _, d := range m.Disks {
		if d.Optical() {
			fmt.Fprintln(&list, d.Path)
		}
	}
	if list.Len() == 0 {
		return nil
	}
	return run.WriteFile(ejectList, []byte(list.String()), 0o644)
}

// eject ejects what is on the list. systemd-shutdown calls it when all else has ended.
func eject(run string) error {
	data, err := os.ReadFile(filepath.Join(run, ejectList))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var errs []error
	for _, name := range strings.Fields(string(data)) {
		d, err := block.Open(name)
		if err == nil {
			err = d.Eject()
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, err)...)
}
