package upgrade

import (
	"fmt"
	"runtime"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/cmdline"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/bootable"
)

// kargs makes the options line of the new entry: the booted entry's, with the
// changes between the kargs.d of the booted and of the new image, and with the
// new composefs=. Arguments that the owner added stay.
func (p *Plan) kargs(s *staging) (string, error) {
	line, err := p.localLine()
	if err != nil {
		return "", err
	}
	var old []string
	booted := machine.InSlot(p.current, bootc.Booted)
	if booted != nil && booted.Entry != nil && booted.Entry.Options() != "" {
		img, err := p.m.Repo.Image(booted.Origin.Manifest)
		if err != nil {
			return "", fmt.Errorf("reading the booted image: %w", err)
		}
		was, err := bootable.Read(img.Tree, p.m.Repo.ReadFile, runtime.GOARCH)
		if err != nil {
			return "", fmt.Errorf("reading the booted image: %w", err)
		}
		old = was.Kargs
	}
	return cmdline.SetComposefs(cmdline.Delta(line, old, s.system.Kargs), string(s.id), !p.m.Booted.Verity), nil
}

// localLine returns the options of the booted entry. A machine that boots a
// UKI has none: then its new entry starts with rw, as an installed one does.
func (p *Plan) localLine() (string, error) {
	booted := machine.InSlot(p.current, bootc.Booted)
	if booted == nil || booted.Entry == nil {
		return "", fmt.Errorf("the booted deployment has no boot entry")
	}
	if line := booted.Entry.Options(); line != "" {
		return line, nil
	}
	return "rw", nil
}
