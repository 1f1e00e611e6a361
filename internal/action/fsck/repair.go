package fsck

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/registry"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// A Repaired says what was done to a machine.
type Repaired struct {
	// Done has a line for everything that was healed or given up.
	Done []string
	// After is what is wrong still.
	After *Whole
}

// RepairMachine heals what it can: the state from what is known twice, objects from
// the boot partition, from the repository itself or from the registry, what is on the
// boot partition from the objects, the boot loader from its other copy or from an
// image. Then it checks again. What could not be healed is in the error, which comes
// together with the rest.
//
// The caller holds the machine's lock. Each repair is crash safe by itself, as the
// verbs are: after a power cut there is what was, or what is repaired. What boots is
// not touched before something else does; /etc and /var of the machine are never
// written over; an entry on trial keeps its counter.
func RepairMachine(ctx context.Context, m *machine.Machine, o registry.Options, progress bootc.Progress) (*Repaired, error) {
	if m.Loader == nil {
		return nil, machine.ErrMedium
	}
	r := &repair{m: m, out: &Repaired{}}
	for _, step := range []func(context.Context) error{
		r.repairMeta,
		r.repairStagedFile,
		func(ctx context.Context) error { return r.repairStore(ctx, o, progress) },
		r.repairState,
		r.repairEntries,
		r.repairStagedEntries,
		func(ctx context.Context) error { r.repairLoader(ctx); return nil },
	} {
		if err := ctx.Err(); err != nil {
			return r.out, context.Cause(ctx)
		}
		var err error
		if r.s, err = look(m); err != nil { // what the step before has healed
			return r.out, err
		}
		if err := step(ctx); err != nil {
			r.errs = append(r.errs, err)
		}
	}
	var err error
	if r.out.After, err = CheckMachine(ctx, m); err != nil {
		return r.out, err
	}
	return r.out, errors.Join(r.errs...)
}

// A repair is under way.
type repair struct {
	m    *machine.Machine
	s    *survey
	out  *Repaired
	errs []error
	bad  []string // where something could not be done
}

// do notes what was done, or why it could not be.
func (r *repair) do(where, what string, err error) {
	if err != nil {
		r.bad = append(r.bad, where)
		r.errs = append(r.errs, fmt.Errorf("%s: %w", where, err))
		return
	}
	r.out.Done = append(r.out.Done, where+": "+what)
}

func (r *repair) failed(where string) bool { return slices.Contains(r.bad, where) }

// repairMeta replaces the meta.json of the repository.
func (r *repair) repairMeta(context.Context) error {
	wrote, err := r.m.Repo.Upgrade()
	if wrote || err != nil {
		r.do(onRoot("composefs/meta.json"), "written again, as the repository is", err)
	}
	return nil
}

// repairStore heals the image repository: kernels and initrds from the boot
// partition, the rest from what the repository has twice, and what then is missing
// from the registry. What nothing needs and is damaged is removed.
func (r *repair) repairStore(ctx context.Context, o registry.Options, progress bootc.Progress) error {
	repo := r.m.Repo
	report, err := Check(ctx, repo, r.s.images())
	if err != nil {
		return err
	}
	if !report.OK() {
		if err := repo.RemoveMisleading(report.Repo); err != nil {
			return err
		}
		r.objectsFromESP()
		for _, i := range report.all {
			if repo.Damaged(i.Manifest, i.ID) && repo.RepairHere(ctx, i.Manifest, i.ID) == nil {
				r.do("the image of the "+i.Name, "made whole from what the repository has", nil)
			}
		}
		if report, err = Check(ctx, repo, report.all); err != nil {
			return err
		}
	}
	if !report.OK() {
		damaged := report.Damaged
		if report, err = report.Repair(ctx, repo, o, progress); err != nil {
			r.errs = append(r.errs, err)
		}
		for _, i := range damaged {
			if !slices.ContainsFunc(report.Damaged, func(d Image) bool { return d.ID == i.ID }) {
				r.do("the image of the "+i.Name, "fetched again from "+i.Source.String(), nil)
			}
		}
	}
	r.repairTags()
	if report.OK() || len(report.Damaged) > 0 {
		return nil
	}
	if report, err = Check(ctx, repo, report.all); err != nil || report.OK() {
		return err
	}
	return r.removeDamaged(ctx, report)
}

// removeDamaged removes what is damaged and nothing needs.
func (r *repair) removeDamaged(ctx context.Context, report *Report) error {
	if err := r.m.Repo.RemoveBroken(report.Repo); err != nil {
		return err
	}
	g, err := r.m.Collect(ctx, images.CollectOptions{})
	if err != nil {
		return fmt.Errorf("removing what is damaged and not needed: %w", err)
	}
	r.do(onRoot("composefs"), fmt.Sprintf("%d objects removed that nothing needs, the damaged among them", g.Objects), nil)
	return nil
}

func (r *repair) repairTags() {
	for _, d := range r.s.all {
		if r.s.wanted(d) && d.manifest != "" && !r.m.Repo.Tagged(d.manifest) {
			r.do("the image of "+d.String(), "tagged again", r.m.Repo.Tag(d.manifest))
		}
	}
}

// objectsFromESP puts kernels and initrds, and unified kernel images, back into the
// repository that are whole on the boot partition.
func (r *repair) objectsFromESP() {
	for _, d := range r.s.all {
		if d.system == nil || d.entry == nil {
			continue
		}
		for key, n := range map[string]*tree.Node{"linux": d.system.Kernel, "initrd": d.system.Initrd, "efi": d.system.UKI, "uki": d.system.UKI} {
			name := first(d.entry, key)
			if n == nil || n.Object.IsZero() || name == "" || !r.m.Repo.Lacks(n.Object) || r.s.compare(name, n) != nil {
				continue
			}
			f, err := r.m.Loader.Open(name)
			if err == nil {
				_, err = r.m.Repo.PutFile(f, int64(n.Size))
				f.Close()
			}
			if err == nil {
				err = r.m.Repo.Sync()
			}
			r.do(onRoot("composefs/objects/"+n.Object.ObjectPath()), "copied from "+onESP(name), err)
		}
	}
}

// repairState heals the files of the state, and the directories of deployments.
func (r *repair) repairState(ctx context.Context) error {
	st := r.m.State
	for _, name := range []string{deploy.HistoryFile, deploy.TrialFile} {
		if st.CheckFile(name) == nil {
			continue
		}
		text, err := r.salvage(name)
		r.do(onRoot(name), text, err)
	}
	if st.CheckPart("", deploy.Var, false) != nil {
		r.do(onRoot(deploy.VarPath()), "made again, empty", st.RestorePart("", deploy.Var))
	}
	for _, d := range r.s.all {
		if r.s.wanted(d) {
			r.repairDeployment(ctx, d)
		}
	}
	return nil
}

// salvage sets a file aside and writes again what can be read of it.
func (r *repair) salvage(name string) (string, error) {
	st := r.m.State
	rejected, historyErr := st.Rejections()
	trial, trialErr := st.Trial()
	aside, err := st.SetAside(name)
	if err != nil {
		return "", err
	}
	text := "set aside as " + aside
	switch {
	case name == deploy.HistoryFile && historyErr == nil:
		for _, e := range rejected {
			if _, bad := bootc.ParseDigest(string(e.Manifest)); bad == nil {
				err = errors.Join(err, st.Reject(e))
			}
		}
		return text + "; what could be read was kept, and may be wrong in places", err
	case name == deploy.TrialFile && trialErr == nil && trial != nil && r.s.onTrial(trial.ID):
		return text + "; what could be read was kept, and may be wrong in places", st.SetTrial(*trial)
	case name == deploy.HistoryFile:
		return text + "; which images had failed or were rolled back is lost, and an upgrade may take them again", nil
	}
	return text + "; what was known of earlier boots on trial is lost", nil
}

func (r *repair) repairDeployment(ctx context.Context, d *deployment) {
	st := r.m.State
	if !st.Has(d.id) {
		r.do(onRoot(deploy.Path(d.id)), "made again", st.MakeDir(d.id))
	}
	r.repairOrigin(d)
	if st.CheckPart(d.id, deploy.VarLink, false) != nil {
		r.do(onRoot(deploy.Path(d.id)+"/var"), "linked again", st.RestorePart(d.id, deploy.VarLink))
	}
	wantEtc := d.tree != nil && d.tree.Lookup("/etc") != nil && d.tree.Lookup("/etc").Len() > 0
	if d.tree == nil || st.CheckPart(d.id, deploy.Etc, wantEtc) == nil {
		return
	}
	text, err := r.restoreEtc(ctx, d)
	r.do(onRoot(deploy.EtcPath(d.id)), text, err)
}

// restoreEtc makes the /etc of a deployment that has none, from its image, and with
// the machine's changes to the /etc that is booted, if that is another one and its
// changes fit.
func (r *repair) restoreEtc(ctx context.Context, d *deployment) (string, error) {
	if err := r.m.State.RestorePart(d.id, deploy.Etc); err != nil {
		return "", err
	}
	if d.slot != bootc.Booted && r.m.Booted != nil && r.m.Etc != nil {
		plan, conflicts, err := r.m.PlanEtc(d.id)
		if err == nil && len(conflicts) == 0 {
			return "made again from the image, with the changes to the /etc that is booted; those that only this deployment had are lost", r.m.MergeEtc(ctx, d.id, plan)
		}
	}
	return "made again from the image; what the machine had changed is lost", r.m.RestoreEtc(ctx, d.id)
}

func (r *repair) repairOrigin(d *deployment) {
	s, st := r.s, r.m.State
	o, err := s.originOf(d)
	where := onRoot(deploy.OriginPath(d.id))
	if err != nil {
		r.do(where, "", err)
		return
	}
	if !damage(s, func(p *survey) { p.checkOrigin(d) }) {
		return
	}
	text := "written again"
	if d.originErr != nil && d.record == nil {
		text += ", with the reference of another deployment, " + o.Ref.String() + "; bootc switch changes it"
	}
	r.do(where, text, st.WriteOrigin(d.id, o))
}
