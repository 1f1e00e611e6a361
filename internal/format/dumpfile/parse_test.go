package dumpfile_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/dumpfile"
	"github.com/bootc-go/bootc/internal/format/tree"
)

// The dumps that must be understood are beside the images made of them.
const dumps = "../erofs/testdata/dumps"

func readFile(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if data, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	return string(data)
}

func glob(t testing.TB, pattern string, want int) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) != want {
		t.Fatalf("%s: %d files, want %d; %v", pattern, len(files), want, err)
	}
	return files
}

func parse(t testing.TB, text string) *tree.Tree {
	t.Helper()
	tr, err := dumpfile.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func write(t testing.TB, tr *tree.Tree) string {
	t.Helper()
	var text bytes.Buffer
	if err := dumpfile.Write(&text, tr); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// TestRoundTrip parses each dump, writes it and parses it again.
func TestRoundTrip(t *testing.T) {
	for _, file := range glob(t, dumps+"/*.dump*", 142) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			first := write(t, parse(t, readFile(t, file)))
			second := write(t, parse(t, first))
			if diff := cmp.Diff(first, second); diff != "" {
				t.Errorf("second dump (-first +second):\n%s", diff)
			}
		})
	}
}

func TestRefuseVectors(t *testing.T) {
	files := append(glob(t, "testdata/should-fail/*.dump", 40), glob(t, "testdata/lenient-elsewhere/*.dump", 17)...)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := dumpfile.Parse(strings.NewReader(readFile(t, file)))
			// Other writers give all links the type of a symbolic link.
			accept := filepath.Base(file) == "hardlink-type-differs.dump"
			if (err == nil) != accept {
				t.Errorf("Parse = %v, accept %v", err, accept)
			}
		})
	}
}

const root = "/ 0 40755 2 0 0 0 0.0 - - -\n"

func TestRefuse(t *testing.T) {
	sha512 := strings.Repeat("ab", 64)
	deep := root
	for path := "/d"; len(path) < 2*2048+1; path += "/d" {
		deep += path + " 0 40755 2 0 0 0 0.0 - - -\n"
	}
	for _, tt := range []struct{ name, text, want string }{
		{"error names the line", root + "/a 0 644 1 0 0 0 0.0 - - -\n", "line 2: "},
		{"missing field", root + "/a 0 100644 1 0 0 0 0.0 - -\n", "10 fields"},
		{"empty payload", root + "/a 0 100644 1 0 0 0 0.0  - -\n", "payload: empty field"},
		{"empty content", root + "/a 0 100644 1 0 0 0 0.0 -  -\n", "content: empty field"},
		{"blank at the end", root + "/a 0 100644 1 0 0 0 0.0 - - - \n", "has no value"},
		{"carriage return", root + "/a 0 100644 1 0 0 0 0.0 - - -\r\n", "digest"},
		{"relative path", root + "a 0 100644 1 0 0 0 0.0 - - -\n", "not an absolute path"},
		{"doubled slash", root + "//a 0 100644 1 0 0 0 0.0 - - -\n", `the directory of "//a" is missing`},
		{"mode of 17 bits", root + "/a 0 200644 1 0 0 0 0.0 - - -\n", "mode"},
		{"uid of 33 bits", root + "/a 0 100644 1 4294967296 0 0 0.0 - - -\n", "uid"},
		{"size of 65 bits", root + "/a 18446744073709551616 100644 1 0 0 0 0.0 - - -\n", "size"},
		{"time of 65 bits", root + "/a 0 100644 1 0 0 0 18446744073709551616.0 - - -\n", "time"},
		{"early time", root + "/a 0 100644 1 0 0 0 -9223372036854775809.0 - - -\n", "time"},
		{"signed nanoseconds", root + "/a 0 100644 1 0 0 0 0.-1 - - -\n", "time"},
		{"payload with NUL", root + `/a 1 100644 1 0 0 0 0.0 a\x00 - -` + "\n", "NUL"},
		{"link text with NUL", root + `/a 1 120777 1 0 0 0 0.0 a\x00 - -` + "\n", "NUL"},
		{"xattr name with NUL", root + `/a 0 100644 1 0 0 0 0.0 - - - user.\x00=a` + "\n", "not a name"},
		{"content of a device", root + "/a 1 20644 1 0 0 5 0.0 - a -\n", "no file"},
		{"digest of a symbolic link", root + "/a 1 120777 1 0 0 0 0.0 a - " + sha512[:64] + "\n", "symbolic link with"},
		{"SHA-512 digest without payload", root + "/a 9 100644 1 0 0 0 0.0 - - " + sha512 + "\n", "not the object"},
		{"link to a whiteout", root + "/a 0 20644 2 0 0 0 0.0 - - -\n/b 0 @20644 2 0 0 0 0.0 /a - -\n", "whiteout"},
		{"link to the root", root + "/b 0 @100644 - - - - 0.0 / - -\n", "missing"},
		{"link that ends in a slash", root + "/a 0 100644 2 0 0 0 0.0 - - -\n/b 0 @100644 - - - - 0.0 /a/ - -\n", "missing"},
		{"relative link", root + "/a 0 100644 2 0 0 0 0.0 - - -\n/b 0 @100644 - - - - 0.0 a - -\n", "not an absolute path"},
		{"link with a bad number", root + "/a 0 100644 2 0 0 0 0.0 - - -\n/b x @100644 - - - - 0.0 /a - -\n", "number"},
		{"entry below a link", root + "/b 0 @100644 - - - - 0.0 /c - -\n/b/c 0 100644 1 0 0 0 0.0 - - -\n", "not a directory"},
		{"link cycle of three", root + "/a 0 @100644 - - - - 0.0 /b - -\n/b 0 @100644 - - - - 0.0 /c - -\n/c 0 @100644 - - - - 0.0 /b - -\n", "leads to itself"},
		{"depth", deep, "more than 2048"},
		{"endless line", root + strings.Repeat("/a", 3<<20), "line 2: more than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := dumpfile.Parse(strings.NewReader(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse = %v, want %q", err, tt.want)
			}
		})
	}
}

// TestFields checks what becomes of each field.
func TestFields(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	tr := parse(t, root+
		`/a\x20\xfFb\\ 5 104755 3 1 2 0 -5.7 - h\n\t\r\x00 - user.k=a=b user.a=\x3d`+"\n"+
		"/obj 99 100600 1 0 0 0 0.0 ab/"+sum[2:]+" - "+sum+"\n"+
		"/elsewhere 99 100600 1 0 0 0 0.0 x/y - "+strings.ToUpper(sum)+"\n"+
		"/nowhere 99 100600 1 0 0 0 0.0 - - "+sum+"\n"+
		"/hole 99 100600 1 0 0 0 0.0 - - -\n"+
		"/link 7 120777 1 0 0 0 0.0 \\x2d - -\n"+
		"/dev 3 60600 1 0 0 2049 0.0 - - -\n"+
		"/dash 1 100600 1 0 0 0 0.0 - \\x2d -\n"+
		"/last 0 100644 1 0 0 9 18446744073709551615.999999999 - - -")
	want := root +
		`/a\x20\xffb\\ 5 104755 3 1 2 0 -5.7 - h\n\t\r\x00 - user.a=\x3d user.k=a\x3db` + "\n" +
		"/dash 1 100600 1 0 0 0 0.0 - \\x2d -\n" +
		"/dev 3 60600 1 0 0 2049 0.0 - - -\n" +
		"/elsewhere 99 100600 1 0 0 0 0.0 x/y - " + sum + "\n" +
		"/hole 99 100600 1 0 0 0 0.0 - - -\n" +
		"/last 0 100644 1 0 0 0 -1.999999999 - - -\n" +
		"/link 1 120777 1 0 0 0 0.0 \\x2d - -\n" +
		"/nowhere 99 100600 1 0 0 0 0.0 - - " + sum + "\n" +
		"/obj 99 100600 1 0 0 0 0.0 ab/" + sum[2:] + " - " + sum + "\n"
	if diff := cmp.Diff(want, write(t, tr)); diff != "" {
		t.Errorf("dump (-want +got):\n%s", diff)
	}
	for path, payload := range map[string]string{"obj": "", "elsewhere": "x/y", "nowhere": tree.NoPayload, "hole": ""} {
		if got := tr.Lookup(path).Payload; got != payload {
			t.Errorf("%s: payload %q, want %q", path, got, payload)
		}
	}
}

// TestLinks follows links backward, forward and in a chain of many.
func TestLinks(t *testing.T) {
	text := root + "/m 5 100644 4 0 0 0 0.0 - hello -\n" +
		"/n 0 @120000 - - - - 0.0 /m - -\n" +
		"/a 0 @100644 - - - - - /z - -\n" +
		"/z 0 @100644 - - - - 0.0 /n - -\n"
	tr := parse(t, text)
	m := tr.Lookup("m")
	for _, name := range []string{"n", "a", "z"} {
		if tr.Lookup(name) != m {
			t.Errorf("%s is not a name of /m", name)
		}
	}
	if m.Primary() != "/m" {
		t.Errorf("Primary = %q, want /m", m.Primary())
	}
	want := root + "/a 5 @100644 4 0 0 0 0.0 /m hello -\n" +
		"/m 5 100644 4 0 0 0 0.0 - hello -\n" +
		"/n 5 @100644 4 0 0 0 0.0 /m hello -\n" +
		"/z 5 @100644 4 0 0 0 0.0 /m hello -\n"
	if diff := cmp.Diff(want, write(t, tr)); diff != "" {
		t.Errorf("dump (-want +got):\n%s", diff)
	}
	m.SetPrimary("/gone")
	if got := write(t, tr); !strings.Contains(got, "\n/a 5 100644") || strings.Contains(got, "gone") {
		t.Errorf("a Primary that leads nowhere is heeded:\n%s", got)
	}
	m.SetPrimary("")
	if before := parse(t, write(t, tr)).Lookup("m").Primary(); before != "" {
		t.Errorf("Primary = %q where the first name is the one", before)
	}
}

func TestRefuseToWrite(t *testing.T) {
	for _, n := range []*tree.Node{
		{Mode: 0o644},
		{Mode: tree.TypeRegular, Size: 2, Content: []byte("x")},
		{Mode: tree.TypeFifo, Xattrs: []tree.Xattr{{Name: "user.a", Value: strings.Repeat("\xff", 20_000)}}},
	} {
		tr := tree.New()
		tr.Root.SetChild("a", n)
		if err := dumpfile.Write(io.Discard, tr); err == nil || !strings.Contains(err.Error(), `"/a"`) {
			t.Errorf("Write = %v", err)
		}
	}
}

// FuzzParse parses what may be a dump. What is parsed is written and parsed
// again as the same.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{dumps + "/*.dump", "testdata/*/*.dump"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			if text := readFile(f, file); len(text) < 4096 {
				f.Add(text)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		tr, err := dumpfile.Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		first := write(t, tr)
		if second := write(t, parse(t, first)); second != first {
			t.Errorf("first:\n%s\nsecond:\n%s", first, second)
		}
	})
}

// TestBareLinks writes hard links as composefs-rs does, and reads them.
func TestBareLinks(t *testing.T) {
	const text = "/ 0 40755 2 0 0 0 0.0 - - -\n" +
		"/a\\x20b 1 100644 2 5 6 0 7.8 - x - user.k=v\n" +
		"/c 0 @120000 - - - - 0.0 /a\\x20b - -\n"
	tr, err := dumpfile.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	if err := (dumpfile.Options{BareLinks: true}).Write(&got, tr); err != nil || got.String() != text {
		t.Errorf("Write gives %v,\n%swant\n%s", err, got.String(), text)
	}
}
