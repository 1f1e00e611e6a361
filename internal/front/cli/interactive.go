package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/install"
	"github.com/bootc-go/bootc/internal/front/installer"
	"github.com/bootc-go/bootc/internal/linux/block"
	"github.com/bootc-go/bootc/internal/linux/systemd"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/storage"
)

// interactiveCommand asks at a terminal where and how to install what is on a medium.
func (a *App) interactiveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "interactive",
		Short: "Ask where to install the system that runs from a medium, and install it",
		Long: "Ask at the terminal where and how to install the system that was booted from a\n" +
			"medium, such as an ISO made by bootc build-disk, and install it. Nothing happens\n" +
			"before the name of the disk has been typed.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.interactive(cmd.Context()); err != nil {
				return fmt.Errorf("cannot install: %w", err)
			}
			return nil
		},
	}
}

func (a *App) interactive(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("this command must be run as root")
	}
	m, err := machine.OpenMedium()
	if err != nil {
		return err
	}
	defer m.Close()
	firmware, err := install.Firmware()
	if err != nil && !errors.Is(err, install.ErrBIOS) {
		return err
	}
	s, err := situation(ctx, m, err)
	if err != nil {
		return err
	}
	terminal := installer.NewTerminal(ctx, os.Stdin, a.Stdout)
	for {
		answers, err := installer.Ask(terminal, s)
		if errors.Is(err, installer.ErrLeft) {
			fmt.Fprintln(a.Stdout, "Nothing was done.")
			return nil
		}
		if err != nil {
			return err
		}
		o := install.Options{Device: answers.Disk.Path, Medium: m, Customize: answers.Customize(), Storage: storage.Options{Wipe: true}}
		if err = a.installMedium(ctx, o, firmware); err == nil {
			break
		}
		fmt.Fprintln(a.Stderr, "error: cannot install: "+message(err))
		if err := again(terminal); err != nil {
			return err
		}
	}
	fmt.Fprintln(a.Stdout, "The system is installed. Take the medium out of the machine when it starts again.")
	return restartAfter(ctx, terminal)
}

// again waits until somebody wants to begin again. The error is of an installation that
// is given up.
func again(t installer.Terminal) error {
	answer, err := t.ReadLine("Press Enter to begin again, or type q to leave: ")
	if err != nil || answer != "" {
		return errors.New("the installation was given up, and the disk may be half made")
	}
	return nil
}

// situation is what the dialogue has to know. obstacle is why the machine would not
// start from the disk.
func situation(ctx context.Context, m *machine.Medium, obstacle error) (installer.Situation, error) {
	origin, err := m.State.Origin(m.Booted.ID)
	if err != nil {
		return installer.Situation{}, err
	}
	s := installer.Situation{Image: origin.Ref.String(), Disks: func() ([]storage.Candidate, error) { return candidates(m) }}
	if obstacle != nil {
		s.Obstacle = obstacle.Error()
	}
	if text, err := os.ReadFile(filepath.Join("/run", failure)); err == nil {
		s.Failed = string(text)
	}
	if d, err := block.Open(m.Settings.Device); err == nil {
		s.Device = d.Path
	}
	if s.Access, err = install.ReadAccess(ctx, m); err != nil {
		return s, fmt.Errorf("looking who can log in: %w", err)
	}
	return s, nil
}

func candidates(m *machine.Medium) ([]storage.Candidate, error) {
	return storage.Candidates(block.System{}, m.Disks, storage.Options{})
}

// restartAfter restarts the machine when the terminal says so.
func restartAfter(ctx context.Context, t installer.Terminal) error {
	answer, err := t.ReadLine("Press Enter to start it now, or type n to stay: ")
	if errors.Is(err, io.EOF) || err == nil && answer != "" {
		return nil
	}
	if err != nil {
		return err
	}
	return systemd.Reboot(ctx)
}

// installMedium is applyMedium for somebody who reads what is told.
func (a *App) installMedium(ctx context.Context, o install.Options, firmware *os.Root) error {
	told, err := a.applyMedium(ctx, o, firmware)
	if err == nil && !told {
		fmt.Fprintln(a.Stderr, "notice: the disk has to be chosen in the menu of the firmware, if that does not find it by itself")
	}
	return err
}

// applyMedium installs what is on the medium of the options, with progress, and makes
// the firmware start the disk, if there is one. It reports whether that was told.
func (a *App) applyMedium(ctx context.Context, o install.Options, firmware *os.Root) (told bool, err error) {
	run, err := os.OpenRoot("/run")
	if err != nil {
		return false, err
	}
	defer run.Close()
	lock, err := machine.TakeLock(ctx, run, machine.LockOptions{})
	if err != nil {
		return false, err
	}
	defer lock.Release()
	if o.Config, err = runningConfig(); err != nil {
		return false, err
	}
	progress, done, err := a.progress(progressFlags{})
	if err != nil {
		return false, err
	}
	defer done()
	plan, err := install.New(ctx, o)
	if err != nil {
		return false, err
	}
	defer plan.Close()
	if _, err := plan.Apply(ctx, progress); err != nil {
		return false, err
	}
	if err := ejectLater(run, o.Medium); err != nil {
		progress.Send(bootc.Notice{Text: fmt.Sprintf("notice: the disc is not ejected at the end: %v", err)})
	}
	return tellFirmware(plan, firmware, progress), nil
}

// tellFirmware registers the disk with the firmware, if there is one, and reports
// whether it knows it now.
func tellFirmware(plan *install.Plan, firmware *os.Root, progress bootc.Progress) bool {
	if firmware == nil {
		return false
	}
	if err := plan.Register(firmware); err != nil {
		progress.Send(bootc.Notice{Text: fmt.Sprintf("notice: the firmware does not know the disk: %v", err)})
		return false
	}
	return true
}
