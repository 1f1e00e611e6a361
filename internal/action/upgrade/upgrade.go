// Package upgrade brings a machine to another image: to the newest of the
// reference it follows, or, for bootc switch, to another reference.
//
// [New] only reads: it asks the registry for the manifest and says what would
// happen. [Plan.Apply] fetches the image and stages it; the next shutdown makes
// it the default (package finalize).
package upgrade

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/registry"
	"github.com/bootc-go/bootc/internal/linux/systemd"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// Options say what to bring the machine to. The zero value is the newest image
// of the reference that the machine follows.
type Options struct {
	// Target is another reference to follow: bootc switch.
	Target *bootc.Ref
	// Tag replaces the tag of the reference that the machine follows.
	Tag string
	// DownloadOnly stages the update so that a shutdown does not apply it.
	DownloadOnly bool
	// Retry takes an image although it was rolled back or has failed before.
	Retry bool
	// Registry says how images are fetched.
	Registry registry.Options
	// StartUnit starts a unit of the service manager; nil: systemd's.
	StartUnit func(ctx context.Context, unit string) error
}

// An Outcome says what a plan comes to.
type Outcome int

// The outcomes.
const (
	Update        Outcome = iota // there is something to fetch and stage
	NoChange                     // what runs is the newest
	AlreadyStaged                // the newest is staged
	Unlock                       // the newest is staged, downloaded only; it is to be applied now
	Lock                         // the newest is staged; it is to wait
	SameReference                // switch to the reference that is followed already
	Rejected                     // the newest was rolled back or has failed before
)

// A Plan says what an upgrade or a switch would do.
type Plan struct {
	Outcome   Outcome
	Ref       bootc.Ref
	Manifest  bootc.Digest
	Version   string
	Rejection *deploy.Rejection // for Rejected
	Layers    Layers

	m       *machine.Machine
	o       Options
	current []machine.Deployment
	source  *registry.Image
}

// Layers compares the layers of the new image with those of the booted one.
type Layers struct {
	Total, Removed, Added Count
}

// A Count is a number of layers and their size, compressed.
type Count struct {
	N    int
	Size int64
}

// New asks the registry what is new. Nothing on the machine is changed. The
// caller closes the plan.
func New(ctx context.Context, m *machine.Machine, o Options) (*Plan, error) {
	all, err := m.Deployments()
	if err != nil && machine.InSlot(all, bootc.Booted) == nil {
		return nil, err
	}
	if o.StartUnit == nil {
		o.StartUnit = systemd.StartUnit
	}
	p := &Plan{m: m, o: o, current: all}
	if p.Ref, err = p.reference(); err != nil {
		return nil, err
	}
	if o.Target != nil && p.follows() == p.Ref {
		p.Outcome = SameReference
		return p, nil
	}
	if p.source, err = registry.Open(ctx, p.Ref, o.Registry); err != nil {
		return nil, err
	}
	p.Manifest = p.source.Digest()
	if err := p.describe(); err != nil {
		p.Close()
		return nil, err
	}
	if err := p.decide(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Close releases the connection to the registry.
func (p *Plan) Close() error {
	if p.source == nil {
		return nil
	}
	return p.source.Close()
}

// follows returns the reference that the machine follows: the staged one's,
// else the booted one's.
func (p *Plan) follows() bootc.Ref {
	for _, slot := range []bootc.Slot{bootc.Staged, bootc.Booted} {
		if d := machine.InSlot(p.current, slot); d != nil {
			return d.Origin.Ref
		}
	}
	return bootc.Ref{}
}

func (p *Plan) reference() (bootc.Ref, error) {
	if p.o.Target != nil {
		return *p.o.Target, nil
	}
	ref := p.follows()
	if ref == (bootc.Ref{}) {
		return ref, errors.New("the booted deployment has no image reference")
	}
	if p.o.Tag == "" {
		return ref, nil
	}
	return withTag(ref, p.o.Tag)
}

// withTag replaces tag and digest of a reference.
func withTag(ref bootc.Ref, tag string) (bootc.Ref, error) {
	if ref.Transport != bootc.Registry && ref.Transport != bootc.OCI {
		return ref, fmt.Errorf("the reference %q has no tag that could be replaced", ref)
	}
	name, _, _ := strings.Cut(ref.Name, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	ref.Name = name + ":" + tag
	return ref, nil
}

func (p *Plan) decide() error {
	booted := machine.InSlot(p.current, bootc.Booted)
	staged := machine.InSlot(p.current, bootc.Staged)
	sameStaged := staged != nil && staged.Origin.Manifest == p.Manifest && staged.Origin.Ref == p.Ref
	sameBooted := booted != nil && booted.Origin.Manifest == p.Manifest && booted.Origin.Ref == p.Ref
	switch {
	case sameStaged && p.o.DownloadOnly && !staged.Staged.Locked:
		p.Outcome = Lock
	case sameStaged && !p.o.DownloadOnly && staged.Staged.Locked:
		p.Outcome = Unlock
	case sameStaged && len(staged.Staged.Conflicts) == 0 && staged.Staged.Failure == "":
		p.Outcome = AlreadyStaged
	case sameBooted && staged == nil:
		p.Outcome = NoChange
	}
	if p.Outcome != Update || p.o.Retry || p.o.Target != nil || p.o.Tag != "" {
		return nil // what is asked for by name is taken
	}
	r, err := p.m.State.Rejected(p.Manifest)
	if err == nil && r != nil {
		p.Outcome, p.Rejection = Rejected, r
	}
	return err
}

// describe compares the layers and finds the version.
func (p *Plan) describe() error {
	next, err := images.ParseManifest(p.source.Manifest())
	if err != nil {
		return err
	}
	p.Version = next.Annotations["org.opencontainers.image.version"]
	old := map[bootc.Digest]int64{}
	if booted := machine.InSlot(p.current, bootc.Booted); booted != nil {
		if img, err := p.m.Repo.Image(booted.Origin.Manifest); err == nil {
			for _, l := range img.Layers() {
				old[l.Digest] = l.Size
			}
		}
	}
	for _, l := range next.Layers {
		d := bootc.Digest(l.Digest)
		p.Layers.Total.add(l.Size)
		if _, ok := old[d]; !ok {
			p.Layers.Added.add(l.Size)
		}
		delete(old, d)
	}
	for _, size := range old {
		p.Layers.Removed.add(size)
	}
	return nil
}

func (c *Count) add(size int64) { c.N++; c.Size += size }

// DownloadOnly reports whether the update is staged without being applied at
// shutdown.
func (p *Plan) DownloadOnly() bool { return p.o.DownloadOnly }
