// Package fsck checks an image repository, and what a machine's deployments
// need of it, and repairs it from where the images are kept.
package fsck

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/registry"
	"github.com/bootc-go/bootc/internal/machine"
)

// An Image is one that must be whole.
type Image struct {
	// Name is what people call it: a tag, or the slot of a deployment.
	Name     string
	Manifest bootc.Digest
	// Source is where it is kept, nil if that is not known.
	Source *bootc.Ref
	// ID is the deployment that was made from it, "" if none was.
	ID bootc.ID
}

// A Report says what is wrong with a repository and with images.
type Report struct {
	Repo *images.Report
	// Damaged are the images that are not whole.
	Damaged []Image

	all []Image
}

// OK reports whether nothing is wrong.
func (r *Report) OK() bool { return r.Repo.OK() && len(r.Damaged) == 0 }

// Check checks a repository and the images given. It changes nothing on disk;
// objects that are wrong count as missing from then on.
func Check(ctx context.Context, repo *images.Repository, all []Image) (*Report, error) {
	report, err := repo.Check(ctx, images.CheckOptions{})
	if err != nil {
		return nil, err
	}
	repo.Condemn(report)
	r := &Report{Repo: report, all: all}
	for _, i := range all {
		if repo.Damaged(i.Manifest, ids(i)...) {
			r.Damaged = append(r.Damaged, i)
		}
	}
	return r, nil
}

func ids(i Image) []bootc.ID {
	if i.ID == "" {
		return nil
	}
	return []bootc.ID{i.ID}
}

// Deployments lists the images of a machine's deployments. A deployment whose
// origin cannot be read is told in the error, which comes together with the
// others.
func Deployments(m *machine.Machine) ([]Image, error) {
	deployments, err := m.Deployments()
	var all []Image
	for _, d := range deployments {
		ref := d.Origin.Ref
		all = append(all, Image{Name: string(d.Slot) + " deployment " + d.ID.Short(), Manifest: d.Origin.Manifest, Source: &ref, ID: d.ID})
	}
	return all, err
}

// Tagged lists the images that have a tag. Their source is the one given, or
// else the tag itself where that is a reference with a transport.
func Tagged(repo *images.Repository, source *bootc.Ref) ([]Image, error) {
	tags, err := repo.AllTags()
	var all []Image
	for _, t := range tags {
		i := Image{Name: "image " + t.Name, Manifest: t.Manifest, Source: source}
		if ref, err := bootc.ParseRef(t.Name); err == nil && source == nil && hasTransport(t.Name) {
			i.Source = &ref
		}
		all = append(all, i)
	}
	return all, err
}

func hasTransport(name string) bool {
	if strings.HasPrefix(name, "docker://") {
		return true
	}
	transport, _, _ := strings.Cut(name, ":")
	_, err := bootc.ParseTransport(transport)
	return err == nil
}

// Repair fetches what is damaged and checks again. What could not be repaired
// is in the error, image by image, together with the new report.
func (r *Report) Repair(ctx context.Context, repo *images.Repository, o registry.Options, progress bootc.Progress) (*Report, error) {
	var failed []error
	if _, err := repo.Upgrade(); err != nil {
		return r, err
	}
	for _, i := range r.Damaged {
		if err := fetch(ctx, repo, i, o, progress); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", i.Name, err))
		}
		if ctx.Err() != nil {
			return r, context.Cause(ctx)
		}
	}
	after, err := Check(ctx, repo, r.all)
	if err != nil {
		return r, err
	}
	return after, errors.Join(failed...)
}

func fetch(ctx context.Context, repo *images.Repository, i Image, o registry.Options, progress bootc.Progress) error {
	if i.Source == nil {
		return errors.New("it is not known where it is kept")
	}
	src, err := registry.Open(ctx, pinned(*i.Source, i.Manifest), o)
	if err != nil {
		return err
	}
	defer src.Close()
	if got := src.Digest(); got != i.Manifest {
		return fmt.Errorf("%s is another image now, %s, want %s", i.Source, got, i.Manifest)
	}
	if err := repo.Repair(ctx, src, progress, ids(i)...); err != nil {
		return err
	}
	if i.ID == "" {
		return nil
	}
	return repo.Tag(i.Manifest)
}

// pinned makes the reference to an image in a registry one to a digest. Other
// transports have none.
func pinned(ref bootc.Ref, d bootc.Digest) bootc.Ref {
	if ref.Transport != bootc.Registry {
		return ref
	}
	name, _, _ := strings.Cut(ref.Name, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	ref.Name = name + "@" + string(d)
	return ref
}
