package cmdline_test

import (
	"testing"

	"github.com/bootc-go/bootc/internal/format/cmdline"
)

func TestWantsShell(t *testing.T) {
	for line, want := range map[string]bool{
		"":                                 false,
		"rw quiet console=ttyS0 panic=30":  false,
		"rw emergency":                     true,
		"1":                                true,
		"x=1 y=emergency":                  false,
		"systemd.unit=rescue.target quiet": true,
		"rd.break=pre-mount":               true,
		"rd.shell":                         true,
		"rd.shell=0":                       false,
	} {
		if got := cmdline.WantsShell(line); got != want {
			t.Errorf("WantsShell(%q) = %v, want %v", line, got, want)
		}
	}
}
