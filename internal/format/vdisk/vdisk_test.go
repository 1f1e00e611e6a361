package vdisk_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/vdisk"
)

// A format is one of the package's, and what QEMU calls it.
type format struct {
	name, qemu string
	align      int64 // sizes are rounded up to it
	create     func(*os.File, vdisk.Options) (vdisk.Disk, error)
}

func formats() []format {
	target := func(create func(vdisk.Target, vdisk.Options) (vdisk.Disk, error)) func(*os.File, vdisk.Options) (vdisk.Disk, error) {
		return func(f *os.File, o vdisk.Options) (vdisk.Disk, error) { return create(f, o) }
	}
	stream := func(create func(io.Writer, vdisk.Options) (vdisk.Disk, error)) func(*os.File, vdisk.Options) (vdisk.Disk, error) {
		return func(f *os.File, o vdisk.Options) (vdisk.Disk, error) { return create(f, o) }
	}
	return []format{
		{"raw", "raw", 1, target(vdisk.NewRaw)},
		{"qcow2", "qcow2", 1, target(vdisk.NewQCOW2)},
		{"qcow2 compressed", "qcow2", 1, target(vdisk.NewCompressedQCOW2)},
		{"vmdk", "vmdk", 1, stream(vdisk.NewVMDK)},
		{"vhd fixed", "vpc", vdisk.VHDAlignment, target(vdisk.NewFixedVHD)},
		{"vhd dynamic", "vpc", vdisk.VHDAlignment, target(vdisk.NewDynamicVHD)},
		{"vhdx", "vhdx", 1, target(vdisk.NewVHDX)},
		{"gce", "", vdisk.GCEAlignment, stream(vdisk.NewGCE)},
		{"ova", "", 1, target(vdisk.NewOVA)},
	}
}

// A piece is one write.
type piece struct {
	off  int64
	data []byte
}

// pieces makes about n writes to a disk in ascending order: random bytes, text
// and zeros, of any length and alignment, some behind each other, some with
// holes between. The same seed gives the same.
func pieces(seed uint64, size int64, n int) []piece {
	r := rand.New(rand.NewPCG(seed, uint64(size)))
	text := bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog. "), 10000)
	var list []piece
	for off := int64(0); ; {
		if r.IntN(3) > 0 {
			off += r.Int64N(2*size/int64(n) + 2)
		}
		if r.IntN(2) == 0 {
			off &^= 4095
			if k := len(list); k > 0 {
				off = max(off, list[k-1].off+int64(len(list[k-1].data)))
			}
		}
		length := min(r.Int64N(1<<r.IntN(19)+1), size-off)
		if off >= size || length < 0 {
			return list
		}
		data := make([]byte, length)
		switch r.IntN(4) {
		case 0:
		case 1:
			copy(data, text[r.IntN(50):])
		case 2:
			for i := range data {
				data[i] = byte(r.Uint32())
			}
		case 3: // sparse
			for range length / 9000 {
				data[r.Int64N(length)] = 1
			}
		}
		list = append(list, piece{off, data})
		off += length
	}
}

// again cuts the same bytes up differently.
func again(list []piece) []piece {
	r := rand.New(rand.NewPCG(7, 7))
	var cut []piece
	for _, p := range list {
		for len(p.data) > 0 {
			n := min(r.IntN(100_000)+1, len(p.data))
			cut = append(cut, piece{p.off, p.data[:n]})
			p.off, p.data = p.off+int64(n), p.data[n:]
		}
	}
	return cut
}

func options(size int64) vdisk.Options {
	return vdisk.Options{
		Size: size, Name: "test.vmdk", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		ID: [16]byte{0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	}
}

// write makes an image in a new file and returns its name.
func write(t testing.TB, f format, size int64, list []piece) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	disk, err := f.create(file, options(size))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if n, err := disk.WriteAt(p.data, p.off); err != nil || n != len(p.data) {
			t.Fatalf("WriteAt(%d bytes, %d) = %d, %v", len(p.data), p.off, n, err)
		}
	}
	if err := disk.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Name()
}

func sum(t testing.TB, path string) [32]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return [32]byte(h.Sum(nil))
}

func TestSameBytes(t *testing.T) {
	const size = 24<<20 + 512
	list := pieces(3, size, 200)
	for _, f := range formats() {
		t.Run(f.name, func(t *testing.T) {
			want := sum(t, write(t, f, size, list))
			old := runtime.GOMAXPROCS(5)
			defer runtime.GOMAXPROCS(old)
			if got := sum(t, write(t, f, size, again(list))); got != want {
				t.Error("with other pieces and 5 processors: other bytes")
			}
			runtime.GOMAXPROCS(1)
			if got := sum(t, write(t, f, size, list)); got != want {
				t.Error("with 1 processor: other bytes")
			}
		})
	}
}

func TestMisuse(t *testing.T) {
	const size = 4<<20 - 512
	for _, f := range formats() {
		for name, bad := range map[string]piece{
			"overlap":              {8191, make([]byte, 10)},
			"descending":           {0, make([]byte, 10)},
			"negative":             {-1, make([]byte, 10)},
			"over the end":         {size - 5, make([]byte, 6)},
			"beyond":               {size + 1, nil},
			"beyond all":           {1<<63 - 1, make([]byte, 6)},
			"the same piece again": {4096, make([]byte, 4096)},
		} {
			t.Run(f.name+"/"+name, func(t *testing.T) {
				disk := create(t, f, size)
				if _, err := disk.WriteAt(bytes.Repeat([]byte{1}, 4096), 4096); err != nil {
					t.Fatal(err)
				}
				_, err := disk.WriteAt(bad.data, bad.off)
				if err == nil {
					t.Fatal("written")
				}
				if _, next := disk.WriteAt([]byte{1}, 9000); next == nil || next.Error() != err.Error() {
					t.Errorf("next write: %v, want %v", next, err)
				}
				if closing := disk.Close(); closing == nil {
					t.Error("Close completes the image")
				}
			})
		}
	}
}

func TestClosed(t *testing.T) {
	for _, f := range formats() {
		t.Run(f.name, func(t *testing.T) {
			disk := create(t, f, 4<<20)
			if err := disk.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := disk.WriteAt([]byte{1}, 0); err == nil {
				t.Error("WriteAt after Close writes")
			}
			if err := disk.Close(); err == nil {
				t.Error("second Close says nothing")
			}
		})
	}
}

func TestSizes(t *testing.T) {
	for _, f := range formats() {
		sizes := []int64{0, -512, 511, 1<<20 + 1, -1 << 63}
		if f.qemu != "raw" {
			sizes = append(sizes, 1<<62)
		}
		for _, size := range sizes {
			if _, err := f.create(file(t), options(size)); err == nil {
				t.Errorf("%s: a disk of %d bytes", f.name, size)
			}
		}
	}
}

// TestNames has names that a descriptor cannot hold, and none.
func TestNames(t *testing.T) {
	for _, name := range []string{"a/b.vmdk", `a\b.vmdk`, `a".vmdk`, "a\n.vmdk", strings.Repeat("x", 256)} {
		if _, err := vdisk.NewVMDK(io.Discard, vdisk.Options{Size: 1 << 20, Name: name}); err == nil {
			t.Errorf("name %q", name)
		}
	}
	var b bytes.Buffer
	disk, err := vdisk.NewVMDK(&b, vdisk.Options{Size: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.Close(); err != nil {
		t.Fatal(err)
	}
	if want := `RW 2048 SPARSE "disk.vmdk"`; !bytes.Contains(b.Bytes(), []byte(want)) {
		t.Errorf("no %s in the descriptor", want)
	}
}

var errFull = errors.New("no space")

// A full target fails after some calls.
type full struct {
	*os.File
	left int
}

func (f *full) use() error {
	if f.left--; f.left < 0 {
		return errFull
	}
	return nil
}

func (f *full) WriteAt(p []byte, off int64) (int, error) {
	if err := f.use(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f *full) Write(p []byte) (int, error) {
	if err := f.use(); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f *full) Truncate(size int64) error {
	if err := f.use(); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

// TestFull lets each call to the target fail: the error must come to light.
func TestFull(t *testing.T) {
	const size = 6 << 20
	list := pieces(5, size, 20)
	for name, create := range map[string]func(*full) (vdisk.Disk, error){
		"raw":              func(f *full) (vdisk.Disk, error) { return vdisk.NewRaw(f, options(size)) },
		"qcow2":            func(f *full) (vdisk.Disk, error) { return vdisk.NewQCOW2(f, options(size)) },
		"qcow2 compressed": func(f *full) (vdisk.Disk, error) { return vdisk.NewCompressedQCOW2(f, options(size)) },
		"vmdk":             func(f *full) (vdisk.Disk, error) { return vdisk.NewVMDK(f, options(size)) },
		"vhd fixed":        func(f *full) (vdisk.Disk, error) { return vdisk.NewFixedVHD(f, options(size)) },
		"vhd dynamic":      func(f *full) (vdisk.Disk, error) { return vdisk.NewDynamicVHD(f, options(size)) },
		"vhdx":             func(f *full) (vdisk.Disk, error) { return vdisk.NewVHDX(f, options(size)) },
		"gce":              func(f *full) (vdisk.Disk, error) { return vdisk.NewGCE(f, options(size)) },
		"ova":              func(f *full) (vdisk.Disk, error) { return vdisk.NewOVA(f, options(size)) },
	} {
		t.Run(name, func(t *testing.T) {
			for calls := 0; ; calls++ {
				f := &full{file(t), calls}
				err := fill(create, f, list)
				if err == nil && f.left >= 0 {
					if calls == 0 {
						t.Errorf("complete after %d calls", calls)
					}
					return
				}
				if !errors.Is(err, errFull) || strings.Count(err.Error(), errFull.Error()) != 1 {
					t.Fatalf("after %d calls: %v", calls, err)
				}
			}
		})
	}
}

// fill writes all pieces, without regard to errors, and closes.
func fill(create func(*full) (vdisk.Disk, error), f *full, list []piece) error {
	disk, err := create(f)
	if err != nil {
		return err
	}
	for _, p := range list {
		disk.WriteAt(p.data, p.off)
	}
	return disk.Close()
}

// A recorder notes what is written.
type recorder struct{ ranges [][2]int64 }

func (r *recorder) WriteAt(p []byte, off int64) (int, error) {
	r.ranges = append(r.ranges, [2]int64{off, off + int64(len(p))})
	return len(p), nil
}

func (r *recorder) Truncate(int64) error { return nil }

// TestPages leaves out pages of zeros, and not more.
func TestPages(t *testing.T) {
	var r recorder
	disk, err := vdisk.NewRaw(&r, options(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte{1}, 10*4096)
	clear(data[2*4096-100 : 5*4096-100]) // pages 2 to 4 of the disk
	clear(data[6*4096 : 7*4096])         // no whole page
	if _, err := disk.WriteAt(data, 100); err != nil {
		t.Fatal(err)
	}
	want := [][2]int64{{100, 2 * 4096}, {5 * 4096, 10*4096 + 100}}
	if diff := cmp.Diff(want, r.ranges); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
}

func file(t testing.TB) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "image")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func create(t testing.TB, f format, size int64) vdisk.Disk {
	t.Helper()
	disk, err := f.create(file(t), options(size))
	if err != nil {
		t.Fatal(err)
	}
	return disk
}
