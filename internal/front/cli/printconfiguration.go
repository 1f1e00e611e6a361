package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc/internal/action/install"
	"github.com/bootc-go/bootc/internal/format/installconfig"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

func (a *App) printConfigurationCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "print-configuration",
		Short: "Print the installation defaults of the image",
		Long: "Print the installation defaults of the image whose root file system is the\n" +
			"running one, as one line of JSON. It is for other installers.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := a.printConfiguration(all); err != nil {
				return fmt.Errorf("cannot print the configuration: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "print kernel arguments too")
	return cmd
}

func (a *App) printConfiguration(all bool) error {
	c, err := runningConfig()
	if err != nil {
		return err
	}
	for _, key := range c.Unknown {
		fmt.Fprintf(a.Stderr, "warning: %s: unknown key, which is passed over\n", key)
	}
	return c.Print(a.Stdout, all)
}

// runningConfig reads the installation defaults of the running root.
func runningConfig() (*installconfig.Config, error) {
	root, err := dir.Open("/")
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return install.ReadConfig(root, runtime.GOARCH)
}
