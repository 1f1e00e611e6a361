package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc/internal/action/computedigest"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// containerCommand holds what is run while an image is built.
func (a *App) containerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "container", Short: "What is run while an image is built",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.computeDigestCommand())
	for _, name := range []string{"inspect", "lint", "compute-composefs-digest-from-storage", "split-kernel-and-rootfs", "ukify", "export"} {
		cmd.AddCommand(missing(name))
	}
	return cmd
}

func (a *App) computeDigestCommand() *cobra.Command {
	var dump string
	cmd := &cobra.Command{
		Use:   "compute-composefs-digest [PATH]",
		Short: "Compute the deployment ID of a root file system",
		Long: "Compute the deployment ID of the root file system of an image that is mounted at\n" +
			"PATH, /target if none is given: what composefs= must say in its unified kernel\nimage.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/target"
			if len(args) > 0 {
				path = args[0]
			}
			if err := a.computeDigest(cmd.Context(), path, dump); err != nil {
				return fmt.Errorf("cannot compute the digest of %s: %w", path, err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dump, "write-dumpfile-to", "", "also write the tree that boots, in composefs dump format, to `FILE`")
	return cmd
}

func (a *App) computeDigest(ctx context.Context, path, dump string) error {
	if abs, err := filepath.Abs(path); err != nil || abs == "/" {
		return errors.Join(err, errors.New("the root of the running system changes while it is read"))
	}
	root, err := dir.Open(path)
	if err != nil {
		return err
	}
	defer root.Close()
	r, err := computedigest.Of(ctx, root)
	if err != nil {
		return err
	}
	if r.Fractions > 0 {
		fmt.Fprintf(a.Stderr, "warning: the times of %d files and directories have fractions of a second, first that of %q; an image that is pushed with whole seconds has another digest\n", r.Fractions, r.FirstFraction)
	}
	if dump != "" {
		if err := writeDump(dump, r); err != nil {
			return err
		}
	}
	fmt.Fprintln(a.Stdout, r.ID)
	return nil
}

func writeDump(name string, r *computedigest.Result) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(upstreamDump.Write(f, r.Tree), f.Close())
}
