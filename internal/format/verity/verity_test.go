package verity_test

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/format/verity"
)

type vector struct {
	size int
	want map[verity.Algorithm]string
}

// vectors reads the digests of data whose byte i is i*7 mod 251.
func vectors(t testing.TB) []vector {
	t.Helper()
	table, err := os.ReadFile("testdata/fsverity.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	for i, line := range strings.Split(strings.TrimSpace(string(table)), "\n") {
		f := strings.Split(line, "\t")
		if i == 0 {
			continue
		}
		size, err := strconv.Atoi(f[0])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, vector{size, map[verity.Algorithm]string{verity.SHA256: f[1], verity.SHA512: f[2]}})
	}
	return all
}

func data(size int) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i * 7 % 251)
	}
	return p
}

func TestVectors(t *testing.T) {
	all := vectors(t)
	if len(all) < 10 {
		t.Fatalf("%d vectors", len(all))
	}
	for _, v := range all {
		for a, want := range v.want {
			if got := verity.Sum(a, data(v.size)).String(); got != want {
				t.Errorf("%v of %d bytes = %s, want %s", a, v.size, got, want)
			}
		}
	}
}

// TestStreaming writes pieces of odd sizes, with one Hash for all: after Reset
// it is as new.
func TestStreaming(t *testing.T) {
	for _, a := range []verity.Algorithm{verity.SHA256, verity.SHA512} {
		h := verity.New(a)
		all := vectors(t)
		// Longest first, so that what is left in the buffers would show.
		for i := len(all) - 1; i >= 0; i-- {
			v := all[i]
			for _, piece := range []int{1000, 4096, 4097, 70001} {
				h.Reset()
				for p := range pieces(data(v.size), piece) {
					if n, err := h.Write(p); n != len(p) || err != nil {
						t.Fatalf("Write = %d, %v", n, err)
					}
				}
				if got := h.Sum().String(); got != v.want[a] {
					t.Errorf("%v of %d bytes in pieces of %d = %s, want %s", a, v.size, piece, got, v.want[a])
				}
			}
		}
	}
}

func pieces(p []byte, size int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(p) > 0 {
			n := min(size, len(p))
			if !yield(p[:n]) {
				return
			}
			p = p[n:]
		}
	}
}

// TestLanes writes several blocks at once and one after the other: where the
// processor hashes some of them side by side the digest is the same.
func TestLanes(t *testing.T) {
	p := make([]byte, 20*verity.BlockSize+100)
	for i := range p {
		p[i] = byte(i>>12 + i*i>>5)
	}
	for _, a := range []verity.Algorithm{verity.SHA256, verity.SHA512} {
		for size := 0; size <= len(p); size += 1234 {
			h := verity.New(a)
			for piece := range pieces(p[:size], verity.BlockSize) {
				h.Write(piece)
			}
			if got, want := verity.Sum(a, p[:size]), h.Sum(); got != want {
				t.Errorf("%v of %d bytes at once = %v, want %v", a, size, got, want)
			}
		}
	}
}

// TestReuse makes no garbage for each file but the sum.
func TestReuse(t *testing.T) {
	h, p := verity.New(verity.SHA512), data(600_000)
	h.Write(p)
	h.Sum()
	allocs := testing.AllocsPerRun(10, func() {
		h.Reset()
		h.Write(p)
		h.Sum()
	})
	if allocs > 2 {
		t.Errorf("%v allocations for a file, want at most 2", allocs)
	}
}

func TestDigest(t *testing.T) {
	const empty = "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95"
	d, err := verity.ParseDigest(strings.ToUpper(empty))
	if err != nil {
		t.Fatal(err)
	}
	if d != verity.Sum(verity.SHA256, nil) {
		t.Errorf("%s is not the digest of no bytes", d)
	}
	if got, want := d.ObjectPath(), "3d/"+empty[2:]; got != want {
		t.Errorf("ObjectPath = %q, want %q", got, want)
	}
	if made, err := verity.MakeDigest(d.Algorithm(), d.Bytes()); made != d || err != nil {
		t.Errorf("MakeDigest = %s, %v, want %s", made, err, d)
	}
	var zero verity.Digest
	if !zero.IsZero() || d.IsZero() || zero.ObjectPath() != "" || zero.String() != "" || len(zero.Bytes()) != 0 {
		t.Error("the zero Digest is not none")
	}
}

func TestRefuseDigest(t *testing.T) {
	for _, s := range []string{"", "ab", strings.Repeat("a", 63), strings.Repeat("a", 65), strings.Repeat("g", 64), strings.Repeat("a", 66), strings.Repeat("a", 127)} {
		if d, err := verity.ParseDigest(s); err == nil {
			t.Errorf("ParseDigest(%q) = %s", s, d)
		}
	}
	for a, n := range map[verity.Algorithm]int{verity.SHA256: 64, verity.SHA512: 32, 0: 0, 3: 48} {
		if d, err := verity.MakeDigest(a, make([]byte, n)); err == nil {
			t.Errorf("MakeDigest(%v, %d bytes) = %s", a, n, d)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	p := data(16 << 20)
	for _, a := range []verity.Algorithm{verity.SHA256, verity.SHA512} {
		b.Run(a.String(), func(b *testing.B) {
			h := verity.New(a)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				h.Reset()
				if _, err := io.Copy(h, bytes.NewReader(p)); err != nil {
					b.Fatal(err)
				}
				h.Sum()
			}
		})
	}
}
