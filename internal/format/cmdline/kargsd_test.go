package cmdline_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bootc-go/bootc/internal/format/cmdline"
)

// TestKargsD checks the cases that were recorded from upstream on x86_64.
func TestKargsD(t *testing.T) {
	data, err := os.ReadFile("testdata/kargsd.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases map[string]struct {
		Tests string
		Files map[string]string
		Error bool
		Kargs []string
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != 30 {
		t.Errorf("%d cases, want 30", len(cases))
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := cmdline.ParseKargsD(files(c.Files), "amd64")
			if (err != nil) != c.Error {
				t.Fatalf("%s: error %v, want one: %v", c.Tests, err, c.Error)
			}
			if diff := cmp.Diff(c.Kargs, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.Tests, diff)
			}
		})
	}
}

func files(m map[string]string) []cmdline.File {
	var all []cmdline.File
	for name, text := range m {
		all = append(all, cmdline.File{Name: name, Data: []byte(text)})
	}
	return all
}

func TestKargsDRefusals(t *testing.T) {
	for name, text := range map[string]string{
		"composefs":          `kargs = ["quiet", "composefs=?` + idA + `"]`,
		"composefs.digest":   `kargs = ["a composefs.digest=x"]`,
		"quoted composefs":   `kargs = ["\"composefs=x\""]`,
		"line break inside":  `kargs = ["a=\"x\ny\""]`,
		"NUL":                `kargs = ["a\u0000b"]`,
		"kargs missing":      `match-architectures = ["x86_64"]`,
		"architecture typed": "kargs = []\nmatch-architectures = \"x86_64\"",
		"not UTF-8":          "kargs = [\"\xff\"]",
	} {
		_, err := cmdline.ParseKargsD([]cmdline.File{{Name: "10-x.toml", Data: []byte(text)}}, "amd64")
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(text, "composefs") && !strings.Contains(err.Error(), "composefs") {
			t.Errorf("%s: error %q does not name it", name, err)
		}
	}
	if _, err := cmdline.ParseKargsD(nil, "vax"); err == nil {
		t.Error("unknown architecture accepted")
	}
	byArch := []cmdline.File{{Name: "a.toml", Data: []byte("kargs = [\"a\"]\nmatch-architectures = [\"aarch64\"]")}}
	if got, err := cmdline.ParseKargsD(byArch, "arm64"); err != nil || len(got) != 1 {
		t.Errorf("ParseKargsD for arm64 = %q, %v, want [a]", got, err)
	}
}

func TestDelta(t *testing.T) {
	tests := []struct {
		name, line string
		old, next  []string
		want       string
	}{
		{name: "nothing", line: "rw a=1  b", old: []string{"a=1"}, next: []string{"a=1"}, want: "rw a=1  b"},
		{name: "added and dropped", line: "rw local=1 composefs=" + idA + " a=1 b", old: []string{"a=1", "b"}, next: []string{"b", "c"},
			want: "rw local=1 composefs=" + idA + " b c"},
		{name: "another value", line: "rw a=1 b", old: []string{"a=1"}, next: []string{"a=2"}, want: "rw b a=2"},
		{name: "the owner's value stays", line: "rw a=3", old: []string{"a=1"}, next: []string{"a=2"}, want: "rw a=3 a=2"},
		{name: "all of kargs.d dropped", line: "rw a=1 b x", old: []string{"a=1", "b"}, want: "rw x"},
		{name: "order does not matter", line: "rw a b", old: []string{"a", "b"}, next: []string{"b", "a"}, want: "rw a b"},
		{name: "spelling does not matter", line: `rw x-y="1" x_y=1`, old: []string{"x_y=1"}, want: "rw"},
		{name: "a new one that is there", line: "rw quiet", next: []string{"quiet"}, want: "rw quiet"},
		{name: "composefs is not theirs", line: "composefs=" + idA, old: []string{"composefs=" + idA}, next: []string{"composefs=" + idB},
			want: "composefs=" + idA},
	}
	for _, tt := range tests {
		if got := cmdline.Delta(tt.line, tt.old, tt.next); got != tt.want {
			t.Errorf("%s: Delta(%q, %q, %q) = %q, want %q", tt.name, tt.line, tt.old, tt.next, got, tt.want)
		}
	}
}

func FuzzKargsD(f *testing.F) {
	f.Add([]byte(`kargs = ["a=\"x", "b c"]`))
	f.Add([]byte("kargs = [\"ä=ö\"]\nmatch-architectures = []"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := cmdline.ParseKargsD([]cmdline.File{{Name: "f.toml", Data: data}}, "amd64")
		if err != nil {
			return
		}
		for _, k := range got {
			if strings.ContainsAny(k, "\n\x00") || len(cmdline.Split(k)) != 1 {
				t.Fatalf("ParseKargsD(%q) = %q", data, got)
			}
		}
	})
}
