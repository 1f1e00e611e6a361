package iso9660_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/iso9660"
)

var update = flag.Bool("update", false, "write the golden file anew")

const mib = 1 << 20

// hybrid are the files and options of a medium as it is built.
func hybrid() ([]iso9660.File, iso9660.Options) {
	return []iso9660.File{{Name: "ROOT.IMG", At: 35 * mib, Size: 3*mib + 5}, {Name: "EFI.IMG", At: mib, Size: 34 * mib}},
		iso9660.Options{
			Label: "LAB_1", Size: 40 * mib, Time: time.Date(2026, 11, 26, 3, 4, 5, 670e6, time.FixedZone("east", 3600)),
			Boot: []iso9660.Boot{{Platform: iso9660.EFI, File: "EFI.IMG"}},
		}
}

// tables returns what is written, with the empty sectors before it.
func tables(t *testing.T, files []iso9660.File, o iso9660.Options) []byte {
	t.Helper()
	v, err := iso9660.New(files, o)
	if err != nil {
		t.Fatal(err)
	}
	var b memory
	if err := v.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b
}

type memory []byte

func (m *memory) WriteAt(p []byte, at int64) (int, error) {
	*m = append(*m, make([]byte, max(int(at)+len(p)-len(*m), 0))...)
	return copy((*m)[at:], p), nil
}

// TestGolden compares with what was written before, in which the files come in
// another order. A change of it is a change of the format.
func TestGolden(t *testing.T) {
	files, o := hybrid()
	got := tables(t, files, o)
	files[0], files[1] = files[1], files[0]
	if !bytes.Equal(got, tables(t, files, o)) {
		t.Error("another order of the files gave other bytes")
	}
	o.Boot = append(o.Boot, iso9660.Boot{Platform: iso9660.BIOS, File: "ROOT.IMG", Load: 2048})
	got = append(got, tables(t, files, o)[iso9660.Start:]...)
	var text strings.Builder
	zero := make([]byte, 16)
	for at := 0; at < len(got); at += 16 {
		if line := got[at : at+16]; !bytes.Equal(line, zero) && !bytes.Equal(line, bytes.Repeat([]byte(" "), 16)) {
			fmt.Fprintf(&text, "%05x %s\n", at, hex.EncodeToString(line))
		}
	}
	path := filepath.Join("testdata", "tables.txt")
	if *update {
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text.String()); diff != "" {
		t.Error(diff)
	}
}

// TestSections has a file of several sections, in a directory of several sectors.
func TestSections(t *testing.T) {
	const section = 1<<32 - 2048
	files := []iso9660.File{{Name: "LARGE.IMG", At: mib, Size: 60*section + 1}, {Name: "EXACT", At: 1 << 40, Size: section}, {Name: "EMPTY", At: mib}}
	b := tables(t, files, iso9660.Options{Size: 2 << 40})
	dir := int64(binary.LittleEndian.Uint32(b[iso9660.Start+158:])) * 2048
	size := int64(binary.BigEndian.Uint32(b[iso9660.Start+170:]))
	if size != 2*2048 || dir+size != int64(len(b)) {
		t.Fatalf("the directory has %d bytes at %d of %d", size, dir, len(b))
	}
	at := map[string]int64{}  // where the next section of a file has to begin
	got := map[string]int64{} // size
	for rest := range slices.Chunk(b[dir:], 2048) {
		for len(rest) > 0 && rest[0] != 0 {
			r := rest[:rest[0]]
			rest = rest[len(r):]
			name, last := string(r[33:33+r[32]]), r[25]&0x80 == 0
			begin, length := int64(binary.LittleEndian.Uint32(r[2:]))*2048, int64(binary.LittleEndian.Uint32(r[10:]))
			if next, ok := at[name]; ok && next != begin {
				t.Errorf("a section of %s begins at %d, want %d", name, begin, next)
			}
			at[name] = begin + length
			got[name] += length
			if !last && length != section || last && length == 0 && name != "EMPTY.;1" {
				t.Errorf("a section of %s has %d bytes (the last: %v)", name, length, last)
			}
		}
	}
	want := map[string]int64{"\x00": size, "\x01": size, "EMPTY.;1": 0, "EXACT.;1": section, "LARGE.IMG;1": 60*section + 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestTellPlace has the sum of an image whose last word is not whole; xorriso checks
// that of a loader in package action.
func TestTellPlace(t *testing.T) {
	image := bytes.Repeat([]byte{1}, 70)
	iso9660.TellPlace(image, 64<<10)
	want := append(bytes.Repeat([]byte{1}, 8), 16, 0, 0, 0, 32, 0, 0, 0, 70, 0, 0, 0, 2, 2, 1, 1)
	want = append(append(want, make([]byte, 40)...), 1, 1, 1, 1, 1, 1)
	if diff := cmp.Diff(want, image); diff != "" {
		t.Error(diff)
	}
}

// TestTime is what the format cannot say.
func TestTime(t *testing.T) {
	files, o := hybrid()
	for year, want := range map[int]string{1800: "19000101000000", 2026: "20260102030405", 3000: "21551231235959"} {
		o.Time = time.Date(year, 1, 2, 3, 4, 5, 0, time.UTC)
		b := tables(t, files, o)[iso9660.Start:]
		for _, at := range []int{813, 830, 864} {
			if got := string(b[at : at+14]); got != want {
				t.Errorf("year %d is %s at %d, want %s", year, got, at, want)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(files []iso9660.File, o *iso9660.Options)
	}{
		{"a medium of 0 bytes", func(_ []iso9660.File, o *iso9660.Options) { o.Size = 0 }},
		{"a medium of 41944064 bytes", func(_ []iso9660.File, o *iso9660.Options) { o.Size += 1024 }},
		{"at most 4294967295 of them", func(_ []iso9660.File, o *iso9660.Options) { o.Size = 1 << 43 }},
		{`label "lab"`, func(_ []iso9660.File, o *iso9660.Options) { o.Label = "lab" }},
		{`label "A`, func(_ []iso9660.File, o *iso9660.Options) { o.Label = strings.Repeat("A", 33) }},
		{`name "a": a character`, func(files []iso9660.File, _ *iso9660.Options) { files[0].Name = "a" }},
		{`name "A.B.C": a character`, func(files []iso9660.File, _ *iso9660.Options) { files[0].Name = "A.B.C" }},
		{`name "A.": want`, func(files []iso9660.File, _ *iso9660.Options) { files[0].Name = "A." }},
		{`name "": want`, func(files []iso9660.File, _ *iso9660.Options) { files[0].Name = "" }},
		{`name "ROOTIMAGE": want`, func(files []iso9660.File, _ *iso9660.Options) { files[0].Name = "ROOTIMAGE" }},
		{`name "EFI.IMG" is given twice`, func(files []iso9660.File, _ *iso9660.Options) { files[0].Name = "EFI.IMG" }},
		{`file "ROOT.IMG" begins at 35651584, the contents of EFI.IMG before it end at 36700160`, func(files []iso9660.File, _ *iso9660.Options) { files[0].At -= mib }},
		{`file "EFI.IMG" begins at 32768, the tables before it end at 47104`, func(files []iso9660.File, _ *iso9660.Options) { files[1].At = iso9660.Start }},
		{`file "ROOT.IMG" has 3145733 bytes at 36701184`, func(files []iso9660.File, _ *iso9660.Options) { files[0].At += 1024 }},
		{`file "ROOT.IMG" has 3145733 bytes at 39845888`, func(files []iso9660.File, _ *iso9660.Options) { files[0].At = 38 * mib }},
		{`no file "BIOS.IMG" to boot`, func(_ []iso9660.File, o *iso9660.Options) { o.Boot[0].File = "BIOS.IMG" }},
		{`1000 bytes of "EFI.IMG" to load`, func(_ []iso9660.File, o *iso9660.Options) { o.Boot[0].Load = 1000 }},
	} {
		files, o := hybrid()
		c.change(files, &o)
		if _, err := iso9660.New(files, o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("the error is %v, want %q in it", err, c.want)
		}
	}
}
