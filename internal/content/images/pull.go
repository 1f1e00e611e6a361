package images

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/objects"
	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/splitstream"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// parallelLayers is how many layers are fetched at the same time.
const parallelLayers = 2

// Pull fetches what is missing of an image, verifies it and keeps it. Layers
// go straight into the object store. After an error or a power cut verified
// layers stay for the next try; nothing refers to anything else. What was
// pulled is on disk on return, except for the last links, which are after the
// next flush, such as that of [Repository.Compose]. Only a tag keeps the image.
func (r *Repository) Pull(ctx context.Context, src Source, p bootc.Progress) (*Image, error) {
	if err := r.writable(); err != nil {
		return nil, err
	}
	i, err := describe(ctx, src)
	if err != nil {
		return nil, err
	}
	layers, err := r.pullLayers(ctx, src, i, newMeter(p, time.Now))
	if err != nil {
		return nil, err
	}
	i.Tree = tree.New()
	for n, l := range layers {
		if err := layer.Apply(i.Tree, l); err != nil {
			return nil, fmt.Errorf("%s: %w", i.layerName(n), err)
		}
		layers[n] = nil // a layer's list is as large as its part of the tree
	}
	if err := layer.Plain(i.Tree); err != nil {
		return nil, err
	}
	if err := r.writeHead(i, nil); err != nil {
		return nil, fmt.Errorf("keeping manifest and config: %w", err)
	}
	return i, nil
}

// describe reads what the image is and checks all of it that can be checked
// without its layers.
func describe(ctx context.Context, src Source) (*Image, error) {
	i := &Image{Manifest: src.Digest(), RawManifest: src.Manifest()}
	if _, err := bootc.ParseDigest(string(i.Manifest)); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if err := verify(i.Manifest, i.RawManifest); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	var err error
	if i.manifest, err = ParseManifest(i.RawManifest); err != nil {
		return nil, err
	}
	if i.rawConfig, err = src.Config(ctx); err != nil {
		return nil, fmt.Errorf("fetching the config: %w", err)
	}
	if err := verify(bootc.Digest(i.manifest.Config.Digest), i.rawConfig); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if i.Config, err = parseConfig(i.rawConfig); err != nil {
		return nil, err
	}
	if c, m, s := len(i.Config.RootFS.DiffIDs), len(i.manifest.Layers), len(src.Layers()); c != m || c != s {
		return nil, fmt.Errorf("the config has %d layers, the manifest %d, and there are %d to fetch", c, m, s)
	}
	return i, nil
}

// DiffIDs lists the layers of an image where it is kept, uncompressed.
func DiffIDs(ctx context.Context, src Source) ([]bootc.Digest, error) {
	i, err := describe(ctx, src)
	if err != nil {
		return nil, err
	}
	var all []bootc.Digest
	for _, d := range i.Config.RootFS.DiffIDs {
		all = append(all, bootc.Digest(d))
	}
	return all, nil
}

// layerName names a layer in errors.
func (i *Image) layerName(n int) string {
	return fmt.Sprintf("layer %d of %d (%s)", n+1, len(i.Config.RootFS.DiffIDs), i.Config.RootFS.DiffIDs[n])
}

// pullLayers fetches the layers that are not there. Those that are verified
// are published even if another one fails.
func (r *Repository) pullLayers(ctx context.Context, src Source, i *Image, m *meter) ([]*layer.Layer, error) {
	blobs := src.Layers()
	layers := make([]*layer.Layer, len(blobs))
	i.layers = make([]verity.Digest, len(blobs))
	links := &publisher{r: r}
	jobs, cached := r.plan(i, blobs)
	m.begin(blobs, cached)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelLayers)
	for _, numbers := range jobs {
		g.Go(func() error {
			for _, n := range numbers {
				f := fetch{image: i, r: r, src: src, blob: blobs[n], diffID: bootc.Digest(i.Config.RootFS.DiffIDs[n]), meter: m, links: links}
				var err error
				if layers[n], i.layers[n], err = f.layer(gctx, cached[n], i.layers[numbers[0]]); err != nil {
					return fmt.Errorf("%s: %w", i.layerName(n), err)
				}
			}
			return nil
		})
	}
	err := g.Wait()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if e := links.finish(); e != nil {
		err = errors.Join(err, fmt.Errorf("keeping the layers: %w", e))
	}
	if err != nil {
		return nil, err
	}
	m.done()
	return layers, nil
}

// plan groups the layers that are one and the same, which are fetched once,
// and says which need no fetching.
func (r *Repository) plan(i *Image, blobs []Blob) (jobs [][]int, cached []bool) {
	first := map[string]int{}
	cached = make([]bool, len(blobs))
	for n := range blobs {
		diffID := string(i.Config.RootFS.DiffIDs[n])
		if k, ok := first[diffID]; ok {
			jobs[k] = append(jobs[k], n)
			cached[n] = true
			continue
		}
		first[diffID] = len(jobs)
		jobs = append(jobs, []int{n})
		_, err := r.linked(streamsDir + "/" + layerStream(bootc.Digest(diffID)))
		cached[n] = err == nil
	}
	return jobs, cached
}

// fetch is what it takes to get one layer.
type fetch struct {
	image  *Image
	r      *Repository
	src    Source
	blob   Blob
	diffID bootc.Digest
	meter  *meter
	links  *publisher
}

// layer gets a layer: from its stream if it is here in good order, else from
// the source. same is its stream if this pull has just made it.
func (f *fetch) layer(ctx context.Context, cached bool, same verity.Digest) (*layer.Layer, verity.Digest, error) {
	if cached {
		if err := ctx.Err(); err != nil {
			return nil, verity.Digest{}, err
		}
		id, err := same, error(nil)
		if id.IsZero() {
			id, err = f.r.linked(streamsDir + "/" + layerStream(f.diffID))
		}
		var l *layer.Layer
		if err == nil {
			l, err = f.r.readLayer(id)
		}
		if err == nil {
			id, err = f.renew(id)
			return l, id, err
		}
		f.meter.uncached(f.blob) // something of it is missing or spoiled
	}
	return f.fetch(ctx)
}

// renew brings a layer's stream into the current layout and publishes it.
func (f *fetch) renew(id verity.Digest) (verity.Digest, error) {
	renewed, err := f.r.renewLayer(id)
	if err != nil || renewed == id {
		return id, err
	}
	return renewed, f.links.add(layerStream(f.diffID), renewed, 0)
}

// fetch gets a layer from the source, once more if the wrong bytes came, or may
// have: they may have been changed on the way.
func (f *fetch) fetch(ctx context.Context) (*layer.Layer, verity.Digest, error) {
	l, id, err := f.once(ctx)
	if !maybeWrongBytes(err) {
		return l, id, err
	}
	f.meter.again(f.name(), err)
	wrong := (*WrongBytesError)(nil)
	if l, id, err = f.once(ctx); errors.As(err, &wrong) {
		err = fmt.Errorf("the wrong bytes came twice: %w", err)
	}
	return l, id, err
}

// once gets a layer from the source and verifies it while it arrives.
func (f *fetch) once(ctx context.Context) (l *layer.Layer, id verity.Digest, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, err := f.src.OpenBlob(ctx, f.blob)
	if err != nil {
		return nil, id, err
	}
	defer body.Close()
	counted := f.meter.layer(f.name(), f.blob.Size, &cancelReader{ctx, body})
	defer func() { counted.end(err == nil) }()
	want := f.blob.Digest
	if want == f.diffID { // which its content is compared with in any case
		want = ""
	}
	compressed := newChecker(counted, want)
	w, err := splitstream.NewWriter(f.r.meta.algorithm, splitstream.Layer)
	if err != nil {
		return nil, id, err
	}
	l, size, err := f.unpack(compressed, w)
	if err != nil {
		return nil, id, compressed.explain(err)
	}
	if err := compressed.finish(); err != nil {
		return nil, id, compressed.explain(err)
	}
	if id, err = f.r.put(w.Finish); err != nil {
		return nil, id, err
	}
	return l, id, f.links.add(layerStream(f.diffID), id, size)
}

// name names the layer in progress.
func (f *fetch) name() bootc.Digest {
	if f.blob.Digest != "" {
		return f.blob.Digest
	}
	return f.diffID
}

// unpack reads the tar into the store and w. On return without an error it is
// what the diff_id says and all its objects are in the store.
func (f *fetch) unpack(compressed *checker, w *splitstream.Writer) (_ *layer.Layer, size int64, err error) {
	raw, err := decompress(compressed)
	if err != nil {
		return nil, 0, err
	}
	defer raw.Close()
	pipe := newAhead(raw)
	defer pipe.close()
	tar := newChecker(&frugal{r: pipe, free: f.r.free}, f.diffID)
	batch := f.r.objects.Batch()
	external := &externals{Writer: w}
	l, err := layer.Read(tar, batch, external, layer.Limits{})
	if err == nil {
		if err = tar.finish(); err != nil {
			err = fmt.Errorf("uncompressed: %w", err)
		}
	} else if compressed.want == "" {
		err = tar.explain(err)
	}
	if e := batch.Wait(); err == nil {
		err = e
	}
	if err == nil {
		f.image.stored.add(batch.Count(), tar.n-external.n)
	}
	return l, tar.n, err
}

// externals counts the bytes of a tar that are in objects.
type externals struct {
	*splitstream.Writer
	n int64
}

func (e *externals) External(d verity.Digest, size int64) error {
	e.n += size
	return e.Writer.External(d, size)
}

// Stored says what a pull has stored of the layers that it fetched.
type Stored struct {
	New, Present int   // objects
	Bytes        int64 // of the new ones
	Inline       int64 // bytes of the layers that are in their streams
}

// stored is a Stored that several layers add to.
type stored struct {
	mu sync.Mutex
	Stored
}

func (s *stored) add(c objects.Count, inline int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.New += c.New
	s.Present += c.Present
	s.Bytes += c.Bytes
	s.Inline += inline
}
