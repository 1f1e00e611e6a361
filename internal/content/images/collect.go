package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/objects"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// CollectOptions say what to keep beside what refs keep.
type CollectOptions struct {
	// Images are EROFS images, such as those of deployments. One that is not
	// there is an error: then nothing is removed.
	Images []bootc.ID
	// Manifests are images that were pulled, and Layers layers by their
	// diff_id. Roots are names in images or streams. What of these is not there
	// is ignored.
	Manifests []bootc.Digest
	Layers    []bootc.Digest
	Roots     []string
	// Untagged are images whose tags of ours keep nothing: a preview of what
	// [Repository.Untag] leaves.
	Untagged []bootc.Digest
	// DryRun only counts.
	DryRun bool
	// Wait is how long to wait until nobody else has the repository open, before
	// the error is [ErrInUse].
	Wait time.Duration
}

// names lists the roots that may be missing.
func (o CollectOptions) names() []string {
	all := slices.Clone(o.Roots)
	for _, d := range o.Manifests {
		all = append(all, manifestStream(d))
	}
	for _, d := range o.Layers {
		all = append(all, layerStream(d))
	}
	return all
}

// Garbage is what was collected, or would be.
type Garbage struct {
	Objects         int
	Bytes           int64
	Images, Streams int // links
}

// None reports whether there is none.
func (g Garbage) None() bool { return g == Garbage{} }

// Collect removes the objects that nothing needs, and the links to them. What
// cannot be read keeps everything: it is an error, and nothing is removed.
//
// It keeps everybody else out meanwhile, so no goroutine of the caller may
// pull. After a power cut, or when ctx ends, what remains is whole: links go
// first, and objects only when the links to them are gone from the disk.
func (r *Repository) Collect(ctx context.Context, o CollectOptions) (g Garbage, err error) {
	if o.DryRun {
		s, err := r.sweep(ctx, o)
		return s.garbage, err
	}
	if err := r.writable(); err != nil {
		return g, err
	}
	release, err := r.exclusive(ctx, o.Wait)
	if err != nil {
		return g, err
	}
	defer func() { err = errors.Join(err, release()) }()
	s, err := r.sweep(ctx, o)
	if err != nil {
		return g, err
	}
	return s.garbage, s.remove(ctx, r)
}

// exclusive is [Repository.Exclusive] with patience.
func (r *Repository) exclusive(ctx context.Context, wait time.Duration) (release func() error, err error) {
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		release, err = r.Exclusive()
		if !errors.Is(err, ErrInUse) {
			return release, err
		}
		select {
		case <-limited.Done():
			if wait > 0 && ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// A sweep is what is to be removed, by path.
type sweep struct {
	garbage Garbage
	links   []string
	objects []string
	temps   []string // leftovers of power cuts
}

func (r *Repository) sweep(ctx context.Context, o CollectOptions) (*sweep, error) {
	s := &sweep{}
	m, err := r.mark(ctx, o)
	if err != nil {
		return s, fmt.Errorf("finding out what is needed: %w", err)
	}
	for name, d := range m.images {
		if !m.live[d] {
			s.links = append(s.links, imagesDir+"/"+name)
			s.garbage.Images++
		}
	}
	for name, d := range m.streams {
		if !m.live[d] {
			s.links = append(s.links, streamsDir+"/"+name)
			s.garbage.Streams++
		}
	}
	if err := s.findObjects(ctx, r, m.live); err != nil {
		return s, err
	}
	return s, s.findTemps(r)
}

func (r *Repository) mark(ctx context.Context, o CollectOptions) (*marker, error) {
	m, err := r.newMarker()
	if err != nil {
		return nil, err
	}
	ignored := map[string]bool{}
	for _, d := range o.Untagged {
		ignored[tagName(d)] = true
	}
	if err := m.refs(ctx, ignored); err != nil {
		return nil, err
	}
	for _, id := range o.Images {
		if found, err := m.root(string(id)); err != nil {
			return nil, err
		} else if !found {
			return nil, fmt.Errorf("EROFS image %s: %w", id.Short(), ErrNotFound)
		}
	}
	for _, name := range o.names() {
		if _, err := m.root(name); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (s *sweep) findObjects(ctx context.Context, r *Repository, live map[verity.Digest]bool) error {
	return r.objects.Walk(func(d verity.Digest) error {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if live[d] {
			return nil
		}
		size, err := r.objects.Size(d)
		if err != nil && !errors.Is(err, objects.ErrNotFound) { // one that is condemned goes too
			return err
		}
		s.garbage.Objects++
		s.garbage.Bytes += size
		s.objects = append(s.objects, objectsDir+"/"+d.ObjectPath())
		return nil
	}, nil)
}

// findTemps finds names of files and links that were under way when the power
// was cut. Who holds the lock knows that nobody is at work on them.
func (s *sweep) findTemps(r *Repository) error {
	for _, parent := range []string{".", objectsDir, imagesDir, streamsDir, tagsDir} {
		entries, err := dir.ReadDir(r.root, parent)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".tmp-") || strings.HasPrefix(e.Name(), ".symlink-") {
				s.temps = append(s.temps, parent+"/"+e.Name())
			}
		}
	}
	return nil
}

// remove removes links and then objects, with a flush before each: the first
// takes what others have removed, such as a tag, whose links are garbage now.
func (s *sweep) remove(ctx context.Context, r *Repository) error {
	for _, names := range [][]string{append(s.temps, s.links...), s.objects} {
		if len(names) == 0 {
			continue
		}
		if err := r.Sync(); err != nil {
			return err
		}
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			if err := r.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}
