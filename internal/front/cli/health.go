package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc/internal/action/assess"
	"github.com/bootc-go/bootc/internal/format/cmdline"
	"github.com/bootc-go/bootc/internal/linux/efivars"
	"github.com/bootc-go/bootc/internal/linux/systemd"
	"github.com/bootc-go/bootc/internal/linux/tool"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/deploy"
	"github.com/bootc-go/bootc/internal/machine/health"
)

// healthCommand holds what units call to judge a boot: packaging/README.md,
// "Automatic rollback".
func (a *App) healthCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "health", Hidden: true, Short: "Judge this boot (run by units)"}
	var emergency bool
	sub := func(use, short, doing string, run func(context.Context) error) *cobra.Command {
		c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			err := run(cmd.Context())
			if err == nil || errors.Is(err, machine.ErrNotBooted) {
				return nil
			}
			return fmt.Errorf("cannot %s: %w", doing, err)
		}}
		cmd.AddCommand(c)
		return c
	}
	sub("begin", "Note that this boot has begun, and judge those before", "judge the boots before", a.healthBegin)
	sub("check", "Run the health checks", "vouch for this boot", a.healthCheck)
	sub("bless", "Note that this boot is good", "note that this boot is good", a.healthBless)
	fail := sub("fail", "Note that this boot has failed, and reboot if it is on trial", "note that this boot has failed", func(ctx context.Context) error {
		return a.healthFail(ctx, emergency)
	})
	fail.Flags().BoolVar(&emergency, "emergency", false, "the boot has ended at an emergency shell")
	return cmd
}

// thisBoot is the boot that runs.
func thisBoot() (assess.Boot, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return assess.Boot{}, err
	}
	up, err := uptime()
	if err != nil {
		return assess.Boot{}, err
	}
	now := time.Now().UTC().Truncate(time.Second)
	return assess.Boot{
		ID:    strings.TrimSpace(string(id)),
		Now:   now,
		Began: now.Add(-up).Truncate(time.Second),
		Before: func(since time.Time) (all []deploy.Failure) {
			for _, t := range health.Before(os.DirFS("/"), since) {
				kind := deploy.Panic
				if t.Watchdog {
					kind = deploy.Watchdog
				}
				all = append(all, deploy.Failure{Kind: kind, Text: t.Text})
			}
			return all
		},
	}, nil
}

// uptime is the time since the kernel started.
func uptime() (time.Duration, error) {
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0, err
	}
	seconds, _, _ := strings.Cut(string(text), " ")
	return time.ParseDuration(seconds + "s")
}

func (a *App) healthBegin(ctx context.Context) error {
	m, unlock, err := a.openWaiting(ctx, finalizeWait)
	if err != nil {
		return err
	}
	defer unlock()
	b, err := thisBoot()
	if err != nil {
		return err
	}
	told, err := assess.Begin(m, b)
	for _, t := range told {
		fmt.Fprintln(a.Stdout, t)
	}
	return err
}

func (a *App) healthBless(ctx context.Context) error {
	m, unlock, err := a.openWaiting(ctx, finalizeWait)
	if err != nil {
		return err
	}
	defer unlock()
	return assess.Good(m)
}

// healthCheck fails if the system is not healthy. What has failed is recorded if
// its deployment is on trial.
func (a *App) healthCheck(ctx context.Context) error {
	failures, err := a.runChecks(ctx)
	if ctx.Err() != nil { // a shutdown is no failure
		return context.Cause(ctx)
	}
	if err != nil {
		failures = append(failures, deploy.Failure{Kind: deploy.CheckFailed, Text: err.Error()})
	}
	if len(failures) == 0 {
		a.runAfterChecks(ctx, true)
		return nil
	}
	var texts []string
	for _, f := range failures {
		texts = append(texts, f.Text)
	}
	_, err = a.recordFailure(ctx, failures, nil)
	a.runAfterChecks(ctx, false)
	return errors.Join(errors.New(strings.Join(texts, "; ")), err)
}

// runChecks runs the checks and returns what has failed. That they could not be
// found is an error.
func (a *App) runChecks(ctx context.Context) (failures []deploy.Failure, err error) {
	root := os.DirFS("/")
	config, err := health.ReadConfig(root)
	if err != nil {
		return nil, err
	}
	checks, err := health.Find(root)
	if err != nil {
		return nil, err
	}
	for _, r := range health.Run(ctx, checks, config.Timeout, runCheck, a.Stdout) {
		failures = append(failures, deploy.Failure{Kind: deploy.CheckFailed, Text: fmt.Sprintf("%s: %v", r.Check.Path, r.Err), Output: r.Output})
	}
	if !config.FailedUnits {
		return failures, nil
	}
	failed, err := systemd.FailedUnits(ctx)
	for _, u := range health.Units(failed) {
		failures = append(failures, deploy.Failure{Kind: deploy.CheckFailed, Text: "the unit " + u + " has failed"})
	}
	return failures, err
}

// runAfterChecks runs what is to be run in a boot that is healthy, or is not. What
// fails of it changes nothing.
func (a *App) runAfterChecks(ctx context.Context, healthy bool) {
	root := os.DirFS("/")
	config, err := health.ReadConfig(root)
	if err != nil {
		config.Timeout = health.DefaultTimeout // it has been told
	}
	programs, err := health.After(root, healthy)
	if err != nil {
		fmt.Fprintf(a.Stderr, "warning: what is to be run after the checks is not found: %s\n", message(err))
	}
	health.RunAfter(ctx, programs, config.Timeout, runCheck, a.Stdout)
}

func runCheck(ctx context.Context, c health.Check, limit time.Duration, log io.Writer) (string, error) {
	return tool.Script(ctx, c.Path, c.Executable, limit, log)
}

// recordFailure records evidence and reports whether the machine is to be
// rebooted.
func (a *App) recordFailure(ctx context.Context, failures []deploy.Failure, otherwise func() deploy.Failure) (bool, error) {
	m, unlock, err := a.openWaiting(ctx, finalizeWait)
	if err != nil {
		return countedBoot(), err
	}
	defer unlock()
	b, err := thisBoot()
	if err != nil {
		return countedBoot(), err
	}
	journal, _ := systemd.Journal(ctx) // not all systems have it at this moment
	return assess.Fail(m, b, failures, otherwise, journal)
}

// countedBoot reports whether the loader has taken a try for this boot. A boot
// that was found good since is not told from others.
func countedBoot() bool {
	path, err := efivars.Text(os.DirFS(efivars.Path), "LoaderBootCountPath", efivars.LoaderVendor)
	return err == nil && path != ""
}

// healthFail ends a boot on trial that has failed. Any other boot is left as it
// is: its owner may be at work on it.
func (a *App) healthFail(ctx context.Context, emergency bool) error {
	if emergency {
		if line, err := os.ReadFile("/proc/cmdline"); err == nil && cmdline.WantsShell(string(line)) {
			return nil
		}
	}
	reboot, err := a.recordFailure(ctx, nil, func() deploy.Failure { return evidence(ctx, emergency) })
	if !reboot || !countedBoot() { // else it would boot this again, and again
		return err
	}
	if err != nil {
		fmt.Fprintf(a.Stderr, "warning: the evidence is not recorded: %s\n", message(err))
	}
	fmt.Fprintln(a.Stdout, "This boot is on trial and has failed. Rebooting.")
	return systemd.Reboot(ctx)
}

// failUnit is the unit that gives a boot up, by "internals health fail". While it does so
// it is being started itself.
const failUnit = "bootc-boot-failed.service"

// evidence says what is known of a boot that was given up.
func evidence(ctx context.Context, emergency bool) deploy.Failure {
	if emergency {
		failed, _ := systemd.FailedUnits(ctx)
		return deploy.Failure{Kind: deploy.Emergency, Text: "the boot ended at an emergency shell; failed units: " + list(failed)}
	}
	running, _ := systemd.RunningJobs(ctx)
	running = slices.DeleteFunc(running, func(unit string) bool { return unit == failUnit })
	return deploy.Failure{Kind: deploy.Deadline, Text: "the boot was not complete in time; units that were being started: " + list(running)}
}

func list(units []string) string {
	if len(units) == 0 {
		return "none"
	}
	return strings.Join(units[:min(len(units), 10)], ", ")
}
