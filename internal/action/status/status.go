// Package status tells what is on a machine, as a [bootc.Host].
package status

import (
	"errors"
	"fmt"
	"slices"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/format/cmdline"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// Of reads the running machine: nothing is changed. Deployments that cannot be
// read are left out and told in the error, which comes together with the
// others.
func Of(m *machine.Machine) (*bootc.Host, error) {
	h := bootc.NewHost()
	all, deployErr := m.Deployments()
	kind := "bootcHost"
	h.Status.Type = &kind
	h.Status.ReadOnly = m.Medium
	for _, d := range all {
		e := entry(m, d)
		switch d.Slot {
		case bootc.Staged:
			h.Status.Staged = &e
		case bootc.Booted:
			h.Status.Booted = &e
		case bootc.Rollback:
			h.Status.Rollback = &e
		default:
			h.Status.OtherDeployments = append(h.Status.OtherDeployments, e)
		}
	}
	for _, e := range []*bootc.BootEntry{h.Status.Staged, h.Status.Booted} {
		if e != nil && e.Image != nil {
			h.Spec.Image = &e.Image.Image
			break
		}
	}
	var noticesErr error
	h.Status.Notices, noticesErr = notices(m, machine.InSlot(all, bootc.Staged))
	rejectedErr := rejected(m, h)
	queued, err := m.RollbackQueued()
	if err == nil && queued {
		h.Status.RollbackQueued = true
		h.Spec.BootOrder = "rollback"
	}
	return h, errors.Join(deployErr, noticesErr, rejectedErr, err)
}

// notices say what is not as the owner may expect.
func notices(m *machine.Machine, staged *machine.Deployment) (all []string, err error) {
	failed, err := m.FailedBoots()
	for _, f := range failed {
		all = append(all, fmt.Sprintf("the boot entry %s could not be booted, this deployment was booted instead: %s", f.Entry, f.Reason))
	}
	if m.Medium {
		all = append(all, "this system runs from a medium that is not written: it cannot be updated, and what is changed in /etc and /var is gone with the next boot")
	}
	if m.Booted != nil && !m.Booted.Verity {
		all = append(all, "nothing is verified: the kernel command line does not require fs-verity")
	}
	if staged != nil && staged.Staged.Failure != "" {
		all = append(all, "the staged update could not be applied at the last shutdown: "+staged.Staged.Failure)
	}
	return all, err
}

// rejected tells root which images are not taken by an upgrade, and why.
func rejected(m *machine.Machine, h *bootc.Host) error {
	if m.Loader == nil { // an ordinary user, from whom the evidence is hidden
		return nil
	}
	all, err := m.State.Rejections()
	for _, r := range slices.Backward(all) {
		i := bootc.RejectedImage{ImageDigest: r.Manifest, Image: r.Image, Reason: r.Reason, Time: r.Time, Detail: r.Detail}
		for _, b := range r.Boots {
			t := bootc.FailedTry{Boot: b.ID, Time: b.Time, Journal: b.Journal}
			for _, f := range b.Failures {
				t.Failures = append(t.Failures, bootc.BootFailure(f))
			}
			i.Boots = append(i.Boots, t)
		}
		h.Status.RejectedImages = append(h.Status.RejectedImages, i)
	}
	return err
}

func entry(m *machine.Machine, d machine.Deployment) bootc.BootEntry {
	e := bootc.BootEntry{
		Image: image(m, d.Origin),
		Composefs: &bootc.ComposefsStatus{
			Verity:               d.ID,
			BootType:             bootType(d.Origin.BootType),
			Bootloader:           "systemd",
			BootDigest:           d.Origin.BootDigest,
			MissingVerityAllowed: missingVerityAllowed(m, d),
		},
	}
	if d.Entry != nil && d.Entry.Name.Counted && d.Slot != bootc.Staged {
		e.Trial = &bootc.TrialStatus{TriesLeft: d.Entry.Name.Left, TriesDone: d.Entry.Name.Done}
	}
	if d.Staged != nil {
		e.DownloadOnly = d.Staged.Locked
		e.EtcConflicts = d.Staged.Conflicts
	}
	return e
}

// missingVerityAllowed reports what is in force: for what runs it is read from
// the mount, for the others from the command line of their entry.
func missingVerityAllowed(m *machine.Machine, d machine.Deployment) bool {
	if m.Booted != nil && d.ID == m.Booted.ID {
		return !m.Booted.Verity
	}
	if d.Entry == nil {
		return false
	}
	c, err := cmdline.Composefs(d.Entry.Cmdline)
	return err == nil && c.Insecure
}

func bootType(t deploy.BootType) string {
	if t == deploy.UKI {
		return "Uki"
	}
	return "Bls"
}

func image(m *machine.Machine, o deploy.Origin) *bootc.ImageStatus {
	s := &bootc.ImageStatus{
		Image:       bootc.ImageReference{Image: o.Ref.Name, Transport: o.Ref.Transport},
		ImageDigest: o.Manifest,
	}
	if m.Repo == nil {
		return s
	}
	info, err := m.Repo.Info(o.Manifest)
	if err != nil {
		return s
	}
	describe(s, info)
	return s
}

func describe(s *bootc.ImageStatus, i *images.Info) {
	s.Architecture = i.Architecture
	s.Timestamp = i.Created
	if i.Version != "" {
		s.Version = &i.Version
	}
}
