package bls_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/bls"
)

func TestName(t *testing.T) {
	for _, test := range []struct {
		file string
		want bls.Name
		text string // "" for file
	}{
		{"a.conf", bls.Name{Base: "a"}, ""},
		{"bootc_debian-13-1.conf", bls.Name{Base: "bootc_debian-13-1"}, ""},
		{"a+3.conf", bls.Name{Base: "a", Counted: true, Left: 3}, ""},
		{"a+0-3.conf", bls.Name{Base: "a", Counted: true, Done: 3}, ""},
		{"a+2-1.conf", bls.Name{Base: "a", Counted: true, Left: 2, Done: 1}, ""},
		{"a+4-0.conf", bls.Name{Base: "a", Counted: true, Left: 4}, "a+4.conf"},
		{"a+03-007.conf", bls.Name{Base: "a", Counted: true, Left: 3, Done: 7}, "a+3-7.conf"},
		{"a+1+2.conf", bls.Name{Base: "a+1", Counted: true, Left: 2}, ""},
		{"a+2147483647.conf", bls.Name{Base: "a", Counted: true, Left: 2147483647}, ""},
		{"A.CONF", bls.Name{Base: "A"}, "A.conf"},
		// No counters.
		{"a+.conf", bls.Name{Base: "a+"}, ""},
		{"a+x.conf", bls.Name{Base: "a+x"}, ""},
		{"a+1-.conf", bls.Name{Base: "a+1-"}, ""},
		{"a+-1.conf", bls.Name{Base: "a+-1"}, ""},
		{"a+1-2-3.conf", bls.Name{Base: "a+1-2-3"}, ""},
		{"a+2147483648.conf", bls.Name{Base: "a+2147483648"}, ""},
		{"a+99999999999999999999.conf", bls.Name{Base: "a+99999999999999999999"}, ""},
		{"+3.conf", bls.Name{Base: "+3"}, ""},
	} {
		got, err := bls.ParseName(test.file)
		if err != nil || got != test.want {
			t.Errorf("ParseName(%q) = %+v, %v, want %+v", test.file, got, err, test.want)
		}
		if test.text == "" {
			test.text = test.file
		}
		if got.String() != test.text {
			t.Errorf("ParseName(%q).String() = %q, want %q", test.file, got, test.text)
		}
	}
	for _, file := range []string{"", ".conf", "conf", "a.efi", ".a.conf", "auto-windows.conf", "a/b.conf", `a\b.conf`, "a.conf.bak"} {
		if n, err := bls.ParseName(file); err == nil {
			t.Errorf("ParseName(%q) = %+v, want an error", file, n)
		}
	}
}

const text = "# made by hand\ntitle   Debian\t\n\n  linux\t/vmlinuz\r\noptions a  b\nx-unknown y z\ninitrd /one\ninitrd /two\noptions c\nalone\nlinux /last\n"

func parse(t *testing.T, file, text string) bls.Entry {
	t.Helper()
	e, err := bls.Parse(file, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestParse(t *testing.T) {
	e := parse(t, "x+3.conf", text)
	for key, want := range map[string]string{
		"title": "Debian", "linux": "/last", "options": "a  b c", "initrd": "/two",
		"x-unknown": "y z", "alone": "", "Title": "", "#": "",
	} {
		if got := e.Get(key); got != want {
			t.Errorf("Get(%q) = %q, want %q", key, got, want)
		}
	}
	if diff := cmp.Diff([]string{"/one", "/two"}, e.All("initrd")); diff != "" {
		t.Errorf("All(initrd) (-want +got):\n%s", diff)
	}
	want := "# made by hand\ntitle Debian\nlinux /vmlinuz\noptions a  b\nx-unknown y z\ninitrd /one\ninitrd /two\noptions c\nalone\nlinux /last\n"
	if diff := cmp.Diff(want, string(e.Bytes())); diff != "" {
		t.Errorf("Bytes (-want +got):\n%s", diff)
	}
}

func TestSet(t *testing.T) {
	e := parse(t, "x.conf", "title a\noptions b\nx y\noptions c\n")
	kept := e
	e.Set("options", "d")
	e.Set("sort-key", "k")
	e.Set("title", "two\nlines\x00")
	e.Set("x", " ")
	want := "title two lines\noptions d\nsort-key k\n"
	if got := string(e.Bytes()); got != want {
		t.Errorf("after Set: %q, want %q", got, want)
	}
	if got, want := string(kept.Bytes()), "title a\noptions b\nx y\noptions c\n"; got != want {
		t.Errorf("the copy has changed: %q, want %q", got, want)
	}
}

func TestAdd(t *testing.T) {
	e := parse(t, "x.conf", "initrd a\nx y\ninitrd b\noptions c\n")
	kept := e
	e.Add("initrd", "c\nd")
	e.Add("linux", "/k")
	want := "initrd a\nx y\ninitrd b\ninitrd c d\noptions c\nlinux /k\n"
	if got := string(e.Bytes()); got != want {
		t.Errorf("after Add: %q, want %q", got, want)
	}
	if got, want := string(kept.Bytes()), "initrd a\nx y\ninitrd b\noptions c\n"; got != want {
		t.Errorf("the copy has changed: %q, want %q", got, want)
	}
}

// TestSort has one entry a line, in the order of the loader.
func TestSort(t *testing.T) {
	order := []bls.Entry{
		parse(t, "a.conf", "sort-key bootc-debian-0\n"),
		parse(t, "b.conf", "sort-key bootc-debian-1\nversion 99\n"),
		parse(t, "c.conf", "sort-key fedora\nversion 99\n"), // no machine-id comes first
		parse(t, "d.conf", "sort-key fedora\nmachine-id a\nversion 13.10\n"),
		parse(t, "e.conf", "sort-key fedora\nmachine-id a\nversion 13.9\n"),
		parse(t, "z2.conf", "sort-key fedora\nmachine-id a\nversion 13.9~rc1\n"),
		parse(t, "Z1.conf", "sort-key fedora\nmachine-id a\nversion 13.9~rc1\n"),
		parse(t, "f.conf", "sort-key fedora\nmachine-id b\nversion 1\n"),
		parse(t, "g-2.conf", "version 1\n"),
		parse(t, "g-1.conf", "version 2\n"),
		parse(t, "f+5.conf", ""),
		parse(t, "f+3-1.conf", ""),
		parse(t, "f+3-2.conf", ""),
		parse(t, "y+0.conf", "sort-key a\n"),
		parse(t, "x+0-3.conf", "sort-key b\n"),
		parse(t, "z+0.conf", ""),
	}
	var want []string
	for _, e := range order {
		want = append(want, e.Name.String())
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		rnd.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		bls.Sort(order)
		var got []string
		for _, e := range order {
			got = append(got, e.Name.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("order (-want +got):\n%s", diff)
		}
	}
}

// TestCompareVersions has the examples of the specification: each version is
// older than the next.
func TestCompareVersions(t *testing.T) {
	for _, rising := range [][]string{
		{"~1", "", "1"},
		{"11", "11-1"}, {"122.1", "123~rc1-1", "123", "123-a", "123-a.1", "123-1", "123-1.1", "123^post1", "123.a-1", "123.1-1", "123a-1", "124-1"},
		{"a", "ab", "b", "1", "01a", "2", "9", "010", "11"},
		{"0_", "00_1"},
		{"13", "13.0", "13.9", "13.10", "13.10.1"},
		{"1-1^", "1-1^1"},
		{"99999999999999999999998", "099999999999999999999999"},
	} {
		for i, a := range rising {
			for j, b := range rising {
				got := bls.CompareVersions(a, b)
				if i < j && got >= 0 || i == j && got != 0 || i > j && got <= 0 {
					t.Errorf("CompareVersions(%q, %q) = %d", a, b, got)
				}
			}
		}
	}
	for _, equal := range [][2]string{{"123", "0123"}, {"1_2", "1+2"}, {"1.", "1.+"}, {"é1", "1"}, {"00", "0"}} {
		if got := bls.CompareVersions(equal[0], equal[1]); got != 0 {
			t.Errorf("CompareVersions(%q, %q) = %d, want 0", equal[0], equal[1], got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a+2-1.conf", []byte(text))
	f.Add("b.conf", []byte("options\n\r\n \x00\n#\n# x"))
	f.Fuzz(func(t *testing.T, file string, data []byte) {
		e, err := bls.Parse(file, data)
		if err != nil {
			return
		}
		again, err := bls.Parse(e.Name.String(), e.Bytes())
		if err != nil {
			t.Fatalf("reading back %q: %v", e.Name, err)
		}
		if again.Name != e.Name || !bytes.Equal(again.Bytes(), e.Bytes()) {
			t.Errorf("read back %+v %q, want %+v %q", again.Name, again.Bytes(), e.Name, e.Bytes())
		}
		if bls.Compare(e, again) != 0 {
			t.Error("an entry does not sort equal to itself")
		}
		e.Set("sort-key", string(data))
		if _, err := bls.Parse(file, e.Bytes()); err != nil {
			t.Error(err)
		}
	})
}

func FuzzCompareVersions(f *testing.F) {
	f.Add("1.2~rc1", "1.2^a-3", "1")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		ab, ba := bls.CompareVersions(a, b), bls.CompareVersions(b, a)
		if sign(ab) != -sign(ba) {
			t.Errorf("%q and %q compare as %d and %d", a, b, ab, ba)
		}
		if bls.CompareVersions(a, a) != 0 {
			t.Errorf("%q is not equal to itself", a)
		}
		if ab <= 0 && bls.CompareVersions(b, c) <= 0 && bls.CompareVersions(a, c) > 0 {
			t.Errorf("%q ≤ %q ≤ %q, but the first is greater than the last", a, b, c)
		}
	})
}

func sign(n int) int { return max(-1, min(1, n)) }
