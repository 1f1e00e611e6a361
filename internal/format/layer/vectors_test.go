package layer_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/bootc-go/bootc/internal/format/erofs"
	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// A vector is a row of index.tsv.
type vector struct {
	name, hash, erofs, plain, bootable, bootable07, plainUser, ours string
}

// TestVectors builds the tree of each OCI image of testdata/layouts.tar.gz and
// compares the digests of its images of either version with those of upstream, or with what
// column "ours" says.
func TestVectors(t *testing.T) {
	vectors := readVectors(t)
	layouts := readLayouts(t)
	byKey := map[string]vector{}
	for _, v := range vectors {
		byKey[v.name+v.hash+v.erofs] = v
	}
	checked := 0
	for _, v := range vectors {
		want := v
		if other, ok := strings.CutPrefix(v.ours, "="); ok {
			want = byKey[other+v.hash+v.erofs]
		}
		alg := verity.SHA512
		if v.hash == "sha256" {
			alg = verity.SHA256
		}
		version := erofs.V1
		if v.erofs == "V2" {
			version = erofs.V2
		}
		plain, bootable := digests(layouts[v.name], alg, version, layer.Options{})
		if v.ours == "refuse" {
			want.plain, want.bootable, want.bootable07, want.plainUser = "error", "error", "error", "error"
		}
		compare(t, v.name+" "+v.hash+" "+v.erofs+" plain", plain, want.plain)
		compare(t, v.name+" "+v.hash+" "+v.erofs+" bootable", bootable, want.bootable)
		_, bootable = digests(layouts[v.name], alg, version, layer.Options{KeepNanoseconds: true})
		if v.ours == "same" {
			compare(t, v.name+" "+v.hash+" "+v.erofs+" bootable with nanoseconds", bootable, want.bootable07)
		}
		plain, _ = digests(layouts[v.name], alg, version, layer.Options{KeepUserXattrs: true})
		compare(t, v.name+" "+v.hash+" "+v.erofs+" plain with user attributes", plain, want.plainUser)
		checked++
	}
	if checked != 376 {
		t.Errorf("%d rows checked, want 376", checked)
	}
}

func compare(t *testing.T, what, got, want string) {
	t.Helper()
	if want == "" || strings.HasPrefix(want, "error") {
		if !strings.HasPrefix(got, "error") {
			t.Errorf("%s: %s, want an error (upstream: %s)", what, got, want)
		}
		return
	}
	if got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

// digests returns the plain and the bootable digest of a layout, or "error: …".
func digests(files map[string][]byte, alg verity.Algorithm, v erofs.Version, o layer.Options) (plain, bootable string) {
	store := sink{alg, map[verity.Digest][]byte{}}
	tr, err := build(files, store)
	if err == nil {
		err = o.Plain(tr)
	}
	if err == nil {
		plain, err = image(tr, alg, v)
	}
	if err != nil {
		return "error: " + err.Error(), "error: " + err.Error()
	}
	if err = o.Boot(tr, store.read); err == nil {
		bootable, err = image(tr, alg, v)
	}
	if err != nil {
		return plain, "error: " + err.Error()
	}
	return plain, bootable
}

func image(t *tree.Tree, alg verity.Algorithm, v erofs.Version) (string, error) {
	h := verity.New(alg)
	if err := erofs.Write(h, t, erofs.Options{Version: v}); err != nil {
		return "", err
	}
	return h.Sum().String(), nil
}

// build applies the layers of a layout's image.
func build(files map[string][]byte, s sink) (*tree.Tree, error) {
	var index ocispec.Index
	if err := json.Unmarshal(files["index.json"], &index); err != nil {
		return nil, err
	}
	var m ocispec.Manifest
	if err := document(files, index.Manifests[0], &m); err != nil {
		return nil, err
	}
	var config ocispec.Image
	if err := document(files, m.Config, &config); err != nil {
		return nil, err
	}
	if len(config.RootFS.DiffIDs) != len(m.Layers) {
		return nil, fmt.Errorf("%d layers and %d diff_ids", len(m.Layers), len(config.RootFS.DiffIDs))
	}
	t := tree.New()
	for i, d := range m.Layers {
		data, err := blob(files, d)
		if err != nil {
			return nil, err
		}
		r, err := decompress(data)
		if err != nil {
			return nil, err
		}
		diffID := config.RootFS.DiffIDs[i].Verifier()
		l, err := layer.Read(io.TeeReader(r, diffID), s, nil, layer.Limits{})
		if err != nil {
			return nil, err
		}
		if !diffID.Verified() {
			return nil, fmt.Errorf("layer %d is not %s", i, config.RootFS.DiffIDs[i])
		}
		if err := layer.Apply(t, l); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func document(files map[string][]byte, d ocispec.Descriptor, v any) error {
	data, err := blob(files, d)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

func blob(files map[string][]byte, d ocispec.Descriptor) ([]byte, error) {
	data := files["blobs/"+strings.ReplaceAll(d.Digest.String(), ":", "/")]
	if got := d.Digest.Algorithm().FromBytes(data); got != d.Digest {
		return nil, fmt.Errorf("blob %s is %s", d.Digest, got)
	}
	return data, nil
}

func decompress(data []byte) (io.Reader, error) {
	switch {
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		return gzip.NewReader(bytes.NewReader(data))
	case bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return zstd.NewReader(bytes.NewReader(data))
	}
	return bytes.NewReader(data), nil
}

// A sink keeps objects in memory.
type sink struct {
	alg     verity.Algorithm
	objects map[verity.Digest][]byte
}

func (s sink) Object(r io.Reader, size int64) (verity.Digest, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return verity.Digest{}, err
	}
	d := verity.Sum(s.alg, data)
	s.objects[d] = data
	return d, nil
}

func (s sink) read(n *tree.Node) ([]byte, error) {
	if n.Object.IsZero() {
		return n.Content, nil
	}
	data, ok := s.objects[n.Object]
	if !ok {
		return nil, fmt.Errorf("no object %s", n.Object)
	}
	return data, nil
}

// recorder keeps what splitstreams keep.
type recorder struct {
	s    sink
	tar  bytes.Buffer
	exts int
}

func (r *recorder) Inline(p []byte) error { r.tar.Write(p); return nil }
func (r *recorder) External(d verity.Digest, size int64) error {
	r.exts++
	r.tar.Write(r.s.objects[d])
	return nil
}

// TestRecorder checks that every layer can be given back byte for byte.
func TestRecorder(t *testing.T) {
	layers, externals := 0, 0
	for name, files := range readLayouts(t) {
		for file, data := range files {
			if !strings.HasPrefix(file, "blobs/") {
				continue
			}
			r, err := decompress(data)
			if err != nil {
				continue
			}
			raw, err := io.ReadAll(r)
			if err != nil || bytes.HasPrefix(raw, []byte("{")) {
				continue
			}
			s := sink{verity.SHA512, map[verity.Digest][]byte{}}
			rec := &recorder{s: s}
			if _, err := layer.Read(bytes.NewReader(raw), s, rec, layer.Limits{}); err != nil {
				continue
			}
			layers++
			externals += rec.exts
			if sha256.Sum256(raw) != sha256.Sum256(rec.tar.Bytes()) {
				t.Errorf("%s %s: recorded %d bytes differ from the %d of the layer", name, path.Base(file), rec.tar.Len(), len(raw))
			}
		}
	}
	if layers < 100 || externals < 100 {
		t.Errorf("%d layers with %d objects recorded, want more than 100", layers, externals)
	}
}

func readVectors(t *testing.T) []vector {
	t.Helper()
	data, err := os.ReadFile("testdata/index.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		if c := strings.Split(line, "\t"); i > 0 {
			all = append(all, vector{c[0], c[1], c[2], c[4], c[5], c[6], c[7], c[8]})
		}
	}
	return all
}

// readLayouts returns the files of each case.
func readLayouts(t *testing.T) map[string]map[string][]byte {
	t.Helper()
	f, err := os.Open("testdata/layouts.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		name, file, _ := strings.Cut(strings.TrimPrefix(h.Name, "./"), "/")
		if h.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if all[name] == nil {
			all[name] = map[string][]byte{}
		}
		all[name][file] = data
	}
}
