package registry_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	backend "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/registry"
)

var _ images.Source = (*registry.Image)(nil)

// A server is a real registry on loopback, and a door to it that fails as a
// test wants.
type server struct {
	host  string // of the door
	inner string // of the registry itself, for pushing

	mu       sync.Mutex
	requests []string // "GET /v2/…" that came through the door
	agents   map[string]bool
}

// fault answers a request itself and returns true, or leaves it to the
// registry.
type fault func(w http.ResponseWriter, r *http.Request) bool

func newServer(t *testing.T, f fault) *server {
	t.Helper()
	s := &server{agents: map[string]bool{}}
	front := httptest.NewServer(s.handler(t, f))
	t.Cleanup(front.Close)
	s.host = strings.TrimPrefix(front.URL, "http://")
	return s
}

func newTLSServer(t *testing.T) (*server, *httptest.Server) {
	t.Helper()
	s := &server{agents: map[string]bool{}}
	front := httptest.NewUnstartedServer(s.handler(t, nil))
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	front.StartTLS()
	t.Cleanup(front.Close)
	s.host = strings.TrimPrefix(front.URL, "https://")
	return s, front
}

func (s *server) handler(t *testing.T, f fault) http.Handler {
	real := backend.New(backend.Logger(log.New(io.Discard, "", 0)))
	inner := httptest.NewServer(real)
	t.Cleanup(inner.Close)
	s.inner = strings.TrimPrefix(inner.URL, "http://")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.URL.Path)
		s.agents[r.UserAgent()] = true
		s.mu.Unlock()
		if f == nil || !f(w, r) {
			real.ServeHTTP(w, r)
		}
	})
}

func (s *server) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

// ref names an image behind the door.
func (s *server) ref(repo string) bootc.Ref {
	return bootc.Ref{Transport: bootc.Registry, Name: s.host + "/" + repo}
}

func (s *server) push(t *testing.T, repo string, img v1.Image) {
	t.Helper()
	r, err := name.ParseReference(s.inner+"/"+repo, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(r, img); err != nil {
		t.Fatal(err)
	}
}

func (s *server) pushIndex(t *testing.T, repo string, idx v1.ImageIndex) {
	t.Helper()
	r, err := name.ParseReference(s.inner+"/"+repo, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(r, idx); err != nil {
		t.Fatal(err)
	}
}

// newImage makes an image of random layers, an OCI or Docker schema 2 one.
func newImage(t *testing.T, oci bool, arch string, layers int64) v1.Image {
	t.Helper()
	img, err := random.Image(5000, layers)
	if err != nil {
		t.Fatal(err)
	}
	if oci {
		img = mutate.ConfigMediaType(mutate.MediaType(img, types.OCIManifestSchema1), types.OCIConfigJSON)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.Architecture, config.OS = arch, "linux"
	config.Config.Labels = map[string]string{"containers.bootc": "1"}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

// newTarImage makes an OCI image whose layers are real trees.
func newTarImage(t *testing.T, layers int) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for i := range layers {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		content := fmt.Sprintf("content %d", i)
		for _, h := range []*tar.Header{
			{Name: "usr/", Typeflag: tar.TypeDir, Mode: 0o755},
			{Name: fmt.Sprintf("usr/file%d", i), Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))},
		} {
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if h.Size > 0 {
				io.WriteString(w, content)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

// appendLayers makes an OCI image of layers.
func appendLayers(t *testing.T, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), layers...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func newIndex(images map[string]v1.Image) v1.ImageIndex {
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for arch, img := range images {
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{
			Add:        img,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	return idx
}

const acceptAnything = `{"default": [{"type": "insecureAcceptAnything"}]}`

// options keep a test away from the configuration of the computer it runs on.
// The hosts given are reached over plain HTTP.
func options(t *testing.T, insecure ...string) registry.Options {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", filepath.Join(dir, "home"))
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "home/.config"))
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Setenv("CONTAINERS_POLICY_JSON", "")
	t.Setenv("CONTAINERS_REGISTRIES_CONF", "")
	conf := ""
	for _, host := range insecure {
		conf += fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", host)
	}
	for _, d := range []string{"registries.conf.d", "registries.d", "certs.d", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return registry.Options{
		Version:           "1.2.3",
		Architecture:      "amd64",
		Root:              dir,
		PolicyFile:        write(t, filepath.Join(dir, "policy.json"), acceptAnything),
		RegistriesConf:    write(t, filepath.Join(dir, "registries.conf"), conf),
		RegistriesConfDir: filepath.Join(dir, "registries.conf.d"),
		RegistriesDir:     filepath.Join(dir, "registries.d"),
		CertsDir:          filepath.Join(dir, "certs.d"),
		TempDir:           filepath.Join(dir, "tmp"),
		Attempts:          3,
		Resumes:           3,
		Wait:              func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
}

func write(t *testing.T, file, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func open(t *testing.T, ref bootc.Ref, o registry.Options) *registry.Image {
	t.Helper()
	img, err := registry.Open(t.Context(), ref, o)
	if err != nil {
		t.Fatalf("Open(%s): %v", ref, err)
	}
	t.Cleanup(func() { img.Close() })
	return img
}

func read(t *testing.T, img *registry.Image, b images.Blob) ([]byte, error) {
	t.Helper()
	r, err := img.OpenBlob(t.Context(), b)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// same checks that an opened image is the one that was made. Layers that a
// source keeps uncompressed are compared uncompressed.
func same(t *testing.T, got *registry.Image, want v1.Image, uncompressed bool) {
	t.Helper()
	config, err := got.Config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if w, _ := want.RawConfigFile(); !bytes.Equal(config, w) {
		t.Errorf("config = %s, want %s", config, w)
	}
	layers, err := want.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Layers()) != len(layers) {
		t.Fatalf("%d layers, want %d", len(got.Layers()), len(layers))
	}
	for i, b := range got.Layers() {
		h, _ := layers[i].Digest()
		open := layers[i].Compressed
		if uncompressed {
			h, _ = layers[i].DiffID()
			open = layers[i].Uncompressed
		}
		if string(b.Digest) != h.String() {
			t.Errorf("layer %d is %s, want %s", i, b.Digest, h)
		}
		r, err := open()
		if err != nil {
			t.Fatal(err)
		}
		w, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if b.Size != -1 && b.Size != int64(len(w)) {
			t.Errorf("layer %d has %d bytes, want %d", i, b.Size, len(w))
		}
		data, err := read(t, got, b)
		if err != nil {
			t.Fatalf("layer %d: %v", i, err)
		}
		if !bytes.Equal(data, w) {
			t.Errorf("layer %d differs", i)
		}
	}
}

// original checks that the manifest is kept byte by byte.
func original(t *testing.T, got *registry.Image, want v1.Image) {
	t.Helper()
	raw, err := want.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Manifest(), raw) {
		t.Errorf("manifest = %s, want %s", got.Manifest(), raw)
	}
	if h, _ := want.Digest(); string(got.Digest()) != h.String() {
		t.Errorf("digest %s, want %s", got.Digest(), h)
	}
}

func digestOf(t *testing.T, img v1.Image) bootc.Digest {
	t.Helper()
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return bootc.Digest(h.String())
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
