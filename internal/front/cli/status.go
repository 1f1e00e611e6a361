package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/status"
	"github.com/bootc-go/bootc/internal/front/render"
	"github.com/bootc-go/bootc/internal/machine"
)

func (a *App) statusCommand() *cobra.Command {
	var format, version string
	var asJSON, booted, verbose bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what is booted, staged and kept for a rollback",
		Long: "Show what is booted, staged and kept for a rollback: for people on a terminal,\n" +
			"as YAML elsewhere.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				format = "json"
			}
			if version != "" && version != "0" && version != "1" {
				return fmt.Errorf("unsupported format version: %s (known: 0, 1)", version)
			}
			return a.status(format, booted, verbose)
		},
	}
	cmd.Flags().Var(&choice{value: &format, of: []string{"humanreadable", "yaml", "json"}}, "format", "humanreadable, yaml or json")
	cmd.Flags().StringVar(&version, "format-version", "", "version of the document: 0 or 1, which are the same")
	cmd.Flags().BoolVar(&booted, "booted", false, "leave out what is staged and what can be rolled back to")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show more")
	cmd.Flags().BoolVar(&asJSON, "json", false, "the same as --format=json")
	cmd.Flags().MarkHidden("json")
	cmd.MarkFlagsMutuallyExclusive("json", "format")
	return cmd
}

func (a *App) status(format string, booted, verbose bool) error {
	if format == "" {
		format = "yaml"
		if isTerminal(a.Stdout) {
			format = "humanreadable"
		}
	}
	h, err := a.host()
	if err != nil {
		return err
	}
	if booted {
		h.Status.Staged, h.Status.Rollback, h.Status.OtherDeployments = nil, nil, nil
	}
	switch format {
	case "humanreadable":
		return render.Human(a.Stdout, h, verbose)
	case "yaml":
		return render.YAML(a.Stdout, h)
	}
	return render.JSON(a.Stdout, h)
}

// host reads the machine: all of it as root, what is public as another user,
// an empty document where nothing was booted by bootc.
func (a *App) host() (*bootc.Host, error) {
	if machine.InContainer() {
		return bootc.NewHost(), nil
	}
	open := machine.OpenReading
	if os.Geteuid() != 0 {
		open = machine.OpenPublic
	}
	m, err := open()
	if errors.Is(err, machine.ErrNotBooted) {
		return bootc.NewHost(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot show the status: %w", err)
	}
	defer m.Close()
	h, err := status.Of(m)
	if err != nil {
		fmt.Fprintf(a.Stderr, "warning: %s\n", message(err))
	}
	return h, nil
}
