package assess

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// An assessment is what a boot decides about those before it.
type assessment struct {
	m       *machine.Machine
	b       Boot
	entries []boot.Entry
	trial   *deploy.Trial
	told    []string
}

func (a *assessment) tell(format string, args ...any) {
	a.told = append(a.told, fmt.Sprintf(format, args...))
}

// noteBoot adds this boot to the record of the deployment on trial, and gives
// tries back if the one before was only cut off. The record comes first: a cut
// costs a refill, and never gives one too many.
func (a *assessment) noteBoot() error {
	t, err := currentTrial(a.m)
	if err != nil {
		return err
	}
	a.trial = t
	refill := a.excused(t.Last(a.b.ID))
	t.Add(a.b.ID, a.b.Now)
	if err := a.m.State.SetTrial(*t); err != nil {
		return err
	}
	if !refill {
		return nil
	}
	a.tell("the boot before was cut off without a fault of the system: its tries are given back (%d of %d times)", t.Refills, deploy.MaxRefills)
	return a.refill()
}

func (a *assessment) refill() error {
	if err := a.m.Loader.Refill(a.trial.ID); err != nil {
		return fmt.Errorf("giving tries back to the boot entry: %w", err)
	}
	return nil
}

// excused judges a boot of the deployment on trial, once. It reports whether
// that did not fail, and counts the refill that follows.
func (a *assessment) excused(last *deploy.Boot) bool {
	if last == nil || last.Judged {
		return false
	}
	last.Judged = true
	if a.b.Before != nil {
		last.Failures = append(last.Failures, a.b.Before(last.Time)...)
	}
	if len(last.Failures) > 0 || a.trial.Refills >= deploy.MaxRefills {
		return false
	}
	a.trial.Refills++
	return true
}

// judgeOthers looks for deployments that the loader has given up on while
// another one is booted.
func (a *assessment) judgeOthers() error {
	var errs []error
	for _, e := range a.entries {
		if e.ID == "" || e.ID == a.m.Booted.ID || !e.Name.Exhausted() {
			continue
		}
		if err := a.judge(e); err != nil {
			errs = append(errs, fmt.Errorf("judging deployment %s: %w", e.ID.Short(), err))
		}
	}
	return errors.Join(errs...)
}

// judge remembers a deployment without tries left as failed, unless its last
// boot was only cut off, or it is remembered already.
func (a *assessment) judge(e boot.Entry) error {
	o, err := a.m.State.Origin(e.ID)
	if err != nil {
		return err
	}
	known, err := a.m.State.Rejected(o.Manifest)
	if err != nil || known != nil {
		return err
	}
	var boots []deploy.Boot
	own := a.trial != nil && a.trial.ID == e.ID
	if own {
		if a.excused(a.trial.Last("")) {
			if err := a.m.State.SetTrial(*a.trial); err != nil {
				return err
			}
			a.tell("the last boot of deployment %s was cut off without a fault of the system: it is tried again at the next boot", e.ID.Short())
			return a.refill()
		}
		boots = a.trial.Boots
	} else if a.b.Before != nil {
		boots = unknownBoot(a.b)
	}
	detail := why(e.Name.Done, boots)
	err = a.m.State.Reject(deploy.Rejection{
		Manifest: o.Manifest, Reason: deploy.Failed, Time: a.b.Now, Image: o.Ref.String(), Detail: detail, Boots: withEvidence(boots),
	})
	if err != nil {
		return err
	}
	a.tell("the image %s has failed: %s", o.Manifest, detail)
	if own {
		err = a.m.State.ClearTrial()
	}
	return errors.Join(err, a.unstage(e))
}

// unknownBoot is what kernel and hardware have kept of a deployment of which no boot
// came as far as sysinit.target: what has been found since this boot began. Nil if
// there is nothing.
func unknownBoot(b Boot) []deploy.Boot {
	failures := b.Before(b.Began)
	if len(failures) == 0 {
		return nil
	}
	return []deploy.Boot{{Time: b.Began, Judged: true, Failures: failures}}
}

// unstage drops a staged update of a deployment that has just failed: a cut
// between the switch and its record has left it, and it would be switched to
// again.
func (a *assessment) unstage(e boot.Entry) error {
	st, err := a.m.State.Staged()
	if err != nil || st == nil || st.ID != e.ID {
		return err
	}
	return a.m.DropStaged()
}

// why says in one line what became of the boots of a deployment.
func why(done int, boots []deploy.Boot) string {
	tries := fmt.Sprintf("%d boots came to nothing", done)
	if done == 1 {
		tries = "one boot came to nothing"
	}
	if len(boots) == 0 || boots[len(boots)-1].ID == "" {
		tries += "; none got as far as sysinit.target: kernel, initramfs or root file system"
	}
	for i := len(boots) - 1; i >= 0; i-- {
		if f := boots[i].Failures; len(f) > 0 {
			return tries + "; the last evidence: " + oneLine(f[len(f)-1].Text)
		}
	}
	if len(boots) == 0 {
		return tries
	}
	return tries + ", without evidence of the cause"
}

// withEvidence leaves out boots of which nothing is known.
func withEvidence(boots []deploy.Boot) []deploy.Boot {
	var all []deploy.Boot
	for _, b := range boots {
		if len(b.Failures) > 0 || b.Journal != "" {
			all = append(all, b)
		}
	}
	return all[max(0, len(all)-boot.Tries):]
}

// rememberHandedOver remembers the images of deployments that the initramfs
// program could not use before it handed over to this one.
func (a *assessment) rememberHandedOver() error {
	failed, err := a.m.FailedBoots()
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range failed {
		for _, e := range a.entries {
			if e.ID == "" || e.ID == a.m.Booted.ID || !strings.EqualFold(e.Name.Base+".conf", f.Entry) {
				continue
			}
			errs = append(errs, a.handedOver(e, oneLine(f.Reason)))
		}
	}
	return errors.Join(errs...)
}

func (a *assessment) handedOver(e boot.Entry, reason string) error {
	o, err := a.m.State.Origin(e.ID)
	if err != nil {
		return err
	}
	known, err := a.m.State.Rejected(o.Manifest)
	if err != nil || known != nil && known.Reason != deploy.Failed {
		return err
	}
	a.tell("the image %s could not be booted: %s", o.Manifest, reason)
	return a.m.State.Reject(deploy.Rejection{
		Manifest: o.Manifest, Reason: deploy.Failed, Time: a.b.Now, Image: o.Ref.String(), Detail: "it could not be booted: " + reason,
	})
}
