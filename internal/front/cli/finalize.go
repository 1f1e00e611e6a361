package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc/internal/action/finalize"
	"github.com/bootc-go/bootc/internal/linux/systemd"
	"github.com/bootc-go/bootc/internal/machine"
)

// finalizeWait is how long the shutdown waits for a verb that is at work. A
// verb is killed by the shutdown itself long before.
const finalizeWait = 2 * time.Minute

func (a *App) finalizeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "composefs-finalize-staged",
		Short: "Make the staged update the default (run by bootc-finalize-staged.service at shutdown)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.finalize(cmd.Context()); err != nil {
				return fmt.Errorf("cannot finalize: %w", err)
			}
			return nil
		},
	}
}

func (a *App) finalize(ctx context.Context) error {
	m, unlock, err := a.openWaiting(ctx, finalizeWait)
	if errors.Is(err, machine.ErrNotBooted) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	plan, err := finalize.New(m)
	if err != nil {
		return errors.Join(err, finalize.Failed(m, err))
	}
	if plan.Nothing {
		fmt.Fprintln(a.Stdout, "No staged update to apply.")
		return nil
	}
	if err := plan.Apply(ctx, nil); err != nil {
		return err
	}
	fmt.Fprintln(a.Stdout, "The staged update is the default now.")
	return nil
}

// restoreCommand is called by a unit at boot.
func (a *App) restoreCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "restore-staged",
		Hidden: true,
		Short:  "Clean up after a power cut and tell /run what is staged (run by bootc-staged-restore.service at boot)",
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			staged, err := a.restore(cmd.Context())
			if err == nil && staged {
				err = systemd.StartUnit(cmd.Context(), "bootc-finalize-staged.service")
			}
			if err != nil {
				return fmt.Errorf("cannot restore the staged update: %w", err)
			}
			return nil
		},
	}
}

func (a *App) restore(ctx context.Context) (bool, error) {
	m, unlock, err := a.openWaiting(ctx, finalizeWait)
	if errors.Is(err, machine.ErrNotBooted) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer unlock()
	return m.Restore(ctx)
}
