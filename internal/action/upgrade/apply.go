package upgrade

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"syscall"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/bootable"
	"github.com/bootc-go/bootc/internal/machine/change"
	"github.com/bootc-go/bootc/internal/machine/deploy"
	"github.com/bootc-go/bootc/internal/machine/etc"
)

// finalizeUnit applies a staged update when it is stopped, at shutdown.
const finalizeUnit = "bootc-finalize-staged.service"

// A Result says what Apply has done.
type Result struct {
	Ref      bootc.Ref
	Manifest bootc.Digest
	Version  string
	ID       bootc.ID
	// Staged is true when a reboot brings the image; false when what runs has
	// the same content and only the reference was changed.
	Staged bool
}

// A ConflictError lists the paths in /etc that keep an update from being
// applied.
type ConflictError struct{ Conflicts []etc.Conflict }

func (e *ConflictError) Error() string {
	text := fmt.Sprintf("%d conflicts in /etc", len(e.Conflicts))
	if len(e.Conflicts) == 1 {
		text = "one conflict in /etc"
	}
	for _, c := range e.Conflicts {
		text += fmt.Sprintf("; %q: %s", c.Path, c.Reason)
	}
	return text
}

// Apply does what the plan says. After an error the machine is as before,
// except that complete, verified layers stay for the next try, unless the file
// system is full, and that what had to give way on the boot partition is gone:
// see [machine.Machine.PlanRoom].
func (p *Plan) Apply(ctx context.Context, progress bootc.Progress) (*Result, error) {
	r, err := p.apply(ctx, progress)
	if errors.Is(err, syscall.ENOSPC) {
		err = errors.Join(err, p.collect(context.WithoutCancel(ctx), nil, progress))
	}
	return r, err
}

func (p *Plan) apply(ctx context.Context, progress bootc.Progress) (*Result, error) {
	r := &Result{Ref: p.Ref, Manifest: p.Manifest, Version: p.Version}
	switch p.Outcome {
	case Lock, Unlock, AlreadyStaged:
		staged := machine.InSlot(p.current, bootc.Staged)
		r.ID, r.Staged = staged.ID, true
		if err := p.o.StartUnit(ctx, finalizeUnit); err != nil {
			return nil, err
		}
		if p.Outcome == AlreadyStaged {
			return r, nil
		}
		return r, SetLocked(p.m, p.Outcome == Lock)
	case Update:
	default:
		return r, nil
	}
	if err := p.m.Clean(ctx); err != nil {
		return nil, fmt.Errorf("removing leftovers: %w", err)
	}
	layers, err := images.DiffIDs(ctx, p.source)
	if err != nil {
		return nil, err
	}
	if err := p.collect(ctx, layers, progress); err != nil {
		return nil, err
	}
	if err := p.checkNeed(ctx, progress); err != nil {
		return nil, err
	}
	img, err := p.m.Repo.Pull(ctx, p.source, progress)
	if err != nil {
		return nil, err
	}
	if r.Version == "" {
		r.Version = img.Version()
	}
	s, err := p.prepare(ctx, img)
	if err != nil {
		return nil, errors.Join(err, p.forget(ctx, s))
	}
	if text := p.givesWay(s.room); text != "" {
		progress.Send(bootc.Notice{Text: text})
	}
	r.ID = s.id
	if s.id == p.m.Booted.ID {
		return r, p.adopt(ctx, s, progress)
	}
	r.Staged = true
	if err := change.Run(ctx, "staging", p.steps(s), progress); err != nil {
		return nil, errors.Join(err, p.forget(ctx, s))
	}
	if machine.InSlot(p.current, bootc.Staged) == nil && len(s.room.Drops) == 0 {
		return r, nil
	}
	// What was staged before is garbage now, and what had to give way. The update is staged whatever
	// becomes of that.
	err = p.m.Clean(context.WithoutCancel(ctx))
	if err == nil {
		err = p.collect(context.WithoutCancel(ctx), nil, progress)
	}
	if err != nil {
		progress.Send(bootc.Notice{Text: notRemoved(err)})
	}
	return r, nil
}

// collect removes the garbage from the repository, but not the layers that are
// about to be pulled: an earlier try may have left them. An upgrade does not
// depend on it; only the end of ctx is an error.
func (p *Plan) collect(ctx context.Context, layers []bootc.Digest, progress bootc.Progress) error {
	_, err := p.m.Collect(ctx, images.CollectOptions{Layers: layers})
	if err == nil || errors.Is(err, images.ErrInUse) {
		return nil // who uses it now lets the next upgrade collect
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	progress.Send(bootc.Notice{Text: fmt.Sprintf("warning: the image repository keeps its garbage: %v", err)})
	return nil
}

// staging is what is known of the new deployment before it is made.
type staging struct {
	id     bootc.ID
	img    *images.Image
	system *bootable.System
	origin deploy.Origin
	kargs  string // the whole options line; empty for a UKI
	room   *machine.Room
}

// prepare works out the new deployment. After an error it returns what it has
// found out so far.
func (p *Plan) prepare(ctx context.Context, img *images.Image) (*staging, error) {
	s := &staging{img: img}
	var err error
	if s.system, err = bootable.Read(img.Tree, p.m.Repo.ReadFile, runtime.GOARCH); err != nil {
		return s, err
	}
	switch same, err := p.runs(ctx, img); {
	case err != nil:
		return s, fmt.Errorf("comparing with the booted image: %w", err)
	case same:
		s.id = p.m.Booted.ID
		return s, nil
	}
	if err := p.m.CheckKernel(s.system, runtime.GOARCH); err != nil {
		return s, err
	}
	if s.system.UKI != nil {
		s.id, err = p.m.ComposeUKI(ctx, img, s.system, !p.m.Booted.Verity)
	} else if s.id, err = p.m.Repo.Compose(ctx, img); err != nil {
		err = fmt.Errorf("composing the image: %w", err)
	}
	if err != nil {
		return s, err
	}
	s.origin = deploy.Origin{Ref: p.Ref, BootType: deploy.BLS, Manifest: img.Manifest}
	if s.system.UKI != nil {
		s.origin.BootType = deploy.UKI
	} else if s.kargs, err = p.kargs(s); err != nil {
		return s, err
	}
	s.origin.Options = s.kargs
	if err := p.checkEtc(s); err != nil {
		return s, err
	}
	s.room, err = p.m.PlanRoom(s.id, s.system)
	return s, err
}

// runs reports whether the machine runs the image already: the booted
// deployment came from this manifest, whoever composed it and in which way, or
// it is what the image becomes in one of the ways.
func (p *Plan) runs(ctx context.Context, img *images.Image) (bool, error) {
	booted := machine.InSlot(p.current, bootc.Booted)
	if booted != nil && booted.Origin.Manifest == img.Manifest {
		return true, nil
	}
	return p.m.Repo.Makes(ctx, img, p.m.Booted.ID)
}

// checkEtc merges /etc without writing: a conflict refuses the update.
func (p *Plan) checkEtc(s *staging) error {
	_, conflicts, err := p.m.PlanEtc(s.id)
	if err != nil {
		return fmt.Errorf("comparing /etc: %w", err)
	}
	if len(conflicts) > 0 {
		return &ConflictError{conflicts}
	}
	return nil
}

// steps makes the new deployment. Nothing refers to what a step makes until
// the last one, which is the commit.
func (p *Plan) steps(s *staging) []change.Step {
	m := p.m
	var artefacts machine.Artefacts
	var origin *deploy.Origin // of a deployment with the same content
	all, _ := m.Deployments() // what cannot be read is not staged again
	replaced := machine.InSlot(all, bootc.Staged)
	if s.room.Staged {
		replaced = nil // its files are not there any more
	}
	queued := false
	return []change.Step{
		{Name: "starting the finalize service", Do: func(ctx context.Context) error {
			return p.o.StartUnit(ctx, finalizeUnit)
		}},
		{Name: "tagging the image", Do: func(context.Context) error {
			return m.Repo.Tag(s.img.Manifest)
		}},
		{Name: "making room on the boot partition", Do: func(context.Context) error {
			return m.MakeRoom(s.room)
		}},
		{Name: "writing kernel and initrd", Do: func(ctx context.Context) (err error) {
			artefacts, err = m.WriteArtefacts(ctx, s.id, s.system)
			s.origin.BootDigest = artefacts.Digest
			return err
		}},
		{Name: "creating the deployment", Do: func(ctx context.Context) error {
			if o, err := m.State.Origin(s.id); err == nil {
				origin = &o
			}
			boots, err := m.Repo.ReadImage(s.id) // it has the labels
			if err != nil {
				return err
			}
			return m.State.Create(ctx, s.id, boots, m.Repo.OpenFile, s.origin)
		}, Undo: func(context.Context) error {
			if origin == nil {
				return nil // a leftover now
			}
			return m.State.WriteOrigin(s.id, *origin)
		}},
		{Name: "taking back a rollback to the same deployment", Do: func(context.Context) (err error) {
			// A staged update that boots first counts as switched to.
			if queued, err = m.BootsNext(s.id); err != nil || !queued {
				return err
			}
			return m.Loader.MakeFirst(m.Booted.ID)
		}, Undo: func(context.Context) error {
			if !queued {
				return nil
			}
			return m.Loader.MakeFirst(s.id)
		}},
		{Name: "dropping what was staged before", Do: func(context.Context) error {
			return m.DropStaged()
		}, Undo: func(context.Context) error {
			return m.StageAgain(replaced)
		}},
		{Name: "staging the boot entries", Do: func(context.Context) error {
			return m.StageEntries(artefacts, s.system, s.kargs)
		}},
		{Name: "recording the staged update", Do: func(context.Context) error {
			return m.MarkStaged(deploy.Staged{ID: s.id, Locked: p.o.DownloadOnly, Manifest: s.img.Manifest})
		}},
	}
}

// adopt makes the booted deployment follow another reference to the same
// content.
func (p *Plan) adopt(ctx context.Context, s *staging, progress bootc.Progress) error {
	booted := machine.InSlot(p.current, bootc.Booted)
	if booted == nil {
		return errors.New("the booted deployment has no origin")
	}
	if err := change.Run(ctx, "following", p.following(s, booted.Origin), progress); err != nil {
		return errors.Join(err, p.forget(ctx, s))
	}
	// The tag of the old manifest.
	if err := p.m.Clean(context.WithoutCancel(ctx)); err != nil {
		progress.Send(bootc.Notice{Text: notRemoved(err)})
	}
	return nil
}

// following are the steps of adopt; the last one is the commit.
func (p *Plan) following(s *staging, old deploy.Origin) []change.Step {
	m := p.m
	return []change.Step{
		{Name: "tagging the image", Do: func(context.Context) error {
			return m.Repo.Tag(s.img.Manifest)
		}},
		{Name: "dropping what was staged before", Do: func(context.Context) error {
			return m.DropStaged()
		}, Undo: func(context.Context) error {
			return m.StageAgain(machine.InSlot(p.current, bootc.Staged))
		}},
		{Name: "following the reference", Do: func(context.Context) error {
			o := old
			o.Ref, o.Manifest = p.Ref, s.img.Manifest
			return m.State.WriteOrigin(s.id, o)
		}, Undo: func(context.Context) error {
			return m.State.WriteOrigin(s.id, old)
		}},
	}
}

func notRemoved(err error) string {
	return fmt.Sprintf("warning: what is not needed any more is not removed: %v", err)
}

// forget removes what names an image that was pulled and not used. The end of
// ctx does not stop it.
func (p *Plan) forget(ctx context.Context, s *staging) error {
	if err := p.m.Clean(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	if s.id == "" || p.m.State.Exists(s.id) {
		return nil
	}
	return p.m.Repo.RemoveImage(s.id)
}

// SetLocked says whether the staged update waits for bootc upgrade
// --from-downloaded or is applied by the next shutdown.
func SetLocked(m *machine.Machine, locked bool) error {
	st, err := m.State.Staged()
	if err != nil {
		return err
	}
	if st == nil {
		return errors.New("no staged deployment found")
	}
	st.Locked = locked
	return m.MarkStaged(*st)
}
