package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/upgrade"
	"github.com/bootc-go/bootc/internal/linux/systemd"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// upgradeFlags are the options that upgrade and switch share.
type upgradeFlags struct {
	progressFlags
	apply, retry bool
}

func (f *upgradeFlags) add(cmd *cobra.Command) {
	f.progressFlags.add(cmd)
	cmd.Flags().BoolVar(&f.apply, "apply", false, "reboot into the new image when there is one")
	cmd.Flags().BoolVar(&f.retry, "retry", false, "take an image although it was rolled back or has failed before")
	refuse(cmd, "soft-reboot")
}

func (a *App) upgradeCommand() *cobra.Command {
	var f upgradeFlags
	var o upgrade.Options
	var check, fromDownloaded bool
	cmd := &cobra.Command{
		Use:     "upgrade",
		Aliases: []string{"update"},
		Short:   "Fetch the newest image and queue it for the next boot",
		Long: "Fetch the newest image of the reference that the machine follows and queue it\n" +
			"for the next boot. /etc is merged and /var kept when the machine shuts down.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Retry = f.retry
			switch {
			case check:
				return a.check(cmd.Context(), o)
			case fromDownloaded:
				return a.fromDownloaded(cmd.Context(), f.apply)
			}
			return a.upgrade(cmd.Context(), "upgrade", o, f)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&check, "check", false, "tell what is new and change nothing")
	cmd.Flags().BoolVar(&o.DownloadOnly, "download-only", false, "stage the image, but do not apply it at shutdown")
	cmd.Flags().BoolVar(&fromDownloaded, "from-downloaded", false, "apply what --download-only staged, without asking the registry")
	cmd.Flags().StringVar(&o.Tag, "tag", "", "go to another `TAG` of the same repository")
	cmd.MarkFlagsMutuallyExclusive("check", "apply")
	cmd.MarkFlagsMutuallyExclusive("check", "download-only")
	cmd.MarkFlagsMutuallyExclusive("check", "from-downloaded")
	cmd.MarkFlagsMutuallyExclusive("download-only", "apply")
	cmd.MarkFlagsMutuallyExclusive("download-only", "from-downloaded")
	cmd.MarkFlagsMutuallyExclusive("tag", "from-downloaded")
	cmd.MarkFlagsMutuallyExclusive("retry", "from-downloaded")
	return cmd
}

func (a *App) switchCommand() *cobra.Command {
	var f upgradeFlags
	var transport string
	var noSignature, retain bool
	cmd := &cobra.Command{
		Use:   "switch TARGET",
		Short: "Follow another image and queue it for the next boot",
		Long: "Follow another image and queue it for the next boot. /etc and /var are kept.\n" +
			"TARGET is a name in a registry, or TRANSPORT:NAME.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := parseTarget(transport, args[0])
			if err != nil {
				return err
			}
			return a.upgrade(cmd.Context(), "switch", upgrade.Options{Target: &ref, Retry: f.retry}, f)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&transport, "transport", "registry", "how TARGET is to be read: registry, oci, oci-archive, docker-archive, containers-storage, dir")
	cmd.Flags().BoolVar(&noSignature, "no-signature-verification", false, "accepted: the containers policy decides")
	cmd.Flags().BoolVar(&retain, "retain", false, "accepted: images are collected by what boot entries name")
	cmd.Flags().MarkHidden("no-signature-verification")
	cmd.Flags().MarkHidden("retain")
	refuse(cmd, "enforce-container-sigpolicy", "mutate-in-place", "experimental-unified-storage")
	return cmd
}

func parseTarget(transport, name string) (bootc.Ref, error) {
	t, err := bootc.ParseTransport(transport)
	if err != nil {
		return bootc.Ref{}, fmt.Errorf("--transport: %w", err)
	}
	if t == bootc.Registry {
		return bootc.ParseRef(name)
	}
	return bootc.ParseRef(string(t) + ":" + name)
}

// upgrade is bootc upgrade and bootc switch.
func (a *App) upgrade(ctx context.Context, verb string, o upgrade.Options, f upgradeFlags) error {
	m, unlock, err := a.openLocked(ctx)
	if err != nil {
		return fmt.Errorf("cannot %s: %w", verb, err)
	}
	defer unlock()
	progress, done, err := a.progress(f.progressFlags)
	if err != nil {
		return err
	}
	defer done()
	o.Registry = a.registryOptions(progress)
	plan, err := upgrade.New(ctx, m, o)
	if err != nil {
		return fmt.Errorf("cannot %s: %w", verb, err)
	}
	defer plan.Close()
	result, err := plan.Apply(ctx, progress)
	done()
	if err != nil {
		return fmt.Errorf("cannot %s: %w", verb, err)
	}
	a.printOutcome(plan, result, f)
	reboot := plan.Outcome == upgrade.Update && result.Staged || plan.Outcome == upgrade.Unlock || plan.Outcome == upgrade.AlreadyStaged
	if f.apply && reboot {
		return a.reboot(ctx, unlock)
	}
	return nil
}

func (a *App) printOutcome(p *upgrade.Plan, r *upgrade.Result, f upgradeFlags) {
	switch p.Outcome {
	case upgrade.NoChange:
		fmt.Fprintf(a.Stdout, "No changes in: %s\n", p.Ref)
	case upgrade.SameReference:
		fmt.Fprintln(a.Stdout, "Image specification is unchanged.")
	case upgrade.AlreadyStaged:
		fmt.Fprintf(a.Stdout, "No changes in staged image: %s\n", p.Ref)
		if p.DownloadOnly() {
			fmt.Fprintln(a.Stdout, "It is downloaded, but will not be applied on reboot.")
		} else if !f.apply {
			fmt.Fprintln(a.Stdout, "It is queued for the next boot.")
		}
	case upgrade.Unlock:
		fmt.Fprintln(a.Stdout, "Staged deployment will now be applied on reboot")
	case upgrade.Lock:
		fmt.Fprintln(a.Stdout, "Image downloaded, but will not be applied on reboot")
	case upgrade.Rejected:
		fmt.Fprintf(a.Stdout, "No update available: %s (digest %s) %s.\n", p.Ref, p.Manifest, rejected(p.Rejection))
		fmt.Fprintln(a.Stdout, "To take it all the same, run `bootc upgrade --retry`; a newer image is taken by itself.")
	case upgrade.Update:
		a.printQueued(r, p)
	}
}

// rejected says why an image is not taken by itself.
func rejected(r *deploy.Rejection) string {
	when := r.Time.Format("2006-01-02 15:04 MST")
	if r.Reason != deploy.Failed {
		return "was " + r.Reason + " on " + when
	}
	return "has failed on " + when + ": " + r.Detail
}

func (a *App) printQueued(r *upgrade.Result, p *upgrade.Plan) {
	if !r.Staged {
		fmt.Fprintf(a.Stdout, "The running system has the same content; it follows %s now. No reboot is needed.\n", r.Ref)
		return
	}
	if p.DownloadOnly() {
		fmt.Fprintf(a.Stdout, "Downloaded, not applied on reboot: %s\n", r.Ref)
	} else {
		fmt.Fprintf(a.Stdout, "Queued for next boot: %s\n", r.Ref)
	}
	if r.Version != "" {
		fmt.Fprintf(a.Stdout, "  Version: %s\n", r.Version)
	}
	fmt.Fprintf(a.Stdout, "  Digest: %s\n", r.Manifest)
	if p.DownloadOnly() {
		fmt.Fprintln(a.Stdout, "To apply it, run `bootc upgrade --from-downloaded` and reboot.")
	}
}

// check is bootc upgrade --check.
func (a *App) check(ctx context.Context, o upgrade.Options) error {
	m, err := openPreview()
	if err != nil {
		return fmt.Errorf("cannot check for updates: %w", err)
	}
	defer m.Close()
	o.Registry = a.registryOptions(nil)
	p, err := upgrade.New(ctx, m, o)
	if err != nil {
		return fmt.Errorf("cannot check for updates: %w", err)
	}
	defer p.Close()
	switch p.Outcome {
	case upgrade.Update:
	case upgrade.Unlock:
		fmt.Fprintf(a.Stdout, "Downloaded, not applied on reboot: %s\n", p.Ref)
		return nil
	default:
		a.printOutcome(p, &upgrade.Result{Ref: p.Ref, Manifest: p.Manifest}, upgradeFlags{})
		return nil
	}
	fmt.Fprintf(a.Stdout, "Update available for: %s\n", p.Ref.Containers())
	if p.Version != "" {
		fmt.Fprintf(a.Stdout, "  Version: %s\n", p.Version)
	}
	fmt.Fprintf(a.Stdout, "  Digest: %s\n", p.Manifest)
	l := p.Layers
	fmt.Fprintf(a.Stdout, "Total new layers: %-4d  Size: %s\n", l.Total.N, size(l.Total.Size))
	fmt.Fprintf(a.Stdout, "Removed layers:   %-4d  Size: %s\n", l.Removed.N, size(l.Removed.Size))
	fmt.Fprintf(a.Stdout, "Added layers:     %-4d  Size: %s\n", l.Added.N, size(l.Added.Size))
	room, err := p.Room(ctx)
	if err != nil {
		fmt.Fprintf(a.Stderr, "warning: the room that it needs is not known: %v\n", err)
		return nil
	}
	fmt.Fprintf(a.Stdout, "Room needed:      about %s, of %s\n", size(room.Estimate), size(max(0, room.Free+room.Garbage)))
	fmt.Fprintf(a.Stdout, "  on the ESP:     about %s, of %s\n", size(room.ESP.Needed), size(room.ESP.Free+room.Other))
	return nil
}

// fromDownloaded is bootc upgrade --from-downloaded.
func (a *App) fromDownloaded(ctx context.Context, apply bool) error {
	m, unlock, err := a.openLocked(ctx)
	if err != nil {
		return fmt.Errorf("cannot upgrade: %w", err)
	}
	defer unlock()
	st, err := m.State.Staged()
	if err != nil {
		return fmt.Errorf("cannot upgrade: %w", err)
	}
	if st == nil {
		return errors.New("cannot upgrade: no staged deployment found")
	}
	if err := systemd.StartUnit(ctx, "bootc-finalize-staged.service"); err != nil {
		return fmt.Errorf("cannot upgrade: %w", err)
	}
	if st.Locked {
		if err := upgrade.SetLocked(m, false); err != nil {
			return fmt.Errorf("cannot upgrade: %w", err)
		}
		fmt.Fprintln(a.Stdout, "Staged deployment will now be applied on reboot")
	} else {
		fmt.Fprintln(a.Stdout, "Staged deployment is already set to apply on reboot")
	}
	if apply {
		return a.reboot(ctx, unlock)
	}
	return nil
}

// reboot asks systemd for a reboot and waits for it. The lock is released
// first: at shutdown the finalize service takes it.
func (a *App) reboot(ctx context.Context, unlock func()) error {
	unlock()
	fmt.Fprintln(a.Stdout, "Rebooting.")
	return systemd.Reboot(ctx)
}

func size(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d bytes", n)
	}
	value, i := float64(n), -1
	for value >= unit && i < 4 {
		value /= unit
		i++
	}
	return fmt.Sprintf("%.1f %cB", value, "kMGTP"[i])
}
