package layer_test

import (
	"archive/tar"
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// smallFiles writes a tar with directories of 1,000 files of 100 bytes.
func smallFiles(w io.Writer, n int) error {
	out := tar.NewWriter(w)
	content := make([]byte, 100)
	for i := range n {
		if i%1000 == 0 {
			if err := out.WriteHeader(&tar.Header{Name: fmt.Sprintf("usr/share/d%04d/", i/1000), Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
				return err
			}
		}
		h := &tar.Header{Name: fmt.Sprintf("usr/share/d%04d/file%03d", i/1000, i%1000), Size: int64(len(content)), Mode: 0o644}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		copy(content, fmt.Sprintf("%08d", i))
		if _, err := out.Write(content); err != nil {
			return err
		}
	}
	return out.Close()
}

type hashing struct{}

func (hashing) Object(r io.Reader, _ int64) (verity.Digest, error) {
	h := verity.New(verity.SHA512)
	_, err := io.Copy(h, r)
	return h.Sum(), err
}

// BenchmarkSmallFiles tells what is left in memory of a layer that is read and
// applied, in bytes for each file.
func BenchmarkSmallFiles(b *testing.B) {
	const n = 200_000
	live := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	for b.Loop() {
		before := live()
		r, w := io.Pipe()
		go func() { w.CloseWithError(smallFiles(w, n)) }()
		l, err := layer.Read(r, hashing{}, nil, layer.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		read := live()
		t := tree.New()
		if err := layer.Apply(t, l); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric((read-before)/n, "layer-B/file")
		b.ReportMetric((live()-before)/n, "layer+tree-B/file")
		runtime.KeepAlive(l) // until here
		b.ReportMetric((live()-before)/n, "tree-B/file")
		runtime.KeepAlive(t)
	}
}
