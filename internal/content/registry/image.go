package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/pkg/blobinfocache/none"
	"go.podman.io/image/v5/types"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
)

const (
	mediaTypeOCIManifest = ocispec.MediaTypeImageManifest
	mediaTypeOCIIndex    = ocispec.MediaTypeImageIndex

	// A config holds the history of the build and labels; 4 MiB is what the
	// containers tools accept.
	maxConfig = 4 << 20
)

// An Image is an image that was found and that the policy allows. Its methods
// may be called from several goroutines. It implements images.Source.
type Image struct {
	ref       bootc.Ref
	options   Options
	explainer explainer
	remote    bool

	src       types.ImageSource
	instance  *digest.Digest // the platform's manifest, if an index chose it
	digest    bootc.Digest
	manifest  []byte
	unchanged bool

	configInfo types.BlobInfo
	layers     []images.Blob
	infos      map[bootc.Digest]types.BlobInfo

	configLock sync.Mutex
	config     []byte
	blobs      sync.Mutex // held for GetBlob where the source needs that
}

// Ref is the reference that the image was opened by.
func (i *Image) Ref() bootc.Ref { return i.ref }

// Digest is the digest of the platform's manifest: the image's identity.
func (i *Image) Digest() bootc.Digest { return i.digest }

// Unchanged says that the image is Options.Known. Then nothing more was
// fetched: Layers is empty, Manifest may be nil, Config and OpenBlob are
// errors.
func (i *Image) Unchanged() bool { return i.unchanged }

// Manifest returns the platform's manifest, byte by byte as it was stored: an
// OCI manifest or a Docker schema 2 one.
func (i *Image) Manifest() []byte { return i.manifest }

// Layers lists the layers from the lowest up, one for each diff_id, as
// OpenBlob gives them. Where a source keeps layers in another form than the
// manifest says (the containers storage: uncompressed), the digest is that of
// the form it gives.
func (i *Image) Layers() []images.Blob { return i.layers }

// Close releases the source: connections, an unpacked archive.
func (i *Image) Close() error {
	if err := i.src.Close(); err != nil {
		return fmt.Errorf("closing image %s: %w", i.ref, err)
	}
	return nil
}

// parse reads the manifest's config and layers.
func (i *Image) parse(ctx context.Context, mime string) error {
	switch mime {
	case mediaTypeOCIManifest, manifest.DockerV2Schema2MediaType:
	case manifest.DockerV2Schema1MediaType, manifest.DockerV2Schema1SignedMediaType:
		return errors.New("its manifest is a Docker schema 1 one, which is obsolete and not supported")
	default:
		return fmt.Errorf("its manifest is of an unknown kind %q", mime)
	}
	m, err := manifest.FromBlob(i.manifest, mime)
	if err != nil {
		return fmt.Errorf("reading manifest: %w", err)
	}
	i.configInfo = m.ConfigInfo()
	switch t := i.configInfo.MediaType; t {
	case ocispec.MediaTypeImageConfig, manifest.DockerV2Schema2ConfigMediaType:
	default:
		return fmt.Errorf("it is not a container image: its config is a %q", t)
	}
	if _, err := bootc.ParseDigest(string(i.configInfo.Digest)); err != nil {
		return fmt.Errorf("reading manifest: config: %w", err)
	}
	var infos []types.BlobInfo
	for _, l := range m.LayerInfos() {
		infos = append(infos, l.BlobInfo)
	}
	stored, err := i.src.LayerInfosForCopy(ctx, i.instance)
	if err != nil {
		return fmt.Errorf("listing layers: %w", err)
	}
	if stored != nil {
		if len(stored) != len(infos) {
			return fmt.Errorf("its manifest has %d layers, %d are stored", len(infos), len(stored))
		}
		infos = stored
	}
	return i.setLayers(infos)
}

func (i *Image) setLayers(infos []types.BlobInfo) error {
	i.infos = make(map[bootc.Digest]types.BlobInfo, len(infos))
	for n, info := range infos {
		d, err := bootc.ParseDigest(string(info.Digest))
		if err != nil {
			return fmt.Errorf("reading manifest: layer %d: %w", n+1, err)
		}
		if info.Size < -1 {
			return fmt.Errorf("reading manifest: layer %d has a size of %d bytes", n+1, info.Size)
		}
		if strings.HasSuffix(info.MediaType, "+encrypted") {
			return fmt.Errorf("layer %d is encrypted (%s)", n+1, info.MediaType)
		}
		if old, ok := i.infos[d]; ok && old.Size != info.Size {
			return fmt.Errorf("reading manifest: layer %s has two sizes, %d and %d bytes", d, old.Size, info.Size)
		}
		info.URLs = nil
		i.infos[d] = info
		i.layers = append(i.layers, images.Blob{Digest: d, Size: info.Size})
	}
	return nil
}

// Config returns the image's config, fetched at the first call and checked
// against the manifest.
func (i *Image) Config(ctx context.Context) ([]byte, error) {
	i.configLock.Lock()
	defer i.configLock.Unlock()
	if i.config != nil {
		return i.config, nil
	}
	if i.unchanged {
		return nil, fmt.Errorf("internal error: config of image %s, which is the known one, was not fetched", i.ref)
	}
	want := i.configInfo
	if want.Size > maxConfig {
		return nil, fmt.Errorf("config of image %s has %d bytes, more than %d", i.ref, want.Size, maxConfig)
	}
	data, err := i.readConfig(ctx, want)
	if wrong := (*images.WrongBytesError)(nil); i.remote && errors.As(err, &wrong) {
		data, err = i.readConfig(ctx, want) // a fault on the way may not come twice
	}
	if err != nil {
		return nil, err
	}
	i.config = data
	return data, nil
}

func (i *Image) readConfig(ctx context.Context, want types.BlobInfo) ([]byte, error) {
	r, err := i.open(ctx, want, "config "+string(want.Digest))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxConfig+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxConfig {
		return nil, fmt.Errorf("config of image %s has more than %d bytes", i.ref, maxConfig)
	}
	if got := want.Digest.Algorithm().FromBytes(data); got != want.Digest {
		return nil, &images.WrongBytesError{Err: fmt.Errorf("config of image %s is not what its digest says: want %s, got %s", i.ref, want.Digest, got)}
	}
	return data, nil
}

// OpenBlob opens one of Layers. The stream ends with an error if it is shorter
// or longer than the manifest says. One from a registry goes on where it was
// when it breaks off, or when nothing arrives for the stall limit while a Read
// waits; only when it gets no further for Options.Resumes attempts that is an
// error. ctx is for all of it. The caller checks the digest and closes it.
func (i *Image) OpenBlob(ctx context.Context, b images.Blob) (io.ReadCloser, error) {
	info, ok := i.infos[b.Digest]
	if !ok {
		return nil, fmt.Errorf("internal error: %s is not a layer of image %s", b.Digest, i.ref)
	}
	return i.open(ctx, info, "layer "+string(info.Digest))
}

func (i *Image) open(ctx context.Context, info types.BlobInfo, what string) (io.ReadCloser, error) {
	e := i.explainer
	e.what = what
	b := &blob{what: what, want: info.Size, explainer: e}
	if !i.remote {
		body, size, err := i.getBlob(ctx, info)
		if err != nil {
			return nil, e.explain(err)
		}
		b.body, b.want = body, either(info.Size, size)
		return b, nil
	}
	b.rest = &rest{ctx: ctx, image: i, info: info, retry: retry{options: i.options, explainer: e, limit: i.options.Resumes}}
	r := retry{options: i.options, explainer: e, limit: i.options.Attempts}
	err := r.do(ctx, func(context.Context) error { return b.reopen() })
	if err != nil {
		return nil, e.explain(err)
	}
	return b, nil
}

func (i *Image) getBlob(ctx context.Context, info types.BlobInfo) (io.ReadCloser, int64, error) {
	if !i.src.HasThreadSafeGetBlob() {
		i.blobs.Lock()
		defer i.blobs.Unlock()
	}
	return i.src.GetBlob(ctx, info, none.NoCache)
}

func either(a, b int64) int64 {
	if a >= 0 {
		return a
	}
	return b
}
