package medium_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/medium"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]medium.Medium{
		`{"version":1}`:                              {},
		"{\"version\":1}\n":                          {},
		`{"version":1,"unattended":true}`:            {Unattended: true},
		`{"version":1,"device":"/dev/disk/by-id/x"}`: {Device: "/dev/disk/by-id/x"},
		`{"version":1,"unattended":true,"device":"/dev/vda","end":"poweroff","kargs":["console=ttyS0","a=\"b c\""]}`: {
			Unattended: true, Device: "/dev/vda", End: medium.PowerOff, Kargs: []string{"console=ttyS0", `a="b c"`},
		},
	} {
		got, err := medium.Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
		data, err := got.Bytes()
		if err != nil || strings.TrimSpace(string(data)) != strings.TrimSpace(text) {
			t.Errorf("Bytes = %s, %v, want %s", data, err, text)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		``:                                           "EOF",
		`{}`:                                         "version 0 is not supported",
		`{"version":2}`:                              "version 2 is not supported, only 1 is",
		`{"version":1,"unattend":true}`:              `unknown field "unattend"`,
		`{"version":1,"unattended":"true"}`:          "cannot unmarshal",
		`{"version":1} {}`:                           "something follows",
		`{"version":1,"device":"vda"}`:               `device: "vda" is not a path below /dev`,
		`{"version":1,"device":"/dev/../x"}`:         "is not a path below /dev",
		`{"version":1,"device":"/dev/a b"}`:          "has a blank",
		`{"version":1,"end":"halt"}`:                 `end: "halt": want reboot or poweroff`,
		`{"version":1,"kargs":["composefs=x"]}`:      "kargs: kernel argument",
		`{"version":1,"kargs":[""]}`:                 "kargs: kernel argument is empty",
		`{"version":1}` + strings.Repeat(" ", 1<<16): "65549 bytes",
	} {
		if m, err := medium.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %+v, %v, want %q in it", text, m, err, want)
		}
	}
	if _, err := (medium.Medium{Device: "x"}).Bytes(); err == nil {
		t.Error("a medium that cannot be read is written")
	}
}

func TestRequest(t *testing.T) {
	plain, auto := medium.Medium{}, medium.Medium{Unattended: true, Device: "/dev/vda", End: medium.PowerOff}
	for _, c := range []struct {
		m    medium.Medium
		line string
		want medium.Request
	}{
		{plain, "quiet", medium.Request{Mode: medium.Offer, End: medium.Reboot}},
		{plain, "bootc.install=/dev/sda quiet", medium.Request{Mode: medium.Unattended, Device: "/dev/sda", End: medium.Reboot}},
		{plain, "bootc.install=auto bootc.install.end=poweroff", medium.Request{Mode: medium.Unattended, End: medium.PowerOff}},
		{plain, "bootc.install=ask", medium.Request{Mode: medium.Ask, End: medium.Reboot}},
		{auto, "", medium.Request{Mode: medium.Unattended, Device: "/dev/vda", End: medium.PowerOff}},
		{auto, "bootc.install=no", medium.Request{Mode: medium.Offer, Device: "/dev/vda", End: medium.PowerOff}},
		{auto, "bootc.install=ask bootc.install.end=reboot", medium.Request{Mode: medium.Ask, Device: "/dev/vda", End: medium.Reboot}},
		{auto, "bootc.install=auto", medium.Request{Mode: medium.Unattended, End: medium.PowerOff}},
	} {
		got, err := c.m.Request(c.line)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", c.line, err, diff)
		}
	}
	for _, line := range []string{"bootc.install=", "bootc.install=vda", "bootc.install=yes", "bootc.install.end=halt"} {
		if r, err := auto.Request(line); err == nil || !strings.Contains(err.Error(), "kernel argument bootc.install") {
			t.Errorf("%q: %+v, %v, want an error", line, r, err)
		}
	}
}

func TestWithoutRequest(t *testing.T) {
	got := medium.WithoutRequest([]string{"a", "bootc.install=ask", "b bootc.install.end=poweroff c", "bootc.installer=x"})
	if diff := cmp.Diff([]string{"a", "b c", "bootc.installer=x"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`{"version":1,"unattended":true,"device":"/dev/vda","end":"poweroff","kargs":["a=\"b c\""]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := medium.Parse(data)
		if err != nil {
			return
		}
		again, err := m.Bytes()
		if err != nil {
			t.Fatalf("%+v cannot be written: %v", m, err)
		}
		back, err := medium.Parse(again)
		if err != nil {
			t.Fatalf("%s cannot be read again: %v", again, err)
		}
		if len(m.Kargs) == 0 {
			m.Kargs = nil // [] is left out
		}
		if diff := cmp.Diff(m, back); diff != "" {
			t.Errorf("(-first +again):\n%s", diff)
		}
	})
}
