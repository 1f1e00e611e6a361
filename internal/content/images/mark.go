package images

import (
	"context"
	"fmt"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/erofs"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// A marker finds the objects that are needed, from roots: EROFS images and
// streams. What it cannot read is an error, as nobody knows then what it needs.
type marker struct {
	r        *Repository
	images   map[string]verity.Digest // the links in images
	streams  map[string]verity.Digest // the links in streams
	isLinked map[verity.Digest]bool   // the streams that have a link
	live     map[verity.Digest]bool
	walked   map[verity.Digest]bool
}

func (r *Repository) newMarker() (*marker, error) {
	m := &marker{r: r, isLinked: map[verity.Digest]bool{}, live: map[verity.Digest]bool{}, walked: map[verity.Digest]bool{}}
	var err error
	if m.images, err = r.contents(imagesDir); err != nil {
		return nil, err
	}
	if m.streams, err = r.contents(streamsDir); err != nil {
		return nil, err
	}
	for _, d := range m.streams {
		m.isLinked[d] = true
	}
	return m, nil
}

// refs marks what the refs keep, except those that are ignored.
func (m *marker) refs(ctx context.Context, ignored map[string]bool) error {
	for _, c := range []struct {
		dir   string
		links map[string]verity.Digest
		mark  func(verity.Digest) error
	}{{imagesDir, m.images, m.image}, {streamsDir, m.streams, m.stream}} {
		refs, err := m.r.refs(c.dir)
		if err != nil {
			return err
		}
		for _, ref := range refs {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			d, ok := c.links[ref.target]
			if ignored[ref.name] {
				continue
			}
			if !ok {
				return fmt.Errorf("%s keeps %s, which is not there", ref.name, ref.target)
			}
			if err := c.mark(d); err != nil {
				return fmt.Errorf("%s: %w", ref.name, err)
			}
		}
	}
	return nil
}

// root marks what has the name in images or in streams, if anything has.
func (m *marker) root(name string) (found bool, err error) {
	if d, ok := m.images[name]; ok {
		found, err = true, m.image(d)
	}
	if d, ok := m.streams[name]; ok && err == nil {
		found, err = true, m.stream(d)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return found, err
}

// image marks an EROFS image and the objects of its files.
func (m *marker) image(d verity.Digest) error {
	m.live[d] = true
	if m.walked[d] {
		return nil
	}
	m.walked[d] = true
	t, err := m.r.readImageObject(d)
	if err != nil {
		return err
	}
	return t.Walk(func(_ string, n *tree.Node) error {
		if !n.Object.IsZero() {
			m.live[n.Object] = true
		}
		return nil
	})
}

// stream marks a stream, its objects and what it names: streams, and EROFS
// images, which need no objects but those of the layers. After a power cut a link
// may lead to a newer stream of the same thing than the one that is named; both
// are kept.
func (m *marker) stream(d verity.Digest) error {
	m.live[d] = true
	if m.walked[d] {
		return nil
	}
	m.walked[d] = true
	s, err := m.r.openAnyStream(d)
	if err != nil {
		return err
	}
	defer s.Close()
	for _, o := range s.Objects {
		m.live[o] = true
	}
	for name, named := range s.Named {
		m.live[named] = true
		if m.isLinked[named] || !strings.HasPrefix(name, imageNames) {
			if err := m.stream(named); err != nil {
				return err
			}
		}
		if newer, ok := m.streams[linkOf(name)]; ok {
			if err := m.stream(newer); err != nil {
				return err
			}
		}
	}
	return nil
}

// linkOf is the link in streams to what a stream names.
func linkOf(name string) string {
	if config, ok := strings.CutPrefix(name, configRef("")); ok {
		return configStream(bootc.Digest(config))
	}
	return layerStream(bootc.Digest(name))
}

// readImageObject reads the file tree of an object that is an EROFS image.
func (r *Repository) readImageObject(d verity.Digest) (*tree.Tree, error) {
	f, err := r.objects.Open(d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := r.check(f, d); err != nil {
		return nil, fmt.Errorf("EROFS image %v: %w", d, err)
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	t, err := erofs.Read(f, st.Size())
	if err != nil {
		return nil, fmt.Errorf("EROFS image %v: %w", d, err)
	}
	return t, nil
}
