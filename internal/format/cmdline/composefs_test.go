package cmdline_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/cmdline"
)

var (
	idA = strings.Repeat("a", 128)
	idB = strings.Repeat("0b", 64)
)

func TestComposefs(t *testing.T) {
	tests := []struct {
		name, line string
		insecure   bool
		bad        bool
	}{
		{name: "plain", line: "rw composefs=" + idA + " quiet"},
		{name: "insecure", line: "composefs=?" + idA, insecure: true},
		{name: "digest", line: "composefs.digest=v1-sha512-12:" + idA},
		{name: "digest of version 2, insecure", line: "composefs.digest=?v2-sha512-12:" + idA, insecure: true},
		{name: "both agree", line: "composefs=" + idA + " composefs.digest=v1-sha512-12:" + idA},
		{name: "twice", line: "composefs=" + idA + " composefs=" + idA},
		{name: "one of two insecure", line: "composefs=?" + idA + " composefs=" + idA},
		{name: "all insecure", line: "composefs=?" + idA + " composefs.digest=?v1-sha512-12:" + idA, insecure: true},
		{name: "quoted", line: `"composefs=` + idA + `"`},
		{name: "other keys", line: "composefsx=1 xcomposefs=2 composefs.other=3 composefs=" + idA},
		{name: "trailing newline of a UKI", line: "composefs=" + idA + "\n"},

		{name: "two ids", line: "composefs=" + idA + " composefs=" + idB, bad: true},
		{name: "two ids, other key", line: "composefs=" + idA + " composefs.digest=v1-sha512-12:" + idB, bad: true},
		{name: "malformed first", line: "composefs=junk composefs=" + idA, bad: true},
		{name: "malformed second", line: "composefs=" + idA + " composefs=", bad: true},
		{name: "flag", line: "composefs=" + idA + " composefs", bad: true},
		{name: "short", line: "composefs=" + idA[1:], bad: true},
		{name: "long", line: "composefs=" + idA + "a", bad: true},
		{name: "upper case", line: "composefs=" + strings.ToUpper(idA), bad: true},
		{name: "SHA-256", line: "composefs=" + idA[:64], bad: true},
		{name: "two marks", line: "composefs=??" + idA, bad: true},
		{name: "mark behind", line: "composefs=" + idA + "?", bad: true},
		{name: "digest without format", line: "composefs.digest=" + idA, bad: true},
		{name: "digest of SHA-256", line: "composefs.digest=v1-sha256-12:" + idA[:64], bad: true},
		{name: "digest of unknown version", line: "composefs.digest=v3-sha512-12:" + idA, bad: true},
		{name: "NUL in a UKI's line", line: "composefs=" + idA + "\x00", bad: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := cmdline.Composefs(tt.line)
			if tt.bad {
				if err == nil || errors.Is(err, cmdline.ErrNoComposefs) {
					t.Errorf("Composefs = %+v, %v, want a refusal", got, err)
				}
				return
			}
			want := cmdline.Image{ID: bootc.ID(idA), Insecure: tt.insecure}
			if err != nil || got != want {
				t.Errorf("Composefs = %+v, %v, want %+v", got, err, want)
			}
		})
	}
	for _, line := range []string{"", "rw quiet", "composefsdigest=x", `x="composefs=` + idA + `"`} {
		if _, err := cmdline.Composefs(line); !errors.Is(err, cmdline.ErrNoComposefs) {
			t.Errorf("Composefs(%q): %v, want ErrNoComposefs", line, err)
		}
	}
}

func TestSetComposefs(t *testing.T) {
	tests := []struct{ line, want string }{ // want has "?" where that is asked for
		{"", "composefs=" + idB},
		{"rw quiet", "rw quiet composefs=" + idB},
		{"rw composefs=" + idA + " quiet", "rw composefs=" + idB + " quiet"},
		{"rw composefs=?" + idA + " quiet", "rw composefs=" + idB + " quiet"},
		{"rw composefs=" + idA + " quiet", "rw composefs=?" + idB + " quiet"},
		{"composefs=" + idA + " a composefs=?" + idA, "composefs=" + idB + " a"},
		{"a composefs.digest=?v1-sha512-12:" + idA + " b", "a b composefs=?" + idB},
		{"composefs=junk a", "composefs=" + idB + " a"},
		{`a="x`, "composefs=" + idB + ` a="x`},
		{"composefs=" + idA + ` a="x`, "composefs=" + idB + ` a="x`},
	}
	for _, tt := range tests {
		got := cmdline.SetComposefs(tt.line, idB, strings.Contains(tt.want, "=?"))
		if got != tt.want {
			t.Errorf("SetComposefs(%q) = %q, want %q", tt.line, got, tt.want)
		}
		if img, err := cmdline.Composefs(got); err != nil || string(img.ID) != idB {
			t.Errorf("SetComposefs(%q) = %q, which names %v, %v", tt.line, got, img, err)
		}
	}
}

func TestCheckLocal(t *testing.T) {
	for _, arg := range []string{"quiet", "console=ttyS0,115200n8", `dyndbg="file x.c +p"`, "a b", "composefsx=1"} {
		if err := cmdline.CheckLocal(arg); err != nil {
			t.Errorf("CheckLocal(%q) = %v", arg, err)
		}
	}
	for _, arg := range []string{"", " ", "composefs=x", "a composefs=x", "composefs", "composefs.digest=v1", `"composefs=x"`,
		`a="x`, "a\nlinux /evil", "a=\"x\ny\"", "a\x00b", "a=\x7f"} {
		if err := cmdline.CheckLocal(arg); err == nil {
			t.Errorf("CheckLocal(%q) accepts it", arg)
		}
	}
}

func FuzzComposefs(f *testing.F) {
	f.Add("rw composefs="+idA, true)
	f.Add("composefs=?"+idA+` "composefs.digest=v1-sha512-12:`+idA, false)
	f.Add(`a="x composefs=`+idA, false)
	f.Fuzz(func(t *testing.T, line string, insecure bool) {
		img, err := cmdline.Composefs(line)
		if err == nil && len(img.ID) != 128 {
			t.Fatalf("Composefs(%q) = %v", line, img)
		}
		set := cmdline.SetComposefs(line, idB, insecure)
		got, err := cmdline.Composefs(set)
		if err != nil || string(got.ID) != idB || got.Insecure != insecure {
			t.Fatalf("SetComposefs(%q) = %q, which names %v, %v", line, set, got, err)
		}
	})
}
