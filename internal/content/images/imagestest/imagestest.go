// Package imagestest builds small OCI images in memory, as a source for package
// images, and spoils them on request.
package imagestest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
)

// time0 is the time of everything in the images.
func time0() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// An Entry is one name in a layer. The zero Mode is 0755 for a directory and
// 0644 for others.
type Entry struct {
	Name string // a directory's ends with a slash
	Body string // of a regular file
	Link string // the text of a symbolic link, or the other name of a hard link
	Hard bool
	Mode int64
	// Fraction is what is added to the time, less than a second.
	Fraction time.Duration
	Xattrs   map[string]string
}

// Base is what every image needs: the directories that the transforms want.
func Base() []Entry {
	var all []Entry
	for _, d := range []string{"boot", "etc", "run", "sysroot", "tmp", "usr", "usr/bin", "usr/lib", "var"} {
		all = append(all, Entry{Name: d + "/"})
	}
	return all
}

// File makes an entry.
func File(name, body string) Entry { return Entry{Name: name, Body: body} }

// Big returns a content of n bytes that compresses badly; seed tells one from
// another.
func Big(seed string, n int) string {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", seed, i))
		b.Write(sum[:])
	}
	return b.String()[:n]
}

// Tar writes a layer.
func Tar(entries []Entry) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.Name, Mode: e.Mode, ModTime: time0(), Typeflag: tar.TypeReg, Size: int64(len(e.Body)), Linkname: e.Link}
		switch {
		case strings.HasSuffix(e.Name, "/"):
			h.Typeflag = tar.TypeDir
		case e.Hard:
			h.Typeflag = tar.TypeLink
		case e.Link != "":
			h.Typeflag = tar.TypeSymlink
		}
		if h.Mode == 0 {
			h.Mode = 0o644
			if h.Typeflag == tar.TypeDir {
				h.Mode = 0o755
			}
		}
		if e.Fraction != 0 {
			h.ModTime, h.Format = h.ModTime.Add(e.Fraction), tar.FormatPAX
		}
		for name, value := range e.Xattrs {
			if h.PAXRecords == nil {
				h.PAXRecords = map[string]string{}
			}
			h.PAXRecords["SCHILY.xattr."+name] = value
		}
		must(w.WriteHeader(h))
		_, err := io.WriteString(w, e.Body)
		must(err)
	}
	must(w.Close())
	return b.Bytes()
}

// A Compression says how a layer is stored.
type Compression string

// The compressions.
const (
	Gzip Compression = "gzip"
	Zstd Compression = "zstd"
	None Compression = ""
)

// Stored is a compression that gives these bytes whatever the layer.
func Stored(data []byte) Compression { return Compression(storedPrefix + string(data)) }

const storedPrefix = "stored:"

// Compress stores a layer.
func (c Compression) Compress(data []byte) []byte {
	if stored, ok := strings.CutPrefix(string(c), storedPrefix); ok {
		return []byte(stored)
	}
	var b bytes.Buffer
	switch c {
	case Gzip:
		w := gzip.NewWriter(&b)
		_, err := w.Write(data)
		must(err)
		must(w.Close())
	case Zstd:
		w, err := zstd.NewWriter(&b)
		must(err)
		_, err = w.Write(data)
		must(err)
		must(w.Close())
	default:
		b.Write(data)
	}
	return b.Bytes()
}

// A Layer is a layer of an image: Entries, or Raw if that is set.
type Layer struct {
	Entries []Entry
	Raw     []byte // the uncompressed tar
	Compression
	// DiffID is what the config says instead of the truth.
	DiffID bootc.Digest
}

// Options are the options of [New]. The zero value makes an OCI image.
type Options struct {
	Docker   bool // Docker schema 2 instead of OCI
	Version  string
	Arch     string // empty: amd64
	NoDigest bool   // Layers does not tell the digests of the blobs
}

// An Image is an image in memory. It implements images.Source.
type Image struct {
	RawManifest []byte
	RawConfig   []byte
	Blobs       []images.Blob
	Content     map[bootc.Digest][]byte // of the blobs, by the digest in the manifest

	digest bootc.Digest

	mu     sync.Mutex
	opened []bootc.Digest
	faults map[int]Fault
	byID   map[string]int
}

var _ images.Source = (*Image)(nil)

// New builds an image.
func New(o Options, layers ...Layer) *Image {
	i := &Image{Content: map[bootc.Digest][]byte{}, faults: map[int]Fault{}, byID: map[string]int{}}
	created := time0()
	config := ocispec.Image{Created: &created}
	config.Architecture, config.OS = "amd64", "linux"
	if o.Arch != "" {
		config.Architecture = o.Arch
	}
	config.Config.Labels = map[string]string{"containers.bootc": "1"}
	if o.Version != "" {
		config.Config.Labels["org.opencontainers.image.version"] = o.Version
	}
	config.RootFS.Type = "layers"
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	configType, layerType := ocispec.MediaTypeImageConfig, ocispec.MediaTypeImageLayer
	if o.Docker {
		m.MediaType = "application/vnd.docker.distribution.manifest.v2+json"
		configType, layerType = "application/vnd.docker.container.image.v1+json", "application/vnd.docker.image.rootfs.diff.tar.gzip"
	}
	for n, l := range layers {
		raw := l.Raw
		if raw == nil {
			raw = Tar(l.Entries)
		}
		diffID := l.DiffID
		if diffID == "" {
			diffID = Digest(raw)
		}
		blob := l.Compress(raw)
		d := Digest(blob)
		mediaType := layerType
		if !o.Docker && (l.Compression == Gzip || l.Compression == Zstd) {
			mediaType += "+" + string(l.Compression)
		}
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.Digest(diffID))
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: mediaType, Digest: digest.Digest(d), Size: int64(len(blob))})
		b := images.Blob{Digest: d, Size: int64(len(blob))}
		if o.NoDigest {
			b.Digest = ""
			b.Size = int64(-1 - n) // tells one from another
		}
		i.Blobs = append(i.Blobs, b)
		i.byID[key(b)] = n
		i.Content[d] = blob
	}
	i.RawConfig = marshal(config)
	m.Config = ocispec.Descriptor{MediaType: configType, Digest: digest.Digest(Digest(i.RawConfig)), Size: int64(len(i.RawConfig))}
	i.RawManifest = marshal(m)
	i.digest = Digest(i.RawManifest)
	return i
}

func key(b images.Blob) string { return fmt.Sprint(b.Digest, b.Size) }

// Digest returns the sha256 digest of data.
func Digest(data []byte) bootc.Digest {
	return bootc.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(data)))
}

// A Fault spoils the blob of one layer as it is read.
type Fault struct {
	Flip     int   // flips a bit of the byte at this place, if not 0
	Truncate int   // ends the blob after so many bytes, if not 0
	Err      error // ends it with this error instead
	Block    bool  // waits for the context's end there instead
	// Wait, if not nil, is waited for at the end, before Err.
	Wait <-chan struct{}
}

// Spoil sets the fault of a layer; the zero Fault takes it away.
func (i *Image) Spoil(layer int, f Fault) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.faults[layer] = f
}

// Opened returns the blobs that were opened, and forgets them.
func (i *Image) Opened() []bootc.Digest {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := i.opened
	i.opened = nil
	return all
}

// Digest returns the manifest's digest as it was built.
func (i *Image) Digest() bootc.Digest { return i.digest }

// Manifest returns RawManifest.
func (i *Image) Manifest() []byte { return i.RawManifest }

// Config returns RawConfig.
func (i *Image) Config(ctx context.Context) ([]byte, error) { return i.RawConfig, ctx.Err() }

// Layers returns Blobs.
func (i *Image) Layers() []images.Blob { return i.Blobs }

// OpenBlob opens a layer's blob.
func (i *Image) OpenBlob(ctx context.Context, b images.Blob) (io.ReadCloser, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	n, ok := i.byID[key(b)]
	if !ok {
		return nil, fmt.Errorf("no blob %s", b.Digest)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(i.RawManifest, &m); err != nil {
		return nil, err
	}
	d := bootc.Digest(m.Layers[n].Digest)
	i.opened = append(i.opened, d)
	data := bytes.Clone(i.Content[d])
	f := i.faults[n]
	if f.Flip != 0 {
		data[f.Flip] ^= 0x10
	}
	if f.Truncate != 0 {
		data = data[:f.Truncate]
	}
	return &blob{ctx, bytes.NewReader(data), f}, nil
}

type blob struct {
	ctx context.Context
	r   *bytes.Reader
	f   Fault
}

func (b *blob) Read(p []byte) (int, error) {
	n, err := b.r.Read(p[:min(len(p), 4096)])
	if err == io.EOF && b.f.Block {
		<-b.ctx.Done()
		return 0, b.ctx.Err()
	}
	if err == io.EOF && b.f.Wait != nil {
		select {
		case <-b.f.Wait:
		case <-b.ctx.Done():
			return 0, b.ctx.Err()
		}
	}
	if err == io.EOF && b.f.Err != nil {
		return 0, b.f.Err
	}
	return n, err
}

func (b *blob) Close() error { return nil }

func marshal(v any) []byte {
	data, err := json.Marshal(v)
	must(err)
	return data
}

func must(err error) {
	if err != nil {
		panic("imagestest: " + err.Error())
	}
}
