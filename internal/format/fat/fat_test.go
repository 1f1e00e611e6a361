package fat_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/bootc-go/bootc/internal/format/fat"
)

const mebi = 1 << 20

// noise is what a file of the name holds, with zeros in its middle.
func noise(name string, size int) []byte {
	var seed [32]byte
	copy(seed[:], name)
	seed[31] = byte(len(name))
	b := make([]byte, size)
	rand.NewChaCha8(seed).Read(b)
	clear(b[size/3 : size/2])
	return b
}

func file(name string, size int) fat.File { return contents(name, noise(name, size)) }

func contents(name string, b []byte) fat.File {
	return fat.File{Name: name, Size: int64(len(b)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b)), nil
	}}
}

var options = fat.Options{Size: 40 * mebi, Label: "EFI-SYSTEM", ID: 0x1234abcd, Time: time.Date(2026, 2, 3, 4, 5, 7, 80e6, time.UTC), HiddenSectors: 4096}

var id = strings.Repeat("0123456789abcdef", 8)

// samples are the contents of volumes that are written, read and checked.
func samples() map[string][]fat.File {
	many := []fat.File{{Name: "empty/"}}
	for i := range 3000 {
		many = append(many, file(fmt.Sprintf("many/a long name with number %04d.conf", i), i%3))
	}
	var sizes []fat.File
	for _, n := range []int{0, 1, 511, 512, 513, 1023, 1024, 4095, 4096, 4097, 65535, 65536, 65537, 3<<16 + 5} {
		sizes = append(sizes, file(fmt.Sprintf("SIZES/%d", n), n))
	}
	// 2 entries of its own and 14 of names make up one cluster of 512 bytes,
	// 15 are more than one. At the top, which has a label, 15 and 16.
	var full, top []fat.File
	for i := range 16 {
		top = append(top, file(fmt.Sprint(i), 10))
	}
	for i := range 15 {
		if i < 14 {
			full = append(full, file(fmt.Sprintf("ONE/%d", i), 0))
		}
		full = append(full, file(fmt.Sprintf("TWO/%d", i), 0))
	}
	return map[string][]fat.File{
		"nothing": nil,
		"ESP": {
			file("EFI/BOOT/BOOTX64.EFI", 100000),
			file("EFI/systemd/systemd-bootx64.efi", 100000),
			file("EFI/Linux/bootc_composefs-"+id+"/vmlinuz", 1000000),
			file("EFI/Linux/bootc_composefs-"+id+"/initrd", 2000000),
			file("EFI/Linux/bootc_composefs-"+strings.Repeat("f", 128)+"/vmlinuz", 70000),
			file("loader/entries/bootc_debian-12-1.conf", 500),
			file("loader/entries/bootc_debian-12-0.conf", 500),
			file("loader/loader.conf", 50),
			file("loader/entries.srel", 6),
			{Name: "loader/keys/"},
		},
		"many":   many,
		"sizes":  sizes,
		"full":   full,
		"top 15": top[1:],
		"top 16": top,
		"names": {
			file("größe/straße", 1), file("größe/日本語の名前.txt", 2), file("ı", 4), file("ſhort", 5),
			file(strings.Repeat("x", 255), 6), file(strings.Repeat("é", 127), 7), file("thirteen.unit", 8), file("twenty-six.units-of-utf-16", 9),
			file(".hidden", 10), file("a b", 11), file(" blank", 12), file("a+b,c;d=[e]", 13), file("UPPER.TXT", 14), file("$%'-_@~`.!({", 15),
			file("}^#&", 16), file("two.dots.c", 17), file("NINECHARS", 18), file("A.LONG", 19), file("..a", 20), file("Mixed.Txt", 21),
		},
		// Longer than names of Linux, and what mtools does not know.
		"strange": {file(strings.Repeat("é", 255), 1), file(strings.Repeat("é", 254), 2), file("😀/😀😀😀😀😀😀.txt", 3)},
		"deep":    {file(strings.Repeat("d/", 100)+"f", 5), {Name: strings.Repeat("e/", 100)}},
	}
}

func TestSize(t *testing.T) {
	for name, files := range samples() {
		for _, sectorSize := range []int{512, 4096} {
			for _, free := range []int64{-1, 0, 1, 100 * mebi, 257 * mebi, 9 << 30} {
				o := options
				o.SectorSize = sectorSize
				size, err := fat.Size(files, o, free)
				if err != nil {
					t.Fatal(err)
				}
				o.Size = size
				image, err := fat.New(files, o)
				if err != nil {
					t.Fatalf("%s, %d bytes free: %v", name, free, err)
				}
				if image.Free() < free {
					t.Errorf("%s: %d bytes free, asked for %d", name, image.Free(), free)
				}
				o.Size -= mebi
				if image, err := fat.New(files, o); err == nil && image.Free() >= max(free, 0) {
					t.Errorf("%s, %d bytes free, sectors of %d: %d MiB, but %d suffice", name, free, sectorSize, size/mebi, o.Size/mebi)
				}
			}
		}
	}
	for sectorSize, want := range map[int]int64{512: 33, 4096: 257} {
		if got, err := fat.Size(nil, fat.Options{SectorSize: sectorSize}, 0); err != nil || got != want*mebi {
			t.Errorf("the smallest volume with sectors of %d: %d MiB, %v; want %d", sectorSize, got/mebi, err, want)
		}
	}
	for _, free := range []int64{1<<63 - 1, 1 << 62, 2<<40 - 1} {
		if size, err := fat.Size(nil, options, free); err == nil {
			t.Errorf("%d bytes free in a volume of %d", free, size)
		}
	}
	if _, err := fat.Size([]fat.File{{Name: "a//b"}}, options, 0); err == nil {
		t.Error("Size takes a bad name")
	}
}

func TestClusterSize(t *testing.T) {
	for size, want := range map[int64]int64{33: 512, 260: 512, 261: 4096, 8 << 10: 4096, 8<<10 + 1: 8192, 16<<10 + 1: 16384, 32<<10 + 1: 32768, 2<<20 - 1: 32768} {
		o := options
		o.Size = size * mebi
		image, err := fat.New(nil, o)
		if err != nil {
			t.Errorf("%d MiB: %v", size, err)
			continue
		}
		if got := image.ClusterSize(); got != want {
			t.Errorf("%d MiB: clusters of %d bytes, want %d", size, got, want)
		}
		if lost := o.Size - image.Free(); lost < 0 || lost > o.Size/50+mebi {
			t.Errorf("%d MiB: %d bytes are lost", size, lost)
		}
	}
}

// refused fails unless a volume is refused with words that contain want.
func refused(t *testing.T, files []fat.File, o fat.Options, want string) {
	t.Helper()
	if _, err := fat.New(files, o); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%.60q, %+v: %v, want %q", fmt.Sprint(files), o, err, want)
	}
}

func empty(names ...string) (files []fat.File) {
	for _, n := range names {
		files = append(files, fat.File{Name: n})
	}
	return files
}

// sized has a file of n bytes that nobody may open.
func sized(n int64) []fat.File {
	return []fat.File{{Name: "f", Size: n, Open: func() (io.ReadCloser, error) { panic("opened") }}}
}

// crowd is n names of 2 entries each in one directory.
func crowd(n int) (files []fat.File) {
	for i := range n {
		files = append(files, fat.File{Name: fmt.Sprintf("dir/%d.long", i)})
	}
	return files
}

func TestBadNames(t *testing.T) {
	for name, want := range map[string]string{
		"": "empty", "/": "empty", "/a": "empty", "a//b": "empty", "a//": "empty",
		"a/./b": `element "."`, "../b": `element ".."`, "dots...": "dot", "blank /b": "blank",
		"a\x00b": `'\x00'`, "a\nb": `'\n'`, "a\x7f": `'\x7f'`, "a\u0085": `'\u0085'`, "a\uffff": `'\uffff'`, "a\xffb": "UTF-8",
		strings.Repeat("x", 256): "256 UTF-16 units", strings.Repeat("😀", 128): "256 UTF-16 units",
	} {
		refused(t, empty(name), options, want)
	}
	for _, c := range `"*:<>?|\` {
		refused(t, empty("a"+string(c)), options, fmt.Sprintf("character %q", c))
	}
	for _, c := range []struct{ one, other, want string }{
		{"EFI/a", "efi/b", `names "EFI" and "efi" differ only in case`},
		{"d/file", "d/FILE", `names "d/FILE" and "d/file" differ only in case`},
		{"größe", "GRÖßE", "case"},
		{"k", "\u212a", "case"}, // the sign of kelvin
		{"a", "a/b", `"a" is both a file and a directory`},
		{"a/b/", "a/b", `"a/b" is both a file and a directory`},
		{"a/b", "a/b", `file "a/b" is given twice`},
	} {
		refused(t, empty(c.one, c.other), options, c.want)
		refused(t, empty(c.other, c.one), options, c.want)
	}
	refused(t, crowd(32768), options, "65538 entries")
}

func TestBadSizes(t *testing.T) {
	refused(t, sized(-1), options, "-1 bytes")
	refused(t, sized(1<<32), options, "4294967296 bytes")
	refused(t, []fat.File{{Name: "f", Size: 1}}, options, "nothing to read")
	refused(t, []fat.File{{Name: "f/", Size: 1}}, options, "has contents")
	refused(t, []fat.File{contents("f/", nil)}, options, "has contents")
	refused(t, sized(40*mebi), options, "41 MiB needed for files and directories, 39 MiB available")
	for _, c := range []struct {
		size   int64
		sector int
		want   string
	}{
		{32 * mebi, 512, "FAT32 has at least 65541"},
		{256 * mebi, 4096, "FAT32 has at least 65541"},
		{0, 0, "0 clusters"},
		{-1, 0, "0 clusters"},
		{-1 << 62, 0, "0 clusters"},
		{2 << 40, 512, "at most 4294967295"},
		{1<<63 - 1, 512, "at most 4294967295"},
		{15 << 40, 4096, "at most 268435445"},
		{40 * mebi, 1000, "sector size 1000"},
		{40 * mebi, 256, "sector size 256"},
		{400 * mebi, 8192, "sector size 8192"},
		{40 * mebi, -512, "sector size -512"},
	} {
		o := options
		o.Size, o.SectorSize = c.size, c.sector
		refused(t, nil, o, c.want)
	}
}

func TestBadLabels(t *testing.T) {
	for label, want := range map[string]string{
		"TWELVE CHARS": "12 bytes", "lower": "character", "A.B": "character", "GRÖSSE": "character", "A\x00": "character", " A": "blank", "A ": "blank",
	} {
		o := options
		o.Label = label
		refused(t, nil, o, want)
	}
}

// TestAccepted has what is just not refused.
func TestAccepted(t *testing.T) {
	o := options
	o.Size, o.Label = 5<<30, "11 CHARS-#_"
	for _, files := range [][]fat.File{
		empty("a/", "a/", "a/b/"), empty("d/f", "e/F"), crowd(32767), sized(1<<32 - 1), {contents("nothing", nil)},
		empty(strings.Repeat("x", 255)), empty(strings.Repeat("😀", 127)), empty("a.b c", "...x"),
	} {
		if _, err := fat.New(files, o); err != nil {
			t.Error(err)
		}
	}
	o.Size = 40 * mebi
	image, err := fat.New(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	room := image.Free()
	for n, fits := range map[int64]bool{room - 1: true, room: true, room + 1: false} {
		if image, err := fat.New(sized(n), o); (err == nil) != fits || fits && image.Free() != 0 {
			t.Errorf("%d bytes in %d: %v", n, room, err)
		}
	}
}
