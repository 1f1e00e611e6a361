package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/objects"
	"github.com/bootc-go/bootc/internal/format/erofs"
	"github.com/bootc-go/bootc/internal/format/splitstream"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// openStream opens a stream without comparing its digest, which the audit does.
func (c *fsck) openStream(d verity.Digest) (*stream, error) {
	f, err := c.r.objRoot.Open(d.ObjectPath())
	if err != nil {
		return nil, err
	}
	s := &stream{f: f}
	st, err := f.Stat()
	if err == nil {
		s.Reader, err = splitstream.Open(f, st.Size())
	}
	if err == nil && s.Algorithm != c.r.meta.algorithm {
		err = fmt.Errorf("it has %v digests", s.Algorithm)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

// checkStreams follows the references of all streams.
func (c *fsck) checkStreams(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(c.streams)) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		c.checkStream(name)
	}
	return nil
}

func (c *fsck) checkStream(name string) {
	path, d := streamsDir+"/"+name, c.streams[name]
	s, err := c.openStream(d)
	if err != nil {
		c.report.BadStreams++
		c.problem("stream-open-failed", path, err.Error())
		return
	}
	defer s.Close()
	for _, o := range s.Objects {
		c.refs[o] = true
		if !c.exists(o) {
			c.report.Missing++
			c.problem("missing-object-ref", path, o.String())
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(s.Named)) {
		named := s.Named[ref]
		c.refs[named] = true
		if !c.exists(named) {
			c.report.Missing++
			c.problem("missing-named-ref", path, fmt.Sprintf("ref %s: %v", ref, named))
			continue
		}
		c.checkLink(path, d, ref, named)
	}
	if _, ok := strings.CutPrefix(name, layerStream("")); ok {
		c.layers = append(c.layers, layerCheck{name: name, id: d})
	} else if want, ok := documentDigest(name); ok {
		c.checkDocument(path, s, want)
	}
}

// checkLink looks for the link to what a stream names.
func (c *fsck) checkLink(path string, id verity.Digest, ref string, named verity.Digest) {
	link := streamsDir + "/" + linkOf(ref)
	_, there := c.streams[linkOf(ref)]
	if strings.HasPrefix(ref, imageNames) {
		link = imagesDir + "/" + named.String()
		_, there = c.images[named.String()]
	}
	if there || c.lost[link] {
		return
	}
	p := Problem{"link-missing", link, path + " names it"}
	if !c.kept[id] {
		c.report.Notes = append(c.report.Notes, p)
		return
	}
	c.lost[link] = true
	c.problem(p.Kind, p.Path, p.Detail)
}

// documentDigest returns the digest in the name of a stream that is a manifest
// or a config.
func documentDigest(name string) (bootc.Digest, bool) {
	for _, prefix := range []string{manifestStream(""), configStream("")} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			d, err := bootc.ParseDigest(rest)
			return d, err == nil
		}
	}
	return "", false
}

// checkDocument compares a manifest or a config with the name of its stream.
// That an object is missing or spoiled is told elsewhere.
func (c *fsck) checkDocument(path string, s *stream, want bootc.Digest) {
	if s.Size > maxDocument {
		c.report.BadStreams++
		c.problem("stream-read-failed", path, fmt.Sprintf("it has %d bytes, more than %d", s.Size, maxDocument))
		return
	}
	var out bytes.Buffer
	err := s.Cat(&out, c.r.openContent)
	if errors.Is(err, objects.ErrNotFound) {
		return
	}
	if err == nil {
		err = verify(want, out.Bytes())
	}
	if err == nil || slices.ContainsFunc(s.Objects, c.spoiled) {
		return
	}
	c.report.BadStreams++
	c.problem("stream-content-mismatch", path, err.Error())
}

// spoiled reports whether an object is not what its name says.
func (c *fsck) spoiled(d verity.Digest) bool {
	f, err := c.r.openContent(d)
	if err != nil {
		return true
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return err != nil
}

// layerCheck is what came out of reading a layer.
type layerCheck struct {
	name    string
	id      verity.Digest
	objects []verity.Digest
	err     error
}

// parallelChecks is how many layers are read at the same time; their objects
// are hashed beside that.
const parallelChecks = 2

// checkLayers gives back each layer's tar and compares it with its diff_id. The
// objects are read once, for that and for their own digests.
func (c *fsck) checkLayers(ctx context.Context) error {
	if c.o.MetadataOnly {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelChecks)
	for i := range c.layers {
		g.Go(func() error {
			c.checkLayer(ctx, &c.layers[i])
			return ctx.Err()
		})
	}
	return g.Wait()
}

func (c *fsck) checkLayer(ctx context.Context, l *layerCheck) {
	want, err := bootc.ParseDigest(strings.TrimPrefix(l.name, layerStream("")))
	if err != nil {
		l.err = err
		return
	}
	s, err := c.openStream(l.id)
	if err != nil {
		l.err = err
		return
	}
	defer s.Close()
	l.objects = s.Objects
	h := newHash(want)
	l.err = s.Cat(&cancelWriter{ctx: ctx, w: h}, c.audit.Open)
	if l.err == nil {
		l.err = compare(want, h)
	}
}

// cancelWriter ends when its context does.
type cancelWriter struct {
	ctx    context.Context
	w      io.Writer
	buffer []byte
}

func (c *cancelWriter) Write(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.w.Write(p)
}

// ReadFrom makes io.Copy use one buffer for all objects of a layer.
func (c *cancelWriter) ReadFrom(r io.Reader) (total int64, err error) {
	if c.buffer == nil {
		c.buffer = make([]byte, 256<<10)
	}
	for {
		n, err := r.Read(c.buffer)
		total += int64(n)
		if _, e := c.Write(c.buffer[:n]); e != nil {
			return total, e
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// judgeLayers tells of layers that are not what they are named by, unless an
// object that is missing or spoiled explains it.
func (c *fsck) judgeLayers() {
	bad := map[verity.Digest]bool{}
	for _, d := range c.report.bad {
		bad[d] = true
	}
	explained := func(d verity.Digest) bool { return bad[d] || !c.exists(d) }
	for _, l := range c.layers {
		if l.err == nil || explained(l.id) || slices.ContainsFunc(l.objects, explained) {
			continue
		}
		c.report.BadStreams++
		c.problem("stream-content-mismatch", streamsDir+"/"+l.name, l.err.Error())
	}
}

// checkImages parses all EROFS images and follows their references.
func (c *fsck) checkImages(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(c.images)) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !c.checkImage(name) {
			c.report.BadImages++
		}
	}
	return nil
}

func (c *fsck) checkImage(name string) bool {
	path, d := imagesDir+"/"+name, c.images[name]
	f, err := c.r.objRoot.Open(d.ObjectPath())
	if err != nil {
		c.problem("image-open-failed", path, err.Error())
		return false
	}
	defer f.Close()
	ok := name == d.String()
	if !ok {
		c.problem("image-digest-mismatch", path, "it leads to "+d.String())
	}
	st, err := f.Stat()
	if err != nil {
		c.problem("image-read-failed", path, err.Error())
		return false
	}
	t, err := erofs.Read(f, st.Size())
	if err != nil {
		c.problem("image-invalid", path, err.Error())
		return false
	}
	seen := map[verity.Digest]bool{}
	_ = t.Walk(func(_ string, n *tree.Node) error {
		if n.Object.IsZero() || seen[n.Object] {
			return nil
		}
		seen[n.Object], c.refs[n.Object] = true, true
		if !c.exists(n.Object) {
			c.report.Missing++
			c.problem("image-missing-object", path, n.Object.String())
		}
		return nil
	})
	return ok
}
