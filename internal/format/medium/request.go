package medium

import (
	"fmt"

	"github.com/bootc-go/bootc/internal/format/cmdline"
)

// The kernel arguments. They belong to a boot of the medium, never to the machine
// that it installs.
const (
	installKey = "bootc.install"
	endKey     = "bootc.install.end"
)

// A Mode is what a boot of a medium does about installing.
type Mode int

// The modes.
const (
	Offer      Mode = iota // nothing but a word to whoever logs in
	Ask                    // a dialogue on the consoles
	Unattended             // an installation without a question
)

// A Request is what one boot of a medium is to do.
type Request struct {
	Mode   Mode
	Device string // as in [Medium]
	End    End    // not empty
}

// Request joins what the medium says with the kernel command line, which decides.
func (m Medium) Request(line string) (Request, error) {
	r := Request{Device: m.Device, End: m.End}
	if m.Unattended {
		r.Mode = Unattended
	}
	if value, ok := cmdline.Value(line, installKey); ok {
		switch value {
		case "no":
			r.Mode = Offer
		case "ask":
			r.Mode = Ask
		case "auto":
			r.Mode, r.Device = Unattended, ""
		default:
			if err := CheckDevice(value); err != nil {
				return Request{}, fmt.Errorf("kernel argument %s=%s: want a device such as /dev/sda, or auto, ask or no", installKey, value)
			}
			r.Mode, r.Device = Unattended, value
		}
	}
	if value, ok := cmdline.Value(line, endKey); ok {
		var err error
		if r.End, err = ParseEnd(value); err != nil {
			return Request{}, fmt.Errorf("kernel argument %s=%w", endKey, err)
		}
	}
	if r.End == "" {
		r.End = Reboot
	}
	return r, nil
}

// WithoutRequest leaves out of a list of kernel arguments those of this package.
func WithoutRequest(kargs []string) []string {
	var kept []string
	for _, k := range kargs {
		line := cmdline.RemoveKey(cmdline.RemoveKey(k, param(installKey)), param(endKey))
		if line != "" {
			kept = append(kept, line)
		}
	}
	return kept
}

func param(key string) cmdline.Param { return cmdline.Param{Key: key} }
