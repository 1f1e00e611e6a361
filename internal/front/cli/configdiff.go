package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc/internal/machine"
)

func (a *App) configDiffCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "config-diff",
		Short: "Show what the machine changed in /etc",
		Long:  "Show which paths in /etc differ from those of the booted image.",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := a.configDiff(); err != nil {
				return fmt.Errorf("cannot compare /etc: %w", err)
			}
			return nil
		},
	}
}

func (a *App) configDiff() error {
	m, err := machine.OpenReading()
	if err != nil {
		return err
	}
	defer m.Close()
	changes, err := m.EtcChanges()
	if err != nil {
		return err
	}
	for _, c := range changes {
		fmt.Fprintln(a.Stdout, c)
	}
	return nil
}
