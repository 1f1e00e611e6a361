package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc/internal/action/rollback"
)

func (a *App) rollbackCommand() *cobra.Command {
	var apply bool
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Make the previous deployment the next to boot",
		Long: "Make the previous deployment the next to boot. A second call takes it back. A\n" +
			"staged update is dropped. /etc is the one that the previous deployment had.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.rollback(cmd.Context(), apply); err != nil {
				return fmt.Errorf("cannot roll back: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&apply, "apply", false, "reboot at once")
	refuse(cmd, "soft-reboot")
	return cmd
}

func (a *App) rollback(ctx context.Context, apply bool) error {
	m, unlock, err := a.openLocked(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	plan, err := rollback.New(m)
	if err != nil {
		return err
	}
	progress, done, err := a.progress(progressFlags{quiet: true})
	if err != nil {
		return err
	}
	defer done()
	if err := plan.Apply(ctx, progress); err != nil {
		return err
	}
	if plan.Staged != nil {
		fmt.Fprintf(a.Stdout, "notice: The staged update is dropped: %s\n", plan.Staged.Origin.Ref)
	}
	if plan.Revert {
		fmt.Fprintln(a.Stdout, "notice: Reverting queued rollback state")
	}
	if !plan.Back() {
		fmt.Fprintln(a.Stdout, "Next boot: current deployment")
		return nil
	}
	fmt.Fprintln(a.Stdout, "Next boot: rollback deployment")
	if apply {
		return a.reboot(ctx, unlock)
	}
	return nil
}
