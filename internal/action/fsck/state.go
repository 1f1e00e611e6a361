package fsck

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// checkState checks the files of the state and the directories of deployments.
func (s *survey) checkState() {
	s.checkStaged()
	if err := s.m.State.CheckFile(deploy.HistoryFile); err != nil {
		s.found(Finding{Where: onRoot(deploy.HistoryFile), What: cause(err), Means: "which images have failed or were rolled back is not known for sure, and an upgrade may take them again",
			Repair: "sets it aside, and keeps what can still be read"})
	} else if s.m.State.NoHistory() {
		s.note(onRoot(deploy.HistoryFile), "it is missing: an older bootc has made this machine, or which images have failed or were rolled back is lost")
	}
	if err := s.m.State.CheckFile(deploy.TrialFile); err != nil {
		s.found(Finding{Where: onRoot(deploy.TrialFile), What: cause(err), Means: "what is known of earlier boots of the deployment on trial is lost",
			Repair: "sets it aside, and keeps what can still be read"})
	} else if t, err := s.m.State.Trial(); err == nil && t != nil && !s.onTrial(t.ID) {
		s.note(onRoot(deploy.TrialFile), "deployment %s is not on trial; the next trial replaces it", t.ID.Short())
	} else if b := s.m.Booted; err == nil && t == nil && b != nil && s.onTrial(b.ID) {
		s.note(onRoot(deploy.TrialFile), "it is missing, and with it what is known of the boots of the deployment on trial; the next boot begins it again")
	}
	for _, d := range s.all {
		if s.wanted(d) {
			s.checkOrigin(d)
			s.checkParts(d)
		} else {
			s.note(onRoot(deploy.Path(d.id)), "no boot entry names this deployment; the next verb removes it")
		}
	}
	if err := s.m.State.CheckPart("", deploy.Var, false); err != nil {
		s.found(Finding{Where: onRoot(deploy.VarPath()), What: cause(err), Means: "no deployment would boot", Repair: "makes it empty"})
	}
}

func (s *survey) onTrial(id bootc.ID) bool {
	return slices.ContainsFunc(s.all, func(d *deployment) bool { return d.id == id && d.entry != nil && d.entry.Name.Counted })
}

// checkStaged checks staged.json, and what it says against the deployment. Who
// removes it leaves the mirror in /run, which tells that it is lost.
func (s *survey) checkStaged() {
	where := onRoot(deploy.StagedFile)
	const again = "drops the staged update, which has to be staged again"
	repair := again
	if s.stagedAgain() != nil {
		repair = "writes it again"
	}
	f := Finding{Where: where, Means: "the staged update is not applied, and verbs are refused", Repair: repair}
	err := s.m.State.CheckFile(deploy.StagedFile)
	var d *deployment
	if s.staged != nil {
		d = s.find(s.staged.ID)
	}
	switch {
	case err != nil:
		f.What = cause(err)
	case s.staged == nil && s.mirrored() != nil && s.stagedAgain() != nil:
		f.What, f.Means = "it is missing", "the staged update is dropped by the next verb"
	case s.staged == nil:
		if len(s.next) > 0 {
			s.note(onESP("loader/entries.staged"), "nothing is staged; the next verb removes it")
		}
		return
	case d == nil:
		f.What, f.Means = "its deployment "+s.staged.ID.Short()+" does not exist", "the next verb drops the staged update"
	case d.record != nil && d.record.Manifest != s.staged.Manifest && (d.originErr != nil || d.origin.Manifest == d.record.Manifest):
		f.What, f.Means = "it names another image than the deployment was made from", ""
	default:
		return
	}
	s.found(f)
}

// mirrored is what /run says is staged, nil if it says nothing.
func (s *survey) mirrored() *deploy.Staged {
	if s.m.Run == nil {
		return nil
	}
	data, err := s.m.Run.ReadFile(deploy.MirrorFile)
	if err != nil {
		return nil
	}
	var text struct {
		ID     bootc.ID `json:"depl_id"`
		Locked bool     `json:"finalization_locked"`
	}
	if err := json.Unmarshal(data, &text); err != nil {
		return nil
	}
	return &deploy.Staged{ID: text.ID, Locked: text.Locked}
}

// stagedAgain works out what staged.json said: the first of the staged entries names
// a deployment, which was complete before staged.json was written. Where nothing
// tells whether it was locked, it is. nil if that cannot be worked out.
func (s *survey) stagedAgain() *deploy.Staged {
	if s.nextErr != nil || len(s.next) == 0 {
		return nil
	}
	id := s.next[0].ID
	d := s.find(id)
	if d == nil || d.manifest == "" || !s.hasImage(id) || d.entry != nil {
		return nil
	}
	st := &deploy.Staged{ID: id, Locked: true, Manifest: d.manifest}
	if s.staged != nil && s.staged.ID == id {
		st.Locked, st.Conflicts, st.Failure = s.staged.Locked, s.staged.Conflicts, s.staged.Failure
	} else if m := s.mirrored(); m != nil && m.ID == id {
		st.Locked = m.Locked
	}
	return st
}

func (s *survey) checkOrigin(d *deployment) {
	where := onRoot(deploy.OriginPath(d.id))
	if d.recordErr != nil {
		s.found(Finding{Where: onRoot(deploy.RecordPath(d.id)), What: cause(d.recordErr), Repair: "writes it again from the origin and the boot entry"})
	}
	r := d.record
	switch {
	case d.originErr != nil:
		f := Finding{Where: where, What: cause(d.originErr), Means: fmt.Sprintf("where %s came from is not known", d)}
		if _, err := s.originOf(d); err == nil {
			f.Repair = "writes it again"
		}
		s.found(f)
	case r == nil:
	case d.origin.Manifest != r.Manifest && d.manifest == r.Manifest, d.origin.BootType != r.BootType, d.origin.BootDigest != r.BootDigest:
		s.found(Finding{Where: where, What: "it does not say what the deployment was made from", Repair: "writes it again"})
	case d.origin.Ref != r.Ref:
		s.note(where, "it says that updates come from %s, bootc has written %s; bootc switch decides", d.origin.Ref, r.Ref)
	}
	if d.originErr == nil && d.system != nil && (d.system.UKI != nil) != (d.origin.BootType == deploy.UKI) && (r == nil || r.BootType == d.origin.BootType) {
		s.note(where, "boot_type is %q, which its image is not", d.origin.BootType)
	}
}

// originOf is the origin that a deployment must have.
func (s *survey) originOf(d *deployment) (deploy.Origin, error) {
	if d.record != nil {
		return *d.record, nil
	}
	if d.originErr == nil {
		o := d.origin
		if d.entry != nil {
			o.Options = d.entry.Options()
		}
		return o, nil
	}
	if d.manifest == "" {
		return deploy.Origin{}, errors.New("it is not known which image it was made from")
	}
	o := deploy.Origin{Manifest: d.manifest, BootType: deploy.BLS}
	if d.system != nil && d.system.UKI != nil {
		o.BootType = deploy.UKI
	}
	for _, other := range s.all { // what an upgrade has brought has the reference of what it replaces
		if other.originErr == nil {
			o.Ref = other.origin.Ref
			return o, nil
		}
	}
	return deploy.Origin{}, errors.New("no other deployment says where updates come from")
}

func (s *survey) checkParts(d *deployment) {
	wantEtc := true
	if d.tree != nil {
		n := d.tree.Lookup("/etc")
		wantEtc = n != nil && n.Len() > 0
	}
	if err := s.m.State.CheckPart(d.id, deploy.Etc, wantEtc); err != nil {
		f := Finding{Where: onRoot(deploy.EtcPath(d.id)), What: cause(err), Means: wouldNotBoot(d)}
		if d.tree != nil {
			f.Repair = "makes it again from the image, with what the machine has changed in the /etc that is booted"
			if d.slot == bootc.Booted {
				f.Repair = "makes it again from the image; what the machine had changed is lost"
			}
		}
		s.found(f)
	}
	if err := s.m.State.CheckPart(d.id, deploy.VarLink, false); err != nil {
		s.found(Finding{Where: onRoot(deploy.Path(d.id) + "/var"), What: cause(err), Means: wouldNotBoot(d), Repair: "makes the link again"})
	}
}
