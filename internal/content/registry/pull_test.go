package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/registry"
)

func newRepository(t *testing.T) *images.Repository {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	r, err := images.Init(root, images.InitOptions{Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// layerHashes lists the layers as a registry has them.
func layerHashes(t *testing.T, img v1.Image) []string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, l := range layers {
		h, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h.String())
	}
	return all
}

// fetched lists how often each layer was asked for since the last call.
func (s *server) fetched(layers []string) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := make([]int, len(layers))
	for n, l := range layers {
		for _, r := range s.requests {
			if strings.HasSuffix(r, "/blobs/"+l) {
				counts[n]++
			}
		}
	}
	s.requests = nil
	return counts
}

// TestPullAfterFailure: what was complete and correct is not fetched again.
func TestPullAfterFailure(t *testing.T) {
	img := newTarImage(t, 4)
	layers := layerHashes(t, img)
	repo := newRepository(t)
	others := make(chan struct{}) // closed when the other layers are there
	s := newServer(t, on("/blobs/"+layers[2], 1, func(w http.ResponseWriter, r *http.Request) {
		<-others
		status(http.StatusForbidden, `{"errors": [{"code": "DENIED"}]}`)(w, r)
	}))
	s.push(t, "os:v1", img)
	pull := func() error {
		src := open(t, s.ref("os:v1"), options(t, s.host))
		_, err := repo.Pull(t.Context(), src, func(e bootc.Event) {
			if b, ok := e.(bootc.Bytes); ok && b.Steps == 3 && b.StepsCached == 0 && !b.Done {
				close(others)
			}
		})
		return err
	}
	if err := pull(); !errors.Is(err, registry.ErrDenied) || !strings.Contains(err.Error(), layers[2]) {
		t.Fatalf("Pull = %v, want that %s is denied", err, layers[2])
	}
	for n, want := range [][]int{{1, 1, 1, 1}, {0, 0, 1, 0}, {0, 0, 0, 0}} {
		if n > 0 {
			if err := pull(); err != nil {
				t.Fatal(err)
			}
		}
		if got := s.fetched(layers); !slices.Equal(got, want) {
			t.Errorf("pull %d fetched the layers %v times, want %v", n+1, got, want)
		}
	}
}

// TestPullWrongBytes: bytes that are not those of the digest are fetched once
// more, and then refused by name.
func TestPullWrongBytes(t *testing.T) {
	img := newTarImage(t, 2)
	layers := layerHashes(t, img)
	content, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	size, err := content[1].Size()
	if err != nil {
		t.Fatal(err)
	}
	wrong := func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, size)) }
	for _, tt := range []struct {
		name  string
		times int
		fault http.HandlerFunc
		want  string
	}{
		{"once", 1, wrong, ""},
		{"for good", 0, wrong, fmt.Sprintf("the wrong bytes came twice: blob %s: its digest is sha256:", layers[1])},
		{"too many", 0, func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			w.Write(make([]byte, size+1))
		}, fmt.Sprintf("the wrong bytes came twice: layer %s is longer than its %d bytes", layers[1], size)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, on("/blobs/"+layers[1], tt.times, tt.fault))
			s.push(t, "os:v1", img)
			src := open(t, s.ref("os:v1"), options(t, s.host))
			_, err := newRepository(t).Pull(t.Context(), src, nil)
			if tt.want == "" && err != nil {
				t.Errorf("Pull = %v", err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Pull = %v, want %q in it", err, tt.want)
			}
			if n := s.fetched(layers)[1]; n != 2 {
				t.Errorf("the layer was fetched %d times, want 2", n)
			}
		})
	}
}
