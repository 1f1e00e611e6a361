package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc/internal/action/dirdiff"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dir"
	"github.com/bootc-go/bootc/internal/linux/fsverity"
)

// internalsCommand holds what units, generators and tests call.
func (a *App) internalsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "internals", Hidden: true, Short: "Parts called by units and tests",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.restoreCommand(), a.generatorCommand(), a.dirDiffCommand(), a.fsverityCommand(),
		a.mkcomposefsCommand(), a.composefsInfoCommand(), a.composefsGCCommand(), a.cleanupCommand(), a.cfsCommand(), a.fsckCommand(),
		a.installerCommand(), a.healthCommand())
	for _, name := range []string{"fixup-etc-fstab", "sysusers-sync", "print-json-schema", "relabel",
		"prep-soft-reboot", "blockdev", "uki", "reboot"} {
		cmd.AddCommand(missing(name))
	}
	return cmd
}

func (a *App) dirDiffCommand() *cobra.Command {
	var merge bool
	cmd := &cobra.Command{
		Use: "dir-diff PRISTINE CURRENT NEW", Hidden: true,
		Short: "Show what a three-way merge of /etc carries over, or do it",
		Args:  cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.dirDiff(cmd.Context(), args, merge)
		},
	}
	cmd.Flags().BoolVar(&merge, "merge", false, "change NEW in place")
	return cmd
}

func (a *App) dirDiff(ctx context.Context, paths []string, merge bool) error {
	var dirs []*dir.Dir
	for _, path := range paths {
		d, err := dir.Open(path)
		if err != nil {
			return err
		}
		defer d.Close()
		dirs = append(dirs, d)
	}
	return dirdiff.Run(ctx, a.Stdout, dirs[0], dirs[1], dirs[2], merge)
}

func (a *App) fsverityCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "fsverity", Hidden: true, Short: "Measure a file or enable fs-verity on it"}
	cmd.AddCommand(
		&cobra.Command{Use: "measure PATH", Args: cobra.ExactArgs(1), RunE: func(_ *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			d, err := fsverity.Measure(f)
			if err == nil {
				fmt.Fprintln(a.Stdout, d)
			}
			return err
		}},
		&cobra.Command{Use: "enable PATH", Args: cobra.ExactArgs(1), RunE: func(_ *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			return fsverity.Enable(f, verity.SHA256)
		}},
	)
	return cmd
}

// generatorCommand is systemd's generator. It enables the units that restore a
// staged update, grow the root and judge the boot on a system that was booted by
// bootc.
func (a *App) generatorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "systemd-generator NORMAL [EARLY LATE]", Hidden: true, Short: "Called by systemd at boot",
		Args: cobra.RangeArgs(1, 3),
		RunE: func(_ *cobra.Command, args []string) error { return generate(args[0]) },
	}
}
