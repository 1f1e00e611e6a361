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

// fsckFlags are the options of bootc fsck.
type fsckFlags struct {
	repair, json bool
	progress     progressFlags
}

// fsckCommand is bootc fsck, and bootc internals fsck, which is upstream's name.
func (a *App) fsckCommand() *cobra.Command {
	var f fsckFlags
	cmd := &cobra.Command{
		Use: "fsck", Short: "Check the whole machine for damage, and repair it",
		Long: "Check the image repository, the state, the boot entries with what they name, and\n" +
			"the boot loader. Nothing is changed without --repair.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.fsck(cmd.Context(), f); err != nil {
				return fmt.Errorf("cannot vouch for the machine: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&f.repair, "repair", false, "heal what is damaged or missing")
	cmd.Flags().BoolVar(&f.json, "json", false, "as JSON")
	f.progress.add(cmd)
	return cmd
}

func (a *App) fsck(ctx context.Context, f fsckFlags) error {
	var m *machine.Machine
	var err error
	if f.repair {
		var unlock func()
		if m, unlock, err = a.openBy(ctx, usualWait(), machine.OpenDamaged); err == nil {
			defer unlock()
		}
	} else if m, err = machine.OpenDamagedReading(); err == nil {
		defer m.Close()
	}
	if err != nil {
		return err
	}
	if !f.repair {
		w, err := fsck.CheckMachine(ctx, m)
		if err != nil {
			return err
		}
		return errors.Join(a.printWhole(w, nil, f.json), unless(w.OK(), errDamage))
	}
	progress, done, err := a.progress(f.progress)
	if err != nil {
		return err
	}
	r, failed := fsck.RepairMachine(ctx, m, a.registryOptions(progress), progress)
	done()
	if r == nil || r.After == nil {
		return failed
	}
	if err := a.printWhole(r.After, r.Done, f.json); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	return unless(r.After.OK(), errStillDamage)
}

func unless(ok bool, err error) error {
	if ok {
		return nil
	}
	return err
}

// printWhole prints what was done, and what a check has found.
func (a *App) printWhole(w *fsck.Whole, done []string, asJSON bool) error {
	if asJSON {
		if done == nil {
			done = []string{}
		}
		findings := w.Findings
		if findings == nil {
			findings = []fsck.Finding{}
		}
		damaged := []string{}
		for _, i := range w.Store.Damaged {
			damaged = append(damaged, i.Name)
		}
		return a.printJSON(struct {
			OK       bool           `json:"ok"`
			Repaired []string       `json:"repaired"`
			Findings []fsck.Finding `json:"findings"`
			Damaged  []string       `json:"damaged_images"`
			Repo     fsckReport     `json:"repo"`
		}{w.OK(), done, findings, damaged, reportOf(w.Store.Repo)})
	}
	for _, line := range done {
		fmt.Fprintf(a.Stdout, "repaired: %s\n", line)
	}
	a.printFound(w.Store)
	for _, f := range w.Findings {
		fmt.Fprintln(a.Stdout, f)
	}
	return nil
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
