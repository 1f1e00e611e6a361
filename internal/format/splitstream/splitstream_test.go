package splitstream_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/splitstream"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// A piece is a part of a file in tests: inline bytes, or an object.
type piece struct {
	inline, object string
}

// A store keeps objects in memory.
type store map[verity.Digest]string

func (s store) open(d verity.Digest) (io.ReadCloser, error) {
	data, ok := s[d]
	if !ok {
		return nil, fmt.Errorf("no object %v", d)
	}
	return io.NopCloser(strings.NewReader(data)), nil
}

// write makes a stream and returns it with the file it stands for.
func write(t testing.TB, a verity.Algorithm, objects store, names map[string]verity.Digest, pieces ...piece) (stream []byte, file string) {
	t.Helper()
	w, err := splitstream.NewWriter(a, splitstream.Blob)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pieces {
		file += p.inline + p.object
		if err := w.Inline([]byte(p.inline)); err != nil {
			t.Fatal(err)
		}
		if p.object == "" {
			continue
		}
		d := verity.Sum(a, []byte(p.object))
		objects[d] = p.object
		if err := w.External(d, int64(len(p.object))); err != nil {
			t.Fatal(err)
		}
	}
	for name, d := range names {
		w.Name(name, d)
	}
	var out bytes.Buffer
	if err := w.Finish(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), file
}

func open(data []byte) (*splitstream.Reader, error) {
	return splitstream.Open(bytes.NewReader(data), int64(len(data)))
}

// TestRoundTrip writes streams and reads them again.
func TestRoundTrip(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 200_000) // more than one inline chunk
	tests := []struct {
		name   string
		pieces []piece
		chunks string // of the stream: bytes of inline data, #number of an object
	}{
		{"empty", nil, ""},
		{"inline", []piece{{inline: "abc"}, {inline: "def"}}, "6"},
		{"object", []piece{{object: "abc"}}, "#0"},
		{"mixed", []piece{{"head", "one"}, {"pad", "two"}, {"", "one"}, {inline: "tail"}}, "4 #0 3 #1 #0 4"},
		{"long", []piece{{long, long}}, ""},
	}
	for _, a := range []verity.Algorithm{verity.SHA256, verity.SHA512} {
		for _, test := range tests {
			t.Run(fmt.Sprint(a, " ", test.name), func(t *testing.T) {
				objects := store{}
				d := verity.Sum(a, []byte("x"))
				names := map[string]verity.Digest{"sha256:01": d, "a:b:c": verity.Sum(a, nil), "": d}
				data, file := write(t, a, objects, names, test.pieces...)
				s, err := open(data)
				if err != nil {
					t.Fatal(err)
				}
				if s.Algorithm != a || s.Content != splitstream.Blob || s.Size != uint64(len(file)) || len(s.Objects) != len(objects) {
					t.Errorf("read %v, %x, %d bytes, %d objects", s.Algorithm, s.Content, s.Size, len(s.Objects))
				}
				if diff := cmp.Diff(names, s.Named, cmp.Comparer(func(a, b verity.Digest) bool { return a == b })); diff != "" {
					t.Error(diff)
				}
				var got bytes.Buffer
				if err := s.Cat(&got, objects.open); err != nil || got.String() != file {
					t.Errorf("Cat wrote %d bytes, want %d: %v", got.Len(), len(file), err)
				}
				if chunks := chunks(t, s); chunks != test.chunks && test.chunks != "" {
					t.Errorf("the chunks are %q, want %q", chunks, test.chunks)
				}
			})
		}
	}
}

// chunks tells how a stream is cut up.
func chunks(t *testing.T, s *splitstream.Reader) string {
	t.Helper()
	c, err := s.Chunks()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var all []string
	for {
		if d, err := c.Object(0); err == nil {
			for i := range s.Objects {
				if s.Objects[i] == d {
					all = append(all, fmt.Sprintf("#%d", i))
				}
			}
			continue
		} else if err == io.EOF {
			return strings.Join(all, " ")
		}
		buf := make([]byte, 4096) // enough for a whole chunk of these tests
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprint(n))
	}
}

// TestMany writes more objects than the first table has room for, each twice,
// and inline bytes that fill several pages when compressed.
func TestMany(t *testing.T) {
	const n = 2000
	var inline [300]byte
	noise := rand.NewChaCha8([32]byte{})
	var pieces []piece
	for i := range 2 * n {
		noise.Read(inline[:])
		pieces = append(pieces, piece{string(inline[:]), fmt.Sprint("object ", i%n)})
	}
	objects := store{}
	stream, file := write(t, verity.SHA512, objects, nil, pieces...)
	s, err := open(stream)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Objects) != n {
		t.Errorf("%d references, want %d", len(s.Objects), n)
	}
	for i, d := range s.Objects {
		if want := fmt.Sprint("object ", i); objects[d] != want {
			t.Fatalf("reference %d is %q, want %q", i, objects[d], want)
		}
	}
	var got bytes.Buffer
	if err := s.Cat(&got, objects.open); err != nil || got.String() != file {
		t.Errorf("Cat gives %d bytes, %v; want %d", got.Len(), err, len(file))
	}
}

// TestLayout checks what other readers rely on: where the parts are, and that
// each compressed part is a zstd frame even when it holds nothing.
func TestLayout(t *testing.T) {
	data, _ := write(t, verity.SHA256, store{}, nil)
	at := func(i int) uint64 { return binary.LittleEndian.Uint64(data[i:]) }
	if got := string(data[:16]); got != "SplitStream\x00\x00\x00\x01\x0c" {
		t.Errorf("the header is %q", got)
	}
	var spans []uint64
	for i := 16; i < 96; i += 8 {
		spans = append(spans, at(i))
	}
	// table, stream refs, object refs, stream, named refs
	if diff := cmp.Diff([]uint64{32, 112, 112, 112, 112, 112, 121, 130, 112, 121}, spans); diff != "" {
		t.Error(diff)
	}
	const frame = "\x28\xb5\x2f\xfd"
	if len(data) != 130 || string(data[112:116]) != frame || string(data[121:125]) != frame {
		t.Errorf("the compressed parts of %d bytes are %x and %x, want zstd frames", len(data), data[112:121], data[121:])
	}
	if got := string(data[96:104]); got != "oci_blob" {
		t.Errorf("the content type is %q", got)
	}
	for want, c := range map[string]splitstream.ContentType{"ocilayer": splitstream.Layer, "ociconfg": splitstream.Config, "ocimanif": splitstream.Manifest, "oci_blob": splitstream.Blob} {
		if got := string(binary.LittleEndian.AppendUint64(nil, uint64(c))); got != want {
			t.Errorf("content type %q, want %q", got, want)
		}
	}
}

// TestWriterRefuses checks that a Writer does not write what cannot be read.
func TestWriterRefuses(t *testing.T) {
	newWriter := func() *splitstream.Writer {
		w, err := splitstream.NewWriter(verity.SHA512, splitstream.Layer)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	if err := newWriter().External(verity.Sum(verity.SHA256, nil), 0); err == nil {
		t.Error("External with a digest of another algorithm: no error")
	}
	w := newWriter()
	w.Name("x", verity.Sum(verity.SHA256, nil))
	if err := w.Finish(io.Discard); err == nil || !strings.Contains(err.Error(), `"x" has a sha256 digest in a sha512 stream`) {
		t.Errorf("Finish with a digest of another algorithm: %v", err)
	}
	w = newWriter()
	w.Name("a\x00b", verity.Sum(verity.SHA512, nil))
	if err := w.Finish(io.Discard); err == nil {
		t.Error("Finish with a NUL in a name: no error")
	}
}

// TestOpenRefuses changes bytes of a good stream.
func TestOpenRefuses(t *testing.T) {
	good, _ := write(t, verity.SHA256, store{}, map[string]verity.Digest{"n": verity.Sum(verity.SHA256, nil)}, piece{"a", "b"})
	put := func(at int, v uint64) []byte {
		data := bytes.Clone(good)
		binary.LittleEndian.PutUint64(data[at:], v)
		return data
	}
	set := func(at int, v string) []byte {
		data := bytes.Clone(good)
		copy(data[at:], v)
		return data
	}
	tests := []struct {
		name  string
		data  []byte
		error string
	}{
		{"empty", nil, "reading the header: EOF"},
		{"short", good[:20], "reading the header: unexpected EOF"},
		{"no table", good[:100], "its table is at 32 to 112 of 100 bytes"},
		{"magic", set(0, "splitstream"), `begins with "splitstream", want "SplitStream"`},
		{"version", set(11, "\x01"), "version 1 is not supported"},
		{"algorithm", set(14, "\x03"), "hash algorithm 3 with block size 2^12 is not supported"},
		{"block size", set(15, "\x10"), "hash algorithm 1 with block size 2^16 is not supported"},
		{"table too short", put(24, 100), "its table is at 32 to 100"},
		{"section outside", put(40, 1<<40), "a section from 112 to 1099511627776 in a file of"},
		{"section backwards", put(32, 1<<63), "a section from 9223372036854775808"},
		{"half a digest", put(40, 112+31), "a list of digests has a wrong length"},
		{"names without streams", put(40, 112), "malformed name"},
		{"names not compressed", put(80, 112), "names:"},
	}
	for _, test := range tests {
		if _, err := open(test.data); err == nil || !strings.Contains(err.Error(), test.error) {
			t.Errorf("%s: %v, want %s", test.name, err, test.error)
		}
	}
}

// old gives a splitstream the header of the layout before.
func old(data []byte) []byte {
	b := bytes.Clone(data)
	copy(b, data[16:32])        // range of the table
	copy(b[16:], data[12:14])   // flags
	copy(b[18:], data[:12])     // magic, version
	copy(b[30:32], data[14:16]) // hash, block size
	return b
}

// TestOldLayout reads a stream in the layout before and renews it.
func TestOldLayout(t *testing.T) {
	objects := store{}
	data, _ := write(t, verity.SHA512, objects, map[string]verity.Digest{"name": verity.Sum(verity.SHA512, nil)}, piece{"head", "object"}, piece{inline: "tail"})
	for _, layout := range [][]byte{data, old(data)} {
		s, err := open(layout)
		if err != nil {
			t.Fatal(err)
		}
		if want := !bytes.Equal(layout, data); s.Old != want {
			t.Errorf("Old = %v, want %v", s.Old, want)
		}
		var out bytes.Buffer
		if err := s.Cat(&out, objects.open); err != nil || out.String() != "headobjecttail" {
			t.Errorf("Cat = %q, %v", &out, err)
		}
		r, err := splitstream.Renew(bytes.NewReader(layout), int64(len(layout)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
			t.Errorf("Renew gives %d bytes, %v; want the current layout, %d bytes", len(got), err, len(data))
		}
	}
	spoiled := old(data)
	spoiled[18] ^= 1
	if _, err := splitstream.Renew(bytes.NewReader(spoiled), int64(len(spoiled))); err == nil {
		t.Error("Renew takes what is no splitstream")
	}
}

// TestCatRefuses checks that Cat writes the whole file or tells.
func TestCatRefuses(t *testing.T) {
	objects := store{}
	data, _ := write(t, verity.SHA256, objects, nil, piece{"head", "object"}, piece{inline: "tail"})
	cat := func(data []byte, objects store) error {
		s, err := open(data)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err = s.Cat(&out, objects.open)
		if out.Len() > int(s.Size)+1 {
			t.Errorf("Cat wrote %d bytes of %d", out.Len(), s.Size)
		}
		return err
	}
	size := func(n uint64) []byte {
		changed := bytes.Clone(data)
		binary.LittleEndian.PutUint64(changed[104:], n)
		return changed
	}
	longer := store{}
	for d := range objects {
		longer[d] = strings.Repeat("x", 1000)
	}
	tests := []struct {
		name    string
		data    []byte
		objects store
		error   string
	}{
		{"longer", size(15), objects, "14 bytes of 15"},
		{"shorter", size(13), objects, "a chunk of 4 bytes where 3 are left of 13"},
		{"shorter than the object", size(9), objects, "has more than the 5 bytes that are left of 9"},
		{"no object", data, nil, "no object"},
		{"another object", data, longer, "has more than the 10 bytes that are left of 14"},
	}
	for _, test := range tests {
		if err := cat(test.data, test.objects); err == nil || !strings.Contains(err.Error(), test.error) {
			t.Errorf("%s: %v, want %s", test.name, err, test.error)
		}
	}
}

// FuzzRead reads any bytes: no panic, nothing beyond the size that is promised.
func FuzzRead(f *testing.F) {
	objects := store{}
	for _, a := range []verity.Algorithm{verity.SHA256, verity.SHA512} {
		data, _ := write(f, a, objects, map[string]verity.Digest{"n:m": verity.Sum(a, nil)}, piece{"head", "object"}, piece{"more", "object"})
		f.Add(data)
		data, _ = write(f, a, objects, nil)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := open(data)
		if err != nil {
			return
		}
		out := &limited{left: 1 << 20}
		err = s.Cat(out, func(verity.Digest) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("object")), nil })
		if n := uint64(1<<20 - out.left); err == nil && n != s.Size || n > s.Size+1 {
			t.Errorf("Cat wrote %d bytes of %d: %v", n, s.Size, err)
		}
		c, err := s.Chunks()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 4096)
		for range 1000 {
			if _, err := c.Read(buf); err != nil {
				if _, err := c.Object(0); err != nil {
					return
				}
			}
		}
	})
}

// limited refuses more than some bytes.
type limited struct{ left int }

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.left {
		return 0, errors.New("enough")
	}
	l.left -= len(p)
	return len(p), nil
}
