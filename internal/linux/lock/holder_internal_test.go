package lock

import (
	"slices"
	"testing"
)

func TestCommand(t *testing.T) {
	for in, want := range map[string]string{
		"/usr/bin/bootc\x00upgrade\x00--quiet\x00":       "bootc upgrade",
		"bootc\x00internals\x00health\x00bless\x00":      "bootc internals health bless",
		"bootc\x00switch\x00--transport\x00oci\x00x\x00": "bootc switch",
		"bootc\x00switch\x00a\x1b[31m\x00":               "bootc switch a?[31m",
		"":                                               ".",
		"a\x00b\x00c\x00d\x00e\x00f\x00g\x00":            "a b c d e",
	} {
		if got := command([]byte(in)); got != want {
			t.Errorf("command(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestHolding(t *testing.T) {
	const table = `1: OFDLCK ADVISORY  READ -1 fe:00:77 203 203
2: FLOCK  ADVISORY  WRITE 812 00:1a:77 0 EOF
2: -> FLOCK  ADVISORY  WRITE 813 00:1a:77 0 EOF
3: FLOCK  ADVISORY  READ 9 fe:00:177 0 EOF
4: FLOCK  ADVISORY  READ 8 fe:00:77 0 EOF
5: FLOCK  ADVISORY  READ 8 fe:00:77 0 EOF
`
	for file, want := range map[string][]int{"00:1a:77": {812}, "fe:00:77": {8}, ":77": {8, 812}, "fe:01:77": nil} {
		if got := holding(table, file); !slices.Equal(got, want) {
			t.Errorf("holding %s: %v, want %v", file, got, want)
		}
	}
}

func TestUnit(t *testing.T) {
	for in, want := range map[string]string{
		"0::/system.slice/bootc-fetch-apply-updates.service\n":           "bootc-fetch-apply-updates.service",
		"1:name=systemd:/x\n0::/system.slice/web.service/payload\n":      "web.service",
		"0::/user.slice/user-0.slice/session-1.scope\n":                  "",
		"0::/user.slice/user-0.slice/user@0.service/app.slice/x.service": "",
		"0::/system.slice/tmp.mount\n":                                   "",
		"":                                                               "",
	} {
		if got := unit(in); got != want {
			t.Errorf("unit(%q) = %q, want %q", in, got, want)
		}
	}
}
