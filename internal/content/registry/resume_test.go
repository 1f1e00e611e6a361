package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/registry"
)

// silence is long enough for a busy computer to answer within it.
const silence = 250 * time.Millisecond

// A depot gives one blob, parts of it too, and fails as it is told.
type depot struct {
	data []byte

	mu     sync.Mutex
	faults []depotFault // of the next requests
	starts []int64      // from where each request wanted it
	served int64        // bytes of the blob that were sent
}

type depotFault func(d *depot, start int64, w http.ResponseWriter, r *http.Request)

func (d *depot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := int64(0)
	fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &start)
	d.mu.Lock()
	d.starts = append(d.starts, start)
	answer := depotFault(func(d *depot, start int64, w http.ResponseWriter, _ *http.Request) { d.send(w, start, len(d.data)) })
	if len(d.faults) > 0 {
		answer, d.faults = d.faults[0], d.faults[1:]
	}
	d.mu.Unlock()
	answer(d, start, w, r)
}

// send sends at most n bytes, and promises all.
func (d *depot) send(w http.ResponseWriter, start int64, n int) {
	size := int64(len(d.data))
	w.Header().Set("Content-Length", fmt.Sprint(size-start))
	if start > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, size-1, size))
		w.WriteHeader(http.StatusPartialContent)
	}
	part := d.data[start:min(size, start+int64(n))]
	d.mu.Lock()
	d.served += int64(len(part))
	d.mu.Unlock()
	w.Write(part)
	w.(http.Flusher).Flush()
}

// cut sends n bytes and then does something else.
func cut(n int, then http.HandlerFunc) depotFault {
	return func(d *depot, start int64, w http.ResponseWriter, r *http.Request) {
		d.send(w, start, n)
		then(w, r)
	}
}

// without sends no part of the blob.
func without(f http.HandlerFunc) depotFault {
	return func(_ *depot, _ int64, w http.ResponseWriter, r *http.Request) { f(w, r) }
}

// all ignores which part is wanted.
func all(d *depot, _ int64, w http.ResponseWriter, _ *http.Request) { d.send(w, 0, len(d.data)) }

// rst breaks the connection off, so that what is on its way is lost.
func rst(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
}

func tooMany(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "0")
	http.Error(w, `{"errors": [{"code": "TOOMANYREQUESTS", "message": "slow down"}]}`, http.StatusTooManyRequests)
}

func times(n int, f depotFault) []depotFault { return slices.Repeat([]depotFault{f}, n) }

// big makes an image with one layer of n bytes that do not compress.
func big(t *testing.T, n int) (v1.Image, v1.Hash, []byte) {
	t.Helper()
	data := make([]byte, n)
	state := uint32(1)
	for i := range data {
		state = state*1664525 + 1013904223
		data[i] = byte(state >> 24)
	}
	layer := static.NewLayer(data, types.OCILayer)
	hash, err := layer.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return appendLayers(t, layer), hash, data
}

// TestResume: a layer that breaks off goes on where it was, and no byte of it is
// fetched twice where the registry gives parts.
func TestResume(t *testing.T) {
	const size, first = 500_000, 100_000
	img, hash, data := big(t, size)
	silent := cut(first, hang)
	for _, tt := range []struct {
		name   string
		faults []depotFault
		want   string // in the error; "" means that the layer arrives
		notice string // in one of the notices
		twice  int64  // bytes that were sent twice, -1 for any number
	}{
		{"closed", []depotFault{cut(first, reset)}, "", "", 0},
		{"reset", []depotFault{cut(first, rst)}, "", "", -1},
		{"closed twice", []depotFault{cut(first, reset), cut(first, reset)}, "", "layer HASH is truncated: 200000 of 500000 bytes from registry HOST; going on after 200000 of 500000 bytes (2 of 3)", 0},
		{"silent", []depotFault{silent}, "", "layer HASH: registry HOST sends nothing for 250ms; going on after 100000 of 500000 bytes (2 of 3)", 0},
		{"silent, then 503", []depotFault{silent, without(status(503, ""))}, "", "registry HOST answers 503 Service Unavailable; going on after 100000 of 500000 bytes (3 of 3)", 0},
		{"silent, then reset", []depotFault{silent, without(rst)}, "", "registry HOST is not reachable", 0},
		{"silent, then hanging", []depotFault{silent, without(hang)}, "", "sends nothing", 0},
		{"silent, then 503 for good", append([]depotFault{silent}, times(9, without(status(503, "")))...), "layer HASH: registry HOST answers 503 Service Unavailable (3 attempts)", "", -1},
		{"silent again and again", times(4, silent), "", "going on after 400000 of 500000 bytes (2 of 3)", 0},
		{"silent after a little", append([]depotFault{silent}, times(9, cut(1000, hang))...), "layer HASH: registry HOST sends nothing for 250ms (3 attempts)", "", -1},
		{"closed after a little", append([]depotFault{silent}, times(9, cut(1000, reset))...), "layer HASH is truncated: 102000 of 500000 bytes from registry HOST (3 attempts)", "", -1},
		{"no parts: 200", []depotFault{silent, all}, "", "registry HOST does not give parts of a layer: the first 100000 bytes of layer HASH are fetched again", -1},
		{"no parts: 416", []depotFault{silent, without(status(416, ""))}, "", "does not give parts", first},
		{"no parts: 400", []depotFault{silent, without(status(400, ""))}, "", "does not give parts", first},
		{"gone", []depotFault{silent, without(status(404, `{"errors": [{"code": "BLOB_UNKNOWN"}]}`))}, "layer HASH of image HOST/os:v1 is missing where the image is kept", "", -1},
		{"too many requests twice", []depotFault{silent, without(tooMany), without(tooMany)}, "", "", 0},
		{"too many requests", times(9, without(tooMany)), "layer HASH: registry HOST answers that there were too many requests, again and again", "", -1},
		{"all bytes and no end", []depotFault{func(d *depot, _ int64, w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush() // so that no length is promised
			w.Write(d.data)
			w.(http.Flusher).Flush()
			d.served += size
			hang(w, r)
		}}, "", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &depot{data: data, faults: tt.faults}
			s := newServer(t, on("/blobs/"+hash.String(), 0, d.ServeHTTP))
			s.push(t, "os:v1", img)
			o := options(t, s.host)
			o.Stall = silence
			notices := notes(&o)
			names := strings.NewReplacer("HOST", s.host, "HASH", hash.String())
			got := open(t, s.ref("os:v1"), o)
			p, err := read(t, got, got.Layers()[0])
			if tt.want == "" && (err != nil || !bytes.Equal(p, data)) {
				t.Errorf("read %d bytes, %v, want %d", len(p), err, len(data))
			}
			if want := names.Replace(tt.want); tt.want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("error %v, want %q in it", err, want)
			}
			if want := names.Replace(tt.notice); !strings.Contains(strings.Join(*notices, "\n"), want) {
				t.Errorf("notices %q, want one with %q", *notices, want)
			}
			if twice := d.served - size; tt.twice >= 0 && twice != tt.twice {
				t.Errorf("%d bytes of the layer were sent twice, want %d; requests began at %d", twice, tt.twice, d.starts)
			}
		})
	}
}

// notes collects the notices.
func notes(o *registry.Options) *[]string {
	var mu sync.Mutex
	var all []string
	o.Progress = func(e bootc.Event) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, e.(bootc.Notice).Text)
	}
	return &all
}

// TestResumeElsewhere: blobs are on another host, to which each request is sent
// anew.
func TestResumeElsewhere(t *testing.T) {
	img, hash, data := big(t, 300_000)
	d := &depot{data: data, faults: []depotFault{without(status(502, "")), cut(100_000, hang), without(rst)}}
	cdn := httptest.NewServer(d)
	t.Cleanup(cdn.Close)
	s := newServer(t, on("/blobs/"+hash.String(), 0, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, cdn.URL+"/signed", http.StatusTemporaryRedirect)
	}))
	s.push(t, "os:v1", img)
	o := options(t, s.host)
	o.Stall = silence
	notices := notes(&o)
	got := open(t, s.ref("os:v1"), o)
	p, err := read(t, got, got.Layers()[0])
	if err != nil || !bytes.Equal(p, data) || d.served != int64(len(data)) {
		t.Errorf("read %d bytes, %v, of %d that were sent; want %d", len(p), err, d.served, len(data))
	}
	if host := strings.TrimPrefix(cdn.URL, "http://"); !strings.Contains(strings.Join(*notices, "\n"), "registry "+host+" is not reachable") {
		t.Errorf("notices %q, want one that names %s", *notices, host)
	}
}

// TestResumeCancel: nothing is waited for when the work is called off.
func TestResumeCancel(t *testing.T) {
	img, hash, data := big(t, 300_000)
	for _, where := range []string{"in a Read", "in a pause"} {
		t.Run(where, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			d := &depot{data: data, faults: []depotFault{cut(100_000, hang)}}
			s := newServer(t, on("/blobs/"+hash.String(), 0, d.ServeHTTP))
			s.push(t, "os:v1", img)
			o := options(t, s.host)
			if where == "in a pause" {
				o.Stall = silence
				o.Wait = func(ctx context.Context, _ time.Duration) error { cancel(); <-ctx.Done(); return ctx.Err() }
			}
			got := open(t, s.ref("os:v1"), o)
			r, err := got.OpenBlob(ctx, got.Layers()[0])
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, err := io.ReadFull(r, make([]byte, 100_000)); err != nil {
				t.Fatal(err)
			}
			if where == "in a Read" {
				cancel()
			}
			if _, err := r.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
				t.Errorf("Read = %v, want context.Canceled", err)
			}
			if len(d.starts) != 1 {
				t.Errorf("%d requests, want one", len(d.starts))
			}
		})
	}
}

// TestInterrupted: who reads the error can tell that trying later may help.
func TestInterrupted(t *testing.T) {
	s := newServer(t, on("/manifests/", 0, status(500, "")))
	if _, err := registry.Open(t.Context(), s.ref("os:v1"), options(t, s.host)); !errors.Is(err, registry.ErrInterrupted) {
		t.Errorf("Open = %v, want ErrInterrupted in its chain", err)
	}
	s = newServer(t, on("/manifests/", 0, status(404, "")))
	if _, err := registry.Open(t.Context(), s.ref("os:v1"), options(t, s.host)); errors.Is(err, registry.ErrInterrupted) {
		t.Errorf("Open = %v, which is not ErrInterrupted", err)
	}
}
