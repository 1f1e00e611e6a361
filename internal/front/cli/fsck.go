package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/cfs"
	"github.com/bootc-go/bootc/internal/action/fsck"
	"github.com/bootc-go/bootc/internal/machine"
)

// errDamage means that a repair was not asked for and may help, errStillDamage
// that it was done.
var (
	errDamage      = errors.New("there is damage")
	errStillDamage = errors.New("there is still damage")
)

func (a *App) fsckCommand() *cobra.Command {
	var repair bool
	var f progressFlags
	cmd := &cobra.Command{
		Use: "fsck", Short: "Check the image repository and the images of the deployments", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.fsck(cmd.Context(), repair, f); err != nil {
				return fmt.Errorf("cannot vouch for the machine: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&repair, "repair", false, "fetch again what is damaged or missing")
	f.add(cmd)
	return cmd
}

func (a *App) fsck(ctx context.Context, repair bool, f progressFlags) error {
	var m *machine.Machine
	var err error
	if repair {
		var unlock func()
		if m, unlock, err = a.openLocked(ctx); err == nil {
			defer unlock()
		}
	} else if m, err = machine.OpenReading(); err == nil {
		defer m.Close()
	}
	if err != nil {
		return err
	}
	all, deployErr := fsck.Deployments(m)
	r, err := fsck.Check(ctx, m.Repo, all)
	if err != nil {
		return err
	}
	var failed error
	if repair && !r.OK() {
		a.printFound(r)
		progress, done, err := a.progress(f)
		if err != nil {
			return err
		}
		r, failed = r.Repair(ctx, m.Repo, a.registryOptions(progress), progress)
		done()
	}
	a.printFound(r)
	switch err := errors.Join(deployErr, failed); {
	case err != nil || r.OK():
		return err
	case repair:
		return errStillDamage
	}
	return errDamage
}

func (a *App) printFound(r *fsck.Report) {
	a.printReport(r.Repo)
	for _, i := range r.Damaged {
		fmt.Fprintf(a.Stdout, "damaged: %s (%s)\n", i.Name, i.Manifest)
	}
}

// cfsRepair repairs the images that have a tag.
func (a *App) cfsRepair(ctx context.Context, r *cfs.Repository, source string) error {
	var ref *bootc.Ref
	if source != "" {
		parsed, err := bootc.ParseRef(source)
		if err != nil {
			return fmt.Errorf("--source: %w", err)
		}
		ref = &parsed
	}
	all, err := fsck.Tagged(r.Repository, ref)
	if err != nil {
		return err
	}
	report, err := fsck.Check(ctx, r.Repository, all)
	if err != nil {
		return err
	}
	if !report.OK() {
		report, err = report.Repair(ctx, r.Repository, a.registryOptions(nil), nil)
	}
	a.printFound(report)
	if err == nil && !report.OK() {
		err = errors.New("repository integrity check failed")
	}
	return err
}
