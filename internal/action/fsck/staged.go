package fsck

import (
	"context"
	"slices"

	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// repairStagedFile writes staged.json again, from the staged entries and what /run
// tells, or drops the staged update where that does not suffice.
func (r *repair) repairStagedFile(context.Context) error {
	s := r.s
	if !damage(s, func(p *survey) { p.checkStaged() }) {
		return nil
	}
	where := onRoot(deploy.StagedFile)
	again := s.stagedAgain()
	if r.m.State.CheckFile(deploy.StagedFile) != nil {
		if _, err := r.m.State.SetAside(deploy.StagedFile); err != nil {
			r.do(where, "", err)
			return nil
		}
	}
	if again != nil {
		r.do(where, "written again; the update is staged", r.m.MarkStaged(*again))
		return nil
	}
	r.do(where, "the staged update is dropped; bootc upgrade stages it again", r.m.DropStaged())
	return nil
}

// repairStagedEntries stages the entries of the staged update again, or drops it.
func (r *repair) repairStagedEntries(ctx context.Context) error {
	s := r.s
	if s.staged == nil || !damage(s, func(p *survey) { p.checkStagedEntries() }) {
		return nil
	}
	where := onESP("loader/entries.staged")
	if err := r.stageAgain(ctx, s.find(s.staged.ID)); err != nil {
		r.errs = append(r.errs, err)
		r.do(where, "the staged update is dropped; bootc upgrade stages it again", r.m.DropStaged())
		return nil
	}
	r.do(where, "staged again", nil)
	return nil
}

func (r *repair) stageAgain(ctx context.Context, d *deployment) error {
	p := &planned{d: d}
	if d.next != nil && len(r.s.artefactFaults(d, d.next)) == 0 && !r.m.Loader.MissingCredentials(d.next) {
		p.e = d.next.Entry
		return r.m.Loader.StageEntries(p.e, r.m.Booted.ID)
	}
	if d.next != nil && d.system != nil {
		p.e = d.next.Entry
		r.fillIn(p)
	} else {
		again, err := r.remake(d, &[]brokenEntry{})
		if err != nil {
			return err
		}
		if p = again; d.system.Judges {
			p.e = boot.OnTrial(p.e)
		}
	}
	if p.write {
		if err := r.writeArtefacts(ctx, p, nil); err != nil {
			return err
		}
	}
	return r.m.Loader.StageEntries(p.e, r.m.Booted.ID)
}

// damage reports whether a check finds some.
func damage(s *survey, check func(*survey)) bool {
	probe := *s
	probe.findings = nil
	check(&probe)
	return slices.ContainsFunc(probe.findings, func(f Finding) bool { return !f.Note })
}
