package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/bootc-go/bootc/internal/content/objects"
	"github.com/bootc-go/bootc/internal/format/splitstream"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// A Problem is one thing that is wrong with a repository.
type Problem struct {
	// Kind is a word for programs: that of upstream's tool, or where it finds
	// nothing one of ours; see docs/formats/repository.md.
	Kind   string
	Path   string // what is wrong, below the repository
	Detail string // "" if Kind says it all
}

// String gives the line that upstream's tool writes.
func (p Problem) String() string {
	text := "fsck: " + p.Kind + ": " + p.Path
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	return text
}

// A Report says what [Repository.Check] has found: how many things of a kind
// there are, and how many of them are wrong.
type Report struct {
	HasMeta             bool
	Objects, BadObjects int
	Streams, BadStreams int
	Images, BadImages   int
	Broken              int // links that lead nowhere
	Missing             int // references to objects that are not there
	Problems            []Problem
	// Notes are about what no tag keeps: garbage may be incomplete.
	Notes       []Problem
	Orphans     []verity.Digest // objects that nothing refers to, sorted
	OrphanBytes int64

	bad []verity.Digest // objects that are not what they should be
}

// OK reports whether nothing is wrong.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

// CheckOptions say how much is checked. The zero value checks all.
type CheckOptions struct {
	// MetadataOnly leaves out the content of objects.
	MetadataOnly bool
}

// A fsck is a check of a repository under way.
type fsck struct {
	r       *Repository
	o       CheckOptions
	audit   *objects.Audit
	streams map[string]verity.Digest // the links in streams
	images  map[string]verity.Digest // the links in images
	kept    map[verity.Digest]bool   // the streams that a tag keeps
	refs    map[verity.Digest]bool   // what something refers to
	layers  []layerCheck
	objects []verity.Digest // all of them, sorted
	present map[verity.Digest]bool
	lost    map[string]bool // links that should be there

	mu     sync.Mutex
	report *Report
}

// Check looks at everything in the repository: every object is read and
// compared with its digest, every stream with the name of its link, every EROFS
// image is parsed, every reference followed. Nothing is changed. The error is
// one of looking; what is wrong is in the report.
func (r *Repository) Check(ctx context.Context, o CheckOptions) (*Report, error) {
	c := &fsck{
		r: r, o: o, audit: r.objects.Audit(), kept: map[verity.Digest]bool{},
		refs: map[verity.Digest]bool{}, lost: map[string]bool{}, present: map[verity.Digest]bool{},
		report: &Report{HasMeta: r.HasMeta()},
	}
	defer c.audit.Wait()
	switch {
	case r.meta.damaged != "" && !c.report.HasMeta:
		c.problem("metadata-damaged", metaFile, r.meta.damaged)
	case !c.report.HasMeta:
		c.problem("metadata-missing", metaFile, "")
	}
	if err := c.listObjects(); err != nil {
		return nil, err
	}
	var err error
	if c.streams, err = c.entries(streamsDir, &c.report.Streams, &c.report.BadStreams); err != nil {
		return nil, err
	}
	if c.images, err = c.entries(imagesDir, &c.report.Images, &c.report.BadImages); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{c.checkRefs, c.checkStreams, c.checkContents, c.checkOrphans} {
		if err := step(ctx); err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	c.judgeLayers()
	order := func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Detail, b.Detail))
	}
	slices.SortFunc(c.report.Problems, order)
	slices.SortFunc(c.report.Notes, order)
	return c.report, nil
}

func (c *fsck) problem(kind, path, detail string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Problems = append(c.report.Problems, Problem{kind, path, detail})
}

// entries lists the links in streams or images that lead to objects.
func (c *fsck) entries(parent string, n, bad *int) (map[string]verity.Digest, error) {
	entries, err := dir.ReadDir(c.r.root, parent)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	all := map[string]verity.Digest{}
	for _, e := range entries {
		name := parent + "/" + e.Name()
		if e.IsDir() && e.Name() == "refs" || strings.HasPrefix(e.Name(), ".symlink-") {
			continue
		}
		*n++
		d, err := c.r.linked(name)
		switch {
		case e.Type() != fs.ModeSymlink:
			c.problem("entry-not-symlink", name, "")
		case err != nil:
			c.problem("unexpected-link", name, err.Error())
		case !c.exists(d):
			c.report.Broken++
			c.problem("broken-symlink", name, "")
		default:
			all[e.Name()] = d
			c.refs[d] = true
			continue
		}
		*bad++
	}
	return all, nil
}

// exists asks the disk only for what was not there at the beginning.
func (c *fsck) exists(d verity.Digest) bool { return c.present[d] || c.r.objects.Exists(d) }

// checkRefs follows the links that keep something, and finds the streams that
// they keep.
func (c *fsck) checkRefs(context.Context) error {
	for dir, contents := range map[string]map[string]verity.Digest{streamsDir: c.streams, imagesDir: c.images} {
		err := fs.WalkDir(c.r.root.FS(), dir+"/refs", func(name string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && (e.IsDir() || strings.HasPrefix(e.Name(), ".symlink-")) {
				return nil
			}
			if err != nil {
				return err
			}
			text, err := c.r.root.Readlink(name)
			if err != nil {
				c.problem("entry-not-symlink", name, "")
				return nil
			}
			to := path.Join(path.Dir(name), text)
			d, ok := contents[path.Base(to)]
			switch {
			case path.Dir(to) != dir:
				c.problem("unexpected-link", name, fmt.Sprintf("it leads to %q, not into %s", text, dir))
			case !ok:
				c.report.Broken++
				c.problem("broken-symlink", name, "")
			case dir == streamsDir:
				c.keep(d)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// keep notes a stream that a tag keeps, and the streams that it names. One that
// cannot be read is found by checkStreams.
func (c *fsck) keep(d verity.Digest) {
	if c.kept[d] {
		return
	}
	c.kept[d] = true
	s, err := c.openStream(d)
	if err != nil {
		return
	}
	defer s.Close()
	for _, named := range s.Named {
		c.keep(named)
	}
}

// listObjects finds the objects, and what else is in their directories.
func (c *fsck) listObjects() error {
	return c.r.objects.Walk(func(d verity.Digest) error {
		c.objects = append(c.objects, d)
		c.present[d] = true
		return nil
	}, func(name string) error {
		if strings.Contains(name, "/") && !c.o.MetadataOnly {
			c.report.Objects++
			c.report.BadObjects++
		}
		c.problem("object-invalid-name", objectsDir+"/"+name, "not an object of this repository")
		return nil
	})
}

// checkContents reads layers and objects, and meanwhile EROFS images.
func (c *fsck) checkContents(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.checkImages(ctx) })
	g.Go(func() error {
		if err := c.checkLayers(ctx); err != nil {
			return err
		}
		return c.checkObjects(ctx)
	})
	return g.Wait()
}

// checkObjects reads and compares all objects that were not read already.
func (c *fsck) checkObjects(ctx context.Context) error {
	if c.o.MetadataOnly {
		return nil
	}
	c.report.Objects += len(c.objects)
	if err := c.audit.All(ctx, c.objects); err != nil {
		return err
	}
	for d, f := range c.audit.Findings() {
		c.report.BadObjects++
		c.report.bad = append(c.report.bad, d)
		name := objectsDir + "/" + d.ObjectPath()
		switch f.Fault {
		case objects.WrongBytes:
			c.problem("object-digest-mismatch", name, "measured "+f.Detail)
		case objects.NoVerity:
			c.problem("object-verity-missing", name, "")
		default:
			c.problem("object-verity-failed", name, f.Detail)
		}
	}
	return nil
}

// checkOrphans finds the objects that nothing refers to. Streams among them
// tell that the directory of their links has gone.
func (c *fsck) checkOrphans(context.Context) error {
	lost := map[string]bool{}
	for _, d := range c.objects {
		if c.refs[d] {
			continue
		}
		f, err := c.r.objRoot.Open(d.ObjectPath())
		if err != nil {
			continue // the audit tells
		}
		size, dir := belongs(f)
		f.Close()
		c.report.Orphans = append(c.report.Orphans, d)
		c.report.OrphanBytes += size
		lost[dir] = true
	}
	for _, dir := range []string{streamsDir, imagesDir} {
		if _, err := c.r.root.Stat(dir); errors.Is(err, fs.ErrNotExist) && (lost[dir] || dir == imagesDir && len(c.lost) > 0) {
			c.problem("directory-missing", dir, "")
		}
	}
	return nil
}

// belongs returns the size of an object that nothing refers to, and tells in
// which directory it may have had a link, "" in none.
func belongs(f *os.File) (size int64, dir string) {
	st, err := f.Stat()
	if err != nil {
		return 0, ""
	}
	if _, err := splitstream.Open(f, st.Size()); err == nil {
		return st.Size(), streamsDir
	}
	if _, err := formatOf(f); err == nil {
		return st.Size(), imagesDir
	}
	return st.Size(), ""
}
