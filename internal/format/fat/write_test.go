package fat_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/fat"
)

// A disk is a sparse file that is only written forwards.
type disk struct {
	*os.File
	size, end, written int64
	full               int64 // if not 0, where writes end with an error
}

var errFull = errors.New("the disk is full")

func (d *disk) WriteAt(p []byte, at int64) (int, error) {
	switch end := at + int64(len(p)); {
	case at < d.end:
		return 0, fmt.Errorf("a write at %d, after one up to %d", at, d.end)
	case end > d.size:
		return 0, fmt.Errorf("a write up to %d of %d", end, d.size)
	case d.full != 0 && end > d.full:
		return 0, errFull
	default:
		d.end = end
	}
	d.written += int64(len(p))
	return d.File.WriteAt(p, at)
}

func newDisk(t *testing.T, size int64) *disk {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return &disk{File: f, size: size}
}

func write(t *testing.T, files []fat.File, o fat.Options) *disk {
	t.Helper()
	image, err := fat.New(files, o)
	if err != nil {
		t.Fatal(err)
	}
	d := newDisk(t, o.Size)
	if err := image.Write(d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestContents(t *testing.T) {
	for name, files := range samples() {
		t.Run(name, func(t *testing.T) {
			d := write(t, files, options)
			compare(t, files, readVolume(t, d))
		})
	}
	t.Run("large sectors", func(t *testing.T) {
		o := options
		o.SectorSize, o.Size, o.Label = 4096, 300*mebi, ""
		for name, files := range samples() {
			v := readVolume(t, write(t, files, o))
			if v.sectorSize != 4096 || v.clusterSize != 4096 {
				t.Errorf("%s: sectors of %d, clusters of %d bytes", name, v.sectorSize, v.clusterSize)
			}
			if _, ok := v.entries["label"]; ok || string(v.boot[71:82]) != "NO NAME    " {
				t.Errorf("%s: a label", name)
			}
			v.entries["label"] = entry{}
			compare(t, files, v)
		}
	})
}

// compare compares the paths and contents of a volume with what it was made of.
func compare(t *testing.T, files []fat.File, v *volume) {
	t.Helper()
	want := map[string]string{"label": ""}
	for _, f := range files {
		for i, c := range f.Name {
			if c == '/' {
				want[f.Name[:i+1]] = ""
			}
		}
		if !strings.HasSuffix(f.Name, "/") {
			want[f.Name] = string(noise(f.Name, int(f.Size)))
		}
	}
	got := map[string]string{}
	for path, e := range v.entries {
		got[path] = string(e.contents)
	}
	for path, w := range want {
		if g, ok := got[path]; !ok || g != w {
			t.Errorf("%q: %d bytes, want %d (there: %v)", path, len(g), len(w), ok)
		}
		delete(got, path)
	}
	for path := range got {
		t.Errorf("%q out of nowhere", path)
	}
}

func TestBootSector(t *testing.T) {
	v := readVolume(t, write(t, nil, options))
	for _, f := range []struct {
		name      string
		at, size  int
		want, got uint32
	}{
		{name: "bytes a sector", at: 11, size: 2, want: 512}, {name: "sectors a cluster", at: 13, size: 1, want: 1},
		{name: "tables", at: 16, size: 1, want: 2}, {name: "entries of the top", at: 17, size: 2},
		{name: "sectors of FAT16", at: 19, size: 2}, {name: "medium", at: 21, size: 1, want: 0xf8},
		{name: "table of FAT16", at: 22, size: 2}, {name: "hidden sectors", at: 28, size: 4, want: 4096},
		{name: "sectors", at: 32, size: 4, want: 40 * mebi / 512}, {name: "flags", at: 40, size: 2},
		{name: "version", at: 42, size: 2}, {name: "top", at: 44, size: 4, want: 2}, {name: "FSInfo", at: 48, size: 2, want: 1},
		{name: "copy", at: 50, size: 2, want: 6}, {name: "serial number", at: 67, size: 4, want: 0x1234abcd},
		{name: "signature", at: 510, size: 2, want: 0xaa55},
	} {
		for i := range f.size {
			f.got |= uint32(v.boot[f.at+i]) << (8 * i)
		}
		if f.got != f.want {
			t.Errorf("%s: %#x, want %#x", f.name, f.got, f.want)
		}
	}
	if got := v.boot[71:90]; string(got) != "EFI-SYSTEM FAT32   " {
		t.Errorf("label and type %q", got)
	}
	if got := v.entries["label"].short; got != "EFI-SYSTEM " {
		t.Errorf("label %q in the top directory", got)
	}
}

// TestOrder has names that sort otherwise when they are parts of paths.
func TestOrder(t *testing.T) {
	v := readVolume(t, write(t, []fat.File{file("a-b", 600), file("a/z", 600), file("a/Z-", 1), file("b", 1), file("A+/é", 1), {Name: "a0/"}, file("B-", 1)}, options))
	if diff := cmp.Diff([]string{"A+/", "A+/é", "B-", "a/", "a/Z-", "a/z", "a-b", "a0/", "b"}, v.order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	next := uint32(3) // behind the top
	for _, dirs := range []bool{true, false} {
		for _, path := range v.order {
			if e := v.entries[path]; strings.HasSuffix(path, "/") == dirs {
				if e.first != next {
					t.Errorf("%s begins in cluster %d, want %d", path, e.first, next)
				}
				next += max(1, uint32(len(e.contents)+511)/512)
			}
		}
	}
}

// TestTracks has a volume that ends amid a track.
func TestTracks(t *testing.T) {
	o := options
	o.Size += 31*512 + 100
	v := readVolume(t, write(t, []fat.File{file("f", 1000)}, o))
	if got := le.Uint32(v.boot[32:]); got != 40*mebi/512 {
		t.Errorf("%d sectors", got)
	}
}

// TestFull has a volume without a free cluster.
func TestFull(t *testing.T) {
	image, err := fat.New(nil, options)
	if err != nil {
		t.Fatal(err)
	}
	d := write(t, []fat.File{contents("FILE", make([]byte, image.Free()))}, options)
	for i, link := range readVolume(t, d).links {
		if link == 0 {
			t.Fatalf("cluster %d is free", i)
		}
	}
}

func TestShortNames(t *testing.T) {
	want := map[string]string{
		"FOO~1": "FOO~1", "foo~2": "FOO~2", "foo bar": "FOOBAR~1", "foobar baz": "FOOBAR~2", "Foo": "FOO", "foo+": "FOO_~1",
		"foo, x": "FOO_X~1", "foo..a": "FOO~1.A", "fooé": "FOO_~2", "FO O": "FOO~3",
		"vmlinuz": "VMLINUZ", "initrd.img": "INITRD.IMG", "initrd.image": "INITRD~1.IMA",
		"bootc_debian-12.5-1.conf": "BOOTC_~2.CON", "bootc_debian-12.5-0.conf": "BOOTC_~1.CON", "bootc_x.efi": "BOOTC_X.EFI",
		".conf": "CONF~1", "...a.b": "A~1.B", "a.b.c": "A~1.C", "größe": "GR__E~1", "日本": "__~1", "ıx": "_X~1", "AB_CDEFGH": "AB_CDE~1",
	}
	for i := 1; i <= 12; i++ {
		want[fmt.Sprintf("prefix-%02d.long", i)] = fmt.Sprintf("PREFIX~%d.LON", i)
		if i > 9 {
			want[fmt.Sprintf("prefix-%02d.long", i)] = fmt.Sprintf("PREFI~%d.LON", i)
		}
	}
	want["PREFI~11.LON"] = "PREFI~11.LON"
	want["prefix-11.long"], want["prefix-12.long"] = "PREFI~12.LON", "PREFI~13.LON"
	var files []fat.File
	for name := range want {
		files = append(files, file("d/"+name, 0))
	}
	got := map[string]string{}
	for path, e := range readVolume(t, write(t, files, options)).entries {
		if name, ok := strings.CutPrefix(path, "d/"); ok && name != "" {
			got[name] = e.short
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCrowd gives short names to so many names of one kind that 4 digits are
// needed, and to many of another that are alike when they are cut.
func TestCrowd(t *testing.T) {
	var files []fat.File
	for i := range 6000 {
		files = append(files, file(fmt.Sprintf("one/the same beginning %d", i), 0), file(fmt.Sprintf("two/same%04d and more", i), 0))
	}
	o := options
	o.Size = 64 * mebi
	compare(t, files, readVolume(t, write(t, files, o)))
}

func TestReproducible(t *testing.T) {
	read := func(d *disk) []byte {
		t.Helper()
		b := make([]byte, d.end)
		if _, err := d.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, files := range samples() {
		image, err := fat.New(files, options)
		if err != nil {
			t.Fatal(err)
		}
		once, again := newDisk(t, options.Size), newDisk(t, options.Size)
		for _, d := range []*disk{once, again} {
			if err := image.Write(d); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(read(once), read(again)) {
			t.Errorf("%s: written again, other bytes", name)
		}
		o := options
		o.Time = o.Time.In(time.FixedZone("far", 11*3600))
		files = slices.Clone(files)
		slices.Reverse(files)
		if !bytes.Equal(read(once), read(write(t, files, o))) {
			t.Errorf("%s: in another order and time zone, other bytes", name)
		}
	}
}

func TestTime(t *testing.T) {
	for want, when := range map[string]time.Time{
		"1980-01-01 00:00:00.00": {},
		"1980-01-01 00:00:00.01": time.Date(1980, 1, 1, 0, 0, 0, 19e6, time.UTC),
		"2026-02-03 04:05:07.08": time.Date(2026, 2, 3, 6, 5, 7, 80e6, time.FixedZone("", 7200)),
		"2107-12-31 23:59:59.99": time.Date(2108, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		o := options
		o.Time = when
		for path, e := range readVolume(t, write(t, []fat.File{file("dir/file", 1)}, o)).entries {
			s := e.stamp
			clock, date := le.Uint16(s[1:]), le.Uint16(s[3:])
			got := fmt.Sprintf("%04d-%02d-%02d %02d:%02d:%02d.%02d", 1980+date>>9, date>>5&15, date&31,
				clock>>11, clock>>5&63, clock&31*2+uint16(s[0])/100, s[0]%100)
			if got != want {
				t.Errorf("%s of %v: %s, want %s", path, when, got, want)
			}
			if le.Uint16(s[5:]) != date || le.Uint16(s[7:]) != clock || le.Uint16(s[9:]) != date {
				t.Errorf("%s of %v: times are not the same: % x", path, when, s)
			}
		}
	}
}

// TestSparse fails when zeros are written.
func TestSparse(t *testing.T) {
	const size = 20 * mebi
	b := make([]byte, size)
	copy(b[5*mebi:], "something")
	b[size-1] = 1
	d := write(t, []fat.File{contents("zeros", b)}, options)
	links := int64(size / 512 * 4 * 2) // the file's, in both tables
	if extra := d.written - links; extra < 0 || extra > 16<<10 {
		t.Errorf("%d bytes written besides %d of links", extra, links)
	}
	if got := readVolume(t, d).entries["zeros"].contents; !bytes.Equal(got, b) {
		t.Error("other contents")
	}
}

func TestWriteErrors(t *testing.T) {
	broken := errors.New("a broken file")
	opens := func(size int64, r io.Reader) fat.File {
		return fat.File{Name: "dir/f", Size: size, Open: func() (io.ReadCloser, error) { return io.NopCloser(r), nil }}
	}
	for name, c := range map[string]struct {
		file fat.File
		want string
	}{
		"empty":      {opens(100000, strings.NewReader("")), `"dir/f" to a FAT volume: 0 bytes instead of 100000`},
		"short":      {opens(100000, strings.NewReader(strings.Repeat("x", 99999))), "99999 bytes instead of 100000"},
		"long":       {opens(10, strings.NewReader("eleven byte")), `"dir/f" to a FAT volume: more than 10 bytes`},
		"not empty":  {opens(0, strings.NewReader("x")), "more than 0 bytes"},
		"broken":     {opens(10, iotest.ErrReader(broken)), `"dir/f" to a FAT volume: a broken file`},
		"broken end": {opens(1, io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken))), broken.Error()},
		"not there":  {fat.File{Name: "dir/f", Size: 1, Open: func() (io.ReadCloser, error) { return nil, broken }}, `"dir/f" to a FAT volume: a broken file`},
	} {
		image, err := fat.New([]fat.File{c.file}, options)
		if err != nil {
			t.Fatal(err)
		}
		if err := image.Write(newDisk(t, options.Size)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	files := []fat.File{file("dir/f", 3<<20), file("dir/g", 10)}
	end := write(t, files, options).end
	image, err := fat.New(files, options)
	if err != nil {
		t.Fatal(err)
	}
	for full := int64(1); full < end; full += 100003 {
		d := newDisk(t, options.Size)
		d.full = full
		if err := image.Write(d); !errors.Is(err, errFull) {
			t.Errorf("a disk that is full at %d: %v", full, err)
		}
	}
}

// TestOneByteReads gives files that come in small pieces.
func TestOneByteReads(t *testing.T) {
	f := file("f", 70000)
	open := f.Open
	f.Open = func() (io.ReadCloser, error) {
		r, err := open()
		return io.NopCloser(iotest.OneByteReader(r)), err
	}
	compare(t, []fat.File{f}, readVolume(t, write(t, []fat.File{f}, options)))
}
