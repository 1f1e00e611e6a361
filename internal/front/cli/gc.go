package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc/internal/action/gc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/machine"
)

// gcFlags are the options of bootc internals composefs-gc.
type gcFlags struct{ dryRun, assertNoOp, prune bool }

func (a *App) composefsGCCommand() *cobra.Command {
	var f gcFlags
	cmd := &cobra.Command{
		Use: "composefs-gc", Short: "Remove what no deployment needs",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.gc(cmd.Context(), f) },
	}
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only show what would be removed")
	cmd.Flags().BoolVar(&f.assertNoOp, "assert-no-op", false, "fail if there is something to remove, and remove nothing")
	cmd.Flags().BoolVar(&f.prune, "prune-repo", false, "collect the garbage of the image repository, too")
	return cmd
}

func (a *App) cleanupCommand() *cobra.Command {
	return &cobra.Command{
		Use: "cleanup", Short: "Remove what no deployment needs, and the garbage of the image repository",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.gc(cmd.Context(), gcFlags{prune: true})
		},
	}
}

func (a *App) gc(ctx context.Context, f gcFlags) error {
	err := a.collect(ctx, f)
	if err != nil {
		return fmt.Errorf("cannot remove what is not needed: %w", err)
	}
	return nil
}

func (a *App) collect(ctx context.Context, f gcFlags) error {
	var m *machine.Machine
	var err error
	if f.dryRun || f.assertNoOp {
		if m, err = openPreview(); err == nil {
			defer m.Close()
		}
	} else {
		var unlock func()
		if m, unlock, err = a.openLocked(ctx); err == nil {
			defer unlock()
		}
	}
	if err != nil {
		return err
	}
	p, err := gc.New(ctx, m, gc.Options{Prune: f.prune})
	if err != nil {
		return err
	}
	if f.dryRun || f.assertNoOp {
		a.printLeftovers(p.Leftovers)
		if f.prune {
			a.printGarbage(p.Garbage, true)
		}
		if f.assertNoOp && !p.Nothing() {
			return errors.New("there is something to remove")
		}
		return nil
	}
	a.printLeftovers(p.Leftovers)
	if err := p.Apply(ctx); err != nil {
		return err
	}
	if f.prune {
		a.printGarbage(p.Garbage, false)
	}
	return nil
}

func (a *App) printLeftovers(l *machine.Leftovers) {
	for _, name := range l.Boot {
		fmt.Fprintf(a.Stdout, "Boot: %s\n", name)
	}
	for _, id := range l.Deployments {
		fmt.Fprintf(a.Stdout, "Deployment: %s\n", id)
	}
	for _, d := range l.Tags {
		fmt.Fprintf(a.Stdout, "Image: %s\n", d)
	}
}

// printGarbage writes what was collected as upstream's tool does, which counts
// no links where it removes none.
func (a *App) printGarbage(g images.Garbage, dryRun bool) {
	if dryRun {
		fmt.Fprintln(a.Stdout, "Dry run (no files deleted):")
	}
	fmt.Fprintf(a.Stdout, "Objects: %d removed (%d bytes)\n", g.Objects, g.Bytes)
	if !dryRun && g.Images+g.Streams > 0 {
		fmt.Fprintf(a.Stdout, "Pruned symlinks: %d images, %d streams\n", g.Images, g.Streams)
	}
}
