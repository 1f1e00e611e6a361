package upgrade

import (
	"context"
	"errors"
	"fmt"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/linux/systemd"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/bootable"
	"github.com/bootc-go/bootc/internal/machine/change"
	"github.com/bootc-go/bootc/internal/machine/deploy"
	"github.com/bootc-go/bootc/internal/machine/etc"
)

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
// except that complete, verified layers stay for the next try.
func (p *Plan) Apply(ctx context.Context, progress bootc.Progress) (*Result, error) {
	r := &Result{Ref: p.Ref, Manifest: p.Manifest, Version: p.Version}
	switch p.Outcome {
	case Lock, Unlock:
		staged := machine.InSlot(p.current, bootc.Staged)
		r.ID, r.Staged = staged.ID, true
		return r, SetLocked(p.m, p.Outcome == Lock)
	case Update:
	default:
		return r, nil
	}
	if err := p.m.Clean(ctx); err != nil {
		return nil, fmt.Errorf("removing leftovers: %w", err)
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
		return nil, errors.Join(err, p.forget(img))
	}
	r.ID = s.id
	if s.id == p.m.Booted.ID {
		return r, p.adopt(s)
	}
	r.Staged = true
	if err := change.Run(ctx, "staging", p.steps(s), progress); err != nil {
		return nil, errors.Join(err, p.m.Clean(context.WithoutCancel(ctx)))
	}
	return r, nil
}

// staging is what is known of the new deployment before it is made.
type staging struct {
	id     bootc.ID
	img    *images.Image
	system *bootable.System
	origin deploy.Origin
	kargs  string // the whole options line; empty for a UKI
}

func (p *Plan) prepare(ctx context.Context, img *images.Image) (*staging, error) {
	s := &staging{img: img}
	var err error
	if s.system, err = bootable.Read(img.Tree, p.m.Repo.ReadFile); err != nil {
		return nil, err
	}
	if s.id, err = p.m.Repo.Compose(ctx, img); err != nil {
		return nil, fmt.Errorf("composing the image: %w", err)
	}
	if s.system.UKI != nil {
		if err := p.m.CheckUKI(s.system, s.id); err != nil {
			return nil, err
		}
	}
	s.origin = deploy.Origin{Ref: p.Ref, BootType: deploy.BLS, Manifest: img.Manifest}
	if s.system.UKI != nil {
		s.origin.BootType = deploy.UKI
	} else if s.kargs, err = p.kargs(s); err != nil {
		return nil, err
	}
	return s, p.checkEtc(s)
}

// checkEtc merges /etc without writing: a conflict refuses the update.
func (p *Plan) checkEtc(s *staging) error {
	_, conflicts, err := p.m.PlanEtc(s.img.Tree)
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
	return []change.Step{
		{Name: "starting the finalize service", Do: func(ctx context.Context) error {
			return systemd.StartUnit(ctx, "bootc-finalize-staged.service")
		}},
		{Name: "tagging the image", Do: func(context.Context) error {
			return m.Repo.Tag(s.img.Manifest)
		}},
		{Name: "writing kernel and initrd", Do: func(ctx context.Context) (err error) {
			artefacts, err = m.WriteArtefacts(ctx, s.id, s.system)
			s.origin.BootDigest = artefacts.Digest
			return err
		}},
		{Name: "creating the deployment", Do: func(ctx context.Context) error {
			return m.State.Create(ctx, s.id, s.img.Tree, m.Repo.OpenFile, s.origin)
		}},
		{Name: "dropping what was staged before", Do: func(context.Context) error {
			return m.DropStaged()
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
func (p *Plan) adopt(s *staging) error {
	booted := machine.InSlot(p.current, bootc.Booted)
	if booted == nil {
		return errors.New("the booted deployment has no origin")
	}
	if err := p.m.Repo.Tag(s.img.Manifest); err != nil {
		return err
	}
	if err := p.m.DropStaged(); err != nil {
		return err
	}
	o := booted.Origin
	o.Ref, o.Manifest = p.Ref, s.img.Manifest
	return p.m.State.WriteOrigin(s.id, o)
}

// forget removes what names an image that was pulled and not used.
func (p *Plan) forget(img *images.Image) error {
	return p.m.Clean(context.Background())
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
