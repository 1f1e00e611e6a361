package fsck

import (
	"context"

	"github.com/bootc-go/bootc/internal/machine"
)

// A Whole says what is wrong with a machine.
type Whole struct {
	Store *Report
	// Findings are about what is not in the image repository: state, boot entries,
	// the files that they name, the boot loader.
	Findings []Finding
}

// OK reports whether nothing is damaged.
func (w *Whole) OK() bool {
	for _, f := range w.Findings {
		if !f.Note {
			return false
		}
	}
	return w.Store.OK()
}

// CheckMachine checks all of a machine: the image repository, the state, the boot
// entries with what they name, the boot loader. It changes nothing on disk; objects
// that are wrong count as missing from then on. Of a system that runs from a medium
// only the repository is checked.
//
// What an owner may have changed on purpose is told in a note, and so is what an
// interrupted verb has left.
func CheckMachine(ctx context.Context, m *machine.Machine) (*Whole, error) {
	if m.Loader == nil {
		all, err := Deployments(m)
		if err != nil {
			return nil, err
		}
		w := &Whole{}
		w.Store, err = Check(ctx, m.Repo, all)
		return w, err
	}
	s, err := look(m)
	if err != nil {
		return nil, err
	}
	return s.check(ctx)
}

func (s *survey) check(ctx context.Context) (*Whole, error) {
	store, err := Check(ctx, s.m.Repo, s.images())
	if err != nil {
		return nil, err
	}
	s.checkTags()
	s.checkState()
	s.checkEntries()
	s.checkLoader()
	return &Whole{Store: store, Findings: s.findings}, ctx.Err()
}

// images lists the images that must be whole.
func (s *survey) images() []Image {
	var all []Image
	for _, d := range s.all {
		if !s.wanted(d) || d.manifest == "" {
			continue
		}
		i := Image{Name: string(d.slot) + " deployment " + d.id.Short(), Manifest: d.manifest, ID: d.id}
		if o, err := s.originOf(d); err == nil {
			i.Source = &o.Ref
		}
		all = append(all, i)
	}
	return all
}

// checkTags looks for the tags of the deployments' images.
func (s *survey) checkTags() {
	for _, d := range s.all {
		if s.wanted(d) && d.manifest != "" && !s.m.Repo.Tagged(d.manifest) {
			s.found(Finding{Where: onRoot("composefs/streams/refs/oci"), What: "the image of " + d.String() + " has no tag",
				Means: "another tool may take it for garbage", Repair: "makes it again"})
		}
	}
}
