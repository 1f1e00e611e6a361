package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/registry"
)

// on applies a fault to requests whose path contains part, the first n times
// (always, if n is 0).
func on(part string, n int, f http.HandlerFunc) fault {
	var mu sync.Mutex
	count := 0
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, part) {
			return false
		}
		mu.Lock()
		count++
		hit := n == 0 || count <= n
		mu.Unlock()
		if hit {
			f(w, r)
		}
		return hit
	}
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); io.WriteString(w, body) }
}

// reset closes the connection without an answer.
func reset(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		conn.Close()
	}
}

// hang answers nothing until the other side gives up.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestOpenFaults(t *testing.T) {
	const gatewayText = "<html>\n<h1>502 Bad Gateway</h1>\n</html>"
	for _, tt := range []struct {
		name  string
		fault fault
		want  string // "" means that the image is opened all the same
		is    error
	}{
		{"no such tag", nil, "image not found: HOST/os:v9", registry.ErrNotFound},
		{"404 in HTML", on("/manifests/", 0, status(404, "<html>")), "image not found: HOST/os:v1", registry.ErrNotFound},
		{"500 twice", on("/manifests/", 2, status(500, "")), "", nil},
		{"503 twice while pinging", on("/v2/", 2, status(503, "")), "", nil},
		{"500 for good", on("/manifests/", 0, status(500, "")), "image HOST/os:v1: registry HOST answers 500 Internal Server Error (3 attempts)", nil},
		{"502 in HTML", on("/manifests/", 0, status(502, gatewayText)), "registry HOST answers 502 Bad Gateway (3 attempts)", nil},
		{"reset once", on("/manifests/", 1, reset), "", nil},
		{"reset for good", on("/manifests/", 0, reset), "registry HOST is not reachable: EOF (3 attempts)", nil},
		{"hangs once", on("/manifests/", 1, hang), "", nil},
		{"hangs for good", on("/v2/", 0, hang), "image HOST/os:v1: registry HOST sends nothing for 50ms (3 attempts)", nil},
		{"hangs in the manifest", on("/manifests/", 0, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, "{")
			w.(http.Flusher).Flush()
			hang(w, r)
		}), "sends nothing for 50ms (3 attempts)", nil},
		{"forbidden", on("/manifests/", 0, status(403, `{"errors": [{"code": "DENIED", "message": "requested access to the resource is denied"}]}`)), "access denied: registry HOST does not give image HOST/os:v1: ", registry.ErrDenied},
		{"forbidden in HTML", on("/manifests/", 0, status(403, "<html>")), "access denied", registry.ErrDenied},
		{"escape codes", on("/manifests/", 0, status(400, "{\"errors\": [{\"code\": \"UNSUPPORTED\", \"message\": \"a\\u001b[2Jb\\nc\"}]}")), "a?[2Jb c", nil},
		{"not JSON", on("/manifests/", 0, status(200, "hello")), "image HOST/os:v1: its manifest is", nil},
		{"huge manifest", on("/manifests/", 0, func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 5<<20)) }), "image HOST/os:v1: ", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, tt.fault)
			s.push(t, "os:v1", newImage(t, true, "amd64", 1))
			o := options(t, s.host)
			if strings.Contains(tt.name, "hang") {
				o.Stall = 50 * time.Millisecond
			}
			ref := s.ref("os:v1")
			if tt.fault == nil {
				ref = s.ref("os:v9")
			}
			img, err := registry.Open(t.Context(), ref, o)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				img.Close()
				return
			}
			want := strings.ReplaceAll(tt.want, "HOST", s.host)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("Open = %v, want %q in it", err, want)
			}
			if strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("error %q is not one clean line", err)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("Open = %v, want %v in its chain", err, tt.is)
			}
		})
	}
}

func TestRegistryDown(t *testing.T) {
	s, tls := newTLSServer(t)
	tls.Close()
	_, err := registry.Open(t.Context(), s.ref("os:v1"), options(t))
	want := fmt.Sprintf("image %[1]s/os:v1: registry %[1]s is not reachable: dial tcp %[1]s: connect: connection refused (3 attempts)", s.host)
	if err == nil || err.Error() != want {
		t.Errorf("Open = %v, want %s", err, want)
	}
}

// TestSilentMirror: a mirror that accepts connections and says nothing does
// not keep the image from coming from elsewhere.
func TestSilentMirror(t *testing.T) {
	mirror := newServer(t, func(w http.ResponseWriter, r *http.Request) bool { hang(w, r); return true })
	s := newServer(t, nil)
	want := newImage(t, true, "amd64", 1)
	s.push(t, "os:v1", want)
	o := options(t)
	o.Stall = 50 * time.Millisecond
	write(t, o.RegistriesConf, fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n[[registry.mirror]]\nlocation = %q\ninsecure = true\n", s.host, mirror.host))
	original(t, open(t, s.ref("os:v1"), o), want)
}

func TestRetryWaits(t *testing.T) {
	s := newServer(t, on("/manifests/", 0, status(500, "")))
	o := options(t, s.host)
	o.Attempts = 4
	var waits []time.Duration
	o.Wait = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }
	var notices []string
	o.Progress = func(e bootc.Event) { notices = append(notices, e.(bootc.Notice).Text) }
	if _, err := registry.Open(t.Context(), s.ref("os:v1"), o); err == nil {
		t.Fatal("Open: no error")
	}
	if len(waits) != 3 || len(notices) != 3 {
		t.Fatalf("waits %v, notices %q, want three of each", waits, notices)
	}
	for i, d := range waits {
		if least := time.Second << i; d < least || d >= least*5/4 {
			t.Errorf("wait %d is %s, want %s and up to a quarter more", i, d, least)
		}
	}
	if want := "; trying again (2 of 4)"; !strings.HasSuffix(notices[0], want) {
		t.Errorf("notice %q, want it to end in %q", notices[0], want)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newServer(t, on("/manifests/", 0, func(w http.ResponseWriter, r *http.Request) { cancel(); hang(w, r) }))
	_, err := registry.Open(ctx, s.ref("os:v1"), options(t, s.host))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Open = %v, want context.Canceled", err)
	}
	waiting, cancel2 := context.WithCancel(t.Context())
	s = newServer(t, on("/manifests/", 0, status(500, "")))
	o := options(t, s.host)
	o.Wait = func(ctx context.Context, _ time.Duration) error { cancel2(); <-ctx.Done(); return ctx.Err() }
	if _, err = registry.Open(waiting, s.ref("os:v1"), o); !errors.Is(err, context.Canceled) {
		t.Errorf("Open while waiting = %v, want context.Canceled", err)
	}
}

// TestLies: bytes that are not what a digest says.
func TestLies(t *testing.T) {
	img, other := newImage(t, true, "amd64", 1), newImage(t, true, "amd64", 1)
	raw, err := other.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	lie := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Write(raw)
	}
	d := string(digestOf(t, img))
	t.Run("manifest", func(t *testing.T) {
		s := newServer(t, on("/manifests/", 0, lie))
		_, err := registry.Open(t.Context(), s.ref("os@"+d), options(t, s.host))
		if err == nil || !strings.Contains(err.Error(), "does not match provided manifest digest "+d) {
			t.Errorf("Open = %v, want that the digest does not match", err)
		}
	})
	t.Run("instance of an index", func(t *testing.T) {
		s := newServer(t, on("/manifests/"+d, 0, lie))
		s.pushIndex(t, "os:v1", newIndex(map[string]v1.Image{"amd64": img}))
		_, err := registry.Open(t.Context(), s.ref("os:v1"), options(t, s.host))
		if err == nil || !strings.Contains(err.Error(), "does not match provided manifest digest "+d) {
			t.Errorf("Open = %v, want that the digest does not match", err)
		}
	})
	t.Run("config", func(t *testing.T) {
		name, _ := img.ConfigName()
		config, _ := img.RawConfigFile()
		s := newServer(t, on("/blobs/"+name.String(), 0, func(w http.ResponseWriter, _ *http.Request) {
			w.Write(bytes.Replace(config, []byte("linux"), []byte("LINUX"), 1))
		}))
		s.push(t, "os:v1", img)
		_, err := open(t, s.ref("os:v1"), options(t, s.host)).Config(t.Context())
		if err == nil || !strings.Contains(err.Error(), "is not what its digest says: want "+name.String()) {
			t.Errorf("Config = %v, want that it is not what its digest says", err)
		}
	})
}

func TestBlobFaults(t *testing.T) {
	img := newImage(t, true, "amd64", 1)
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	hash, _ := layers[0].Digest()
	rc, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	chunked := func(p []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); w.Write(p) }
	}
	for _, tt := range []struct {
		name  string
		fault http.HandlerFunc
		times int
		want  string // "" means that the layer arrives all the same
	}{
		{"500 twice", status(500, ""), 2, ""},
		{"500 for good", status(500, ""), 0, "registry HOST answers 500 Internal Server Error (3 attempts)"},
		{"reset twice", reset, 2, ""},
		{"missing", status(404, `{"errors": [{"code": "BLOB_UNKNOWN", "message": "Unknown blob"}]}`), 0, "of image HOST/os:v1 is missing where the image is kept"},
		{"truncated", chunked(data[:1000]), 0, fmt.Sprintf("layer %s is truncated: 1000 of %d bytes from registry HOST (3 attempts)", hash, len(data))},
		{"empty", chunked(nil), 0, fmt.Sprintf("layer %s is truncated: 0 of %d bytes from registry HOST (3 attempts)", hash, len(data))},
		{"longer", chunked(append(data[:len(data):len(data)], 'x')), 0, fmt.Sprintf("layer %s is longer than its %d bytes", hash, len(data))},
		{"another size", func(w http.ResponseWriter, _ *http.Request) { w.Write(data[:1000]) }, 0, fmt.Sprintf("the registry has 1000 bytes of it, the manifest says %d", len(data))},
		// The library asks once for the rest, after a second.
		{"cut off", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			w.Write(data[:1000])
			w.(http.Flusher).Flush()
			reset(w, r)
		}, 0, fmt.Sprintf("layer %s is truncated: 1000 of %d bytes", hash, len(data))},
		{"hangs before", hang, 0, "sends nothing for 50ms (3 attempts)"},
		{"hangs once", hang, 1, ""},
		{"hangs within", func(w http.ResponseWriter, r *http.Request) {
			w.Write(data[:1000])
			w.(http.Flusher).Flush()
			hang(w, r)
		}, 0, "layer " + hash.String() + ": registry HOST sends nothing for 50ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, on("/blobs/"+hash.String(), tt.times, tt.fault))
			s.push(t, "os:v1", img)
			o := options(t, s.host)
			if strings.Contains(tt.name, "hang") {
				o.Stall = 50 * time.Millisecond
			}
			got := open(t, s.ref("os:v1"), o)
			p, err := read(t, got, got.Layers()[0])
			if tt.want == "" {
				if err != nil || !bytes.Equal(p, data) {
					t.Errorf("read %d bytes, %v, want %d", len(p), err, len(data))
				}
				return
			}
			if want := strings.ReplaceAll(tt.want, "HOST", s.host); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q in it", err, want)
			}
			if len(p) > len(data) {
				t.Errorf("%d bytes came through, more than the layer's %d", len(p), len(data))
			}
		})
	}
}

func TestForeignBlob(t *testing.T) {
	s := newServer(t, nil)
	s.push(t, "os:v1", newImage(t, true, "amd64", 1))
	img := open(t, s.ref("os:v1"), options(t, s.host))
	b := img.Layers()[0]
	b.Digest = bootc.Digest("sha256:" + strings.Repeat("0", 64))
	if _, err := img.OpenBlob(t.Context(), b); err == nil || !strings.HasPrefix(err.Error(), "internal error: ") {
		t.Errorf("OpenBlob of another image's layer = %v, want an internal error", err)
	}
}
