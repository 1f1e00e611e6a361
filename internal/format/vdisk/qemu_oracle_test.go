package vdisk_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bootc-go/bootc/internal/format/vdisk"
)

// reference writes a disk as it is.
func reference(t testing.TB, size int64, list []piece) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "reference"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if _, err := f.WriteAt(p.data, p.off); err != nil {
			t.Fatal(err)
		}
	}
	return f.Name()
}

func run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Errorf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

// quiet runs a program that complains by words only of what it can live with.
func quiet(t testing.TB, args ...string) {
	t.Helper()
	if out := run(t, args...); out != "" {
		t.Errorf("%q: %s", args, out)
	}
}

func round(n, to int64) int64 { return (n + to - 1) / to * to }

// TestQEMU lets QEMU check each format, and compare the disk.
func TestQEMU(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("no qemu-img")
	}
	for _, c := range []struct {
		name  string
		size  int64
		count int
	}{
		{"one sector", 512, 1},
		{"one cluster", 64 << 10, 3},
		{"not a MiB", 3<<20 - 512, 20},
		{"odd", 41<<20 + 9*512, 100},
		{"dense", 16 << 20, 2000},
		{"two tables", 700<<20 + 512, 60},
		{"20 GiB", 20 << 30, 40},
	} {
		for _, f := range formats() {
			if f.qemu == "" {
				continue
			}
			size := c.size
			if f.qemu == "vhdx" { // whose holes QEMU reads; see TestVHDXBitmaps
				size = min(size, 200<<20)
			}
			t.Run(c.name+"/"+f.name, func(t *testing.T) {
				list := pieces(11, size, c.count)
				judge(t, f, write(t, f, size, list), reference(t, round(size, f.align), list))
			})
		}
	}
}

// TestEmpty has no writes at all.
func TestEmpty(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("no qemu-img")
	}
	for _, f := range formats() {
		if f.qemu == "" {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			const size = 5<<20 + 512
			judge(t, f, write(t, f, size, nil), reference(t, round(size, f.align), nil))
		})
	}
}

// judge compares an image with a raw disk.
func judge(t *testing.T, f format, image, want string) {
	t.Helper()
	switch f.qemu {
	case "qcow2", "vmdk", "vhdx":
		quiet(t, "qemu-img", "check", "-q", "-f", f.qemu, image)
	}
	// It lets a longer disk pass if the rest is zero; -s would want the same holes.
	quiet(t, "qemu-img", "compare", "-q", "-f", "raw", "-F", f.qemu, want, image)
	st, err := os.Stat(want)
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		Size int64 `json:"virtual-size"`
	}
	if err := json.Unmarshal([]byte(run(t, "qemu-img", "info", "-f", f.qemu, "--output=json", image)), &info); err != nil {
		t.Fatal(err)
	}
	if info.Size != st.Size() {
		t.Errorf("a disk of %d bytes, want %d", info.Size, st.Size())
	}
	if st.Size() > 64<<20 {
		return
	}
	back := filepath.Join(t.TempDir(), "back")
	run(t, "qemu-img", "convert", "-f", f.qemu, "-O", "raw", image, back)
	a, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(back)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("other bytes than written")
	}
}

// TestVHDXBitmaps reads blocks on both sides of the entries of a table that are for
// bitmaps.
func TestVHDXBitmaps(t *testing.T) {
	if _, err := exec.LookPath("qemu-io"); err != nil {
		t.Skip("no qemu-io")
	}
	list := []piece{
		{4<<30 - 4096, bytes.Repeat([]byte{1}, 4096)},
		{4 << 30, bytes.Repeat([]byte{2}, 4096)},
		{8<<30 - 4096, bytes.Repeat([]byte{3}, 8192)},
		{20<<30 - 4096, bytes.Repeat([]byte{4}, 4096)},
	}
	args := []string{"qemu-io", "-r", "-f", "vhdx"}
	for _, p := range list {
		args = append(args, "-c", fmt.Sprintf("read -P %d %d %d", p.data[0], p.off, len(p.data)))
	}
	for _, f := range formats() {
		if f.qemu == "vhdx" {
			if out := run(t, append(args, write(t, f, 20<<30, list))...); strings.Contains(out, "failed") {
				t.Error(out)
			}
		}
	}
}

// TestVHDGeometry compares the geometry that QEMU gives to disks of VHD images,
// which it rounds up to whole cylinders. The first two are bounds that it does not
// meet.
func TestVHDGeometry(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("no qemu-img")
	}
	for _, c := range []struct{ sectors, cylinders, sectorsOfTrack int64 }{{17 * 4096, 140, 31}, {31 * 16384, 503, 63}} {
		if c2, h, s := vdisk.VHDGeometry(c.sectors); c2 != c.cylinders || h != 16 || s != c.sectorsOfTrack {
			t.Errorf("a disk of %d sectors: geometry %d/%d/%d, want %d/16/%d", c.sectors, c2, h, s, c.cylinders, c.sectorsOfTrack)
		}
	}
	for _, size := range []string{"512", "3M", "40M", "200M", "511M", "1G", "9G", "33G", "127G", "300G", "1500G"} {
		path := filepath.Join(t.TempDir(), "image")
		run(t, "qemu-img", "create", "-q", "-f", "vpc", "-o", "subformat=dynamic", path, size)
		image, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bytes := binary.BigEndian.Uint64(image[48:])
		c, h, s := vdisk.VHDGeometry(int64(bytes / 512))
		got := [3]int64{c, h, s}
		want := [3]int64{int64(binary.BigEndian.Uint16(image[56:])), int64(image[58]), int64(image[59])}
		if got != want {
			t.Errorf("a disk of %s, really %d bytes: geometry %v, want %v", size, bytes, got, want)
		}
	}
}

// TestVHDSums checks the check sums, to which QEMU does not object: the ones'
// complement of the sum of all other bytes.
func TestVHDSums(t *testing.T) {
	for _, f := range formats() {
		if f.qemu != "vpc" {
			continue
		}
		image, err := os.ReadFile(write(t, f, 5<<20, pieces(1, 5<<20, 4)))
		if err != nil {
			t.Fatal(err)
		}
		check := func(what string, p []byte, field int) {
			var sum uint32
			for i, b := range p {
				if i < field || i >= field+4 {
					sum += uint32(b)
				}
			}
			if got := binary.BigEndian.Uint32(p[field:]); got != ^sum {
				t.Errorf("%s: check sum of the %s %#x, want %#x", f.name, what, got, ^sum)
			}
		}
		footer := image[len(image)-512:]
		check("footer", footer, 64)
		if f.name == "vhd dynamic" {
			check("header", image[512:1536], 36)
			if !bytes.Equal(image[:512], footer) {
				t.Error("the copy of the footer is not one")
			}
		}
	}
}

// TestHoles fails when a format stores zeros.
func TestHoles(t *testing.T) {
	const size = 20 << 30
	list := []piece{{1 << 20, make([]byte, 3<<20)}, {10<<30 + 4096, []byte("data")}, {size - 3<<20, make([]byte, 3<<20)}}
	for _, f := range formats() {
		st, err := os.Stat(write(t, f, size, list))
		if err != nil {
			t.Fatal(err)
		}
		if got := st.Sys().(*syscall.Stat_t).Blocks * 512; got > 2<<20 && f.qemu != "" {
			t.Errorf("%s: %d bytes for a disk of 4", f.name, got)
		}
	}
}
