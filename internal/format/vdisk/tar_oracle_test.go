package vdisk_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/bootc-go/bootc/internal/format/vdisk"
)

// TestTar lets tar and gzip take the disk out of an image for Compute Engine.
func TestTar(t *testing.T) {
	for _, tool := range []string{"tar", "gzip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("no " + tool)
		}
	}
	const size = 41<<20 + 512
	list := pieces(13, size, 100)
	image := write(t, gce(t), size, list)
	cmd := exec.Command("tar", "-xzOf", image, "disk.raw")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n := same(t, out, reference(t, vdisk.GCEAlignment, list))
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if want := int64(vdisk.GCEAlignment); n != want {
		t.Errorf("a disk of %d bytes, want %d", n, want)
	}
}

// same compares a stream with a file, and returns the stream's length.
func same(t *testing.T, r io.Reader, path string) int64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, want := make([]byte, 1<<20), make([]byte, 1<<20)
	for off := int64(0); ; {
		n, err := io.ReadFull(r, got)
		if m, _ := f.ReadAt(want[:n], off); !bytes.Equal(got[:n], want[:m]) {
			t.Fatalf("other bytes than written, in %d bytes at %d", n, off)
		}
		off += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return off
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestTarHeader has a size that does not fit in the octal digits of a tar.
func TestTarHeader(t *testing.T) {
	const size = 20 << 30
	image, err := os.ReadFile(write(t, gce(t), size, []piece{{size - 1, []byte{1}}}))
	if err != nil {
		t.Fatal(err)
	}
	if most := size / 800; len(image) > most {
		t.Errorf("%d bytes for a disk of one byte, want at most %d", len(image), most)
	}
	z, err := gzip.NewReader(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(z)
	h, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if h.Name != "disk.raw" || h.Size != size || h.Mode != 0o644 || !h.ModTime.Equal(options(size).Time) || h.Format != tar.FormatGNU {
		t.Errorf("header %+v", h)
	}
}

func gce(t testing.TB) format {
	t.Helper()
	for _, f := range formats() {
		if f.name == "gce" {
			return f
		}
	}
	t.Fatal("no such format")
	return format{}
}
