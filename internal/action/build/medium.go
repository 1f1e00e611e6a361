package build

import (
	"fmt"
	"slices"
	"strings"

	mediumfile "github.com/bootc-go/bootc/internal/format/medium"
)

// mediumTypes are the types that install, instead of being what was installed.
func mediumTypes() []string { return []string{"iso", "pxe"} }

// Medium is what the media of the plan are told about installing: the content of
// medium.json (docs/formats/medium.md).
func (p *Plan) Medium() mediumfile.Medium {
	want := p.Options.Customize.Installer
	m := mediumfile.Medium{
		Unattended: want.Unattended, Device: want.Device, Kargs: mediumfile.WithoutRequest(p.Options.Install.Kargs),
	}
	if want.PowerOff {
		m.End = mediumfile.PowerOff
	}
	return m
}

// checkInstaller refuses what is said about installing where nothing installs.
func (o *Options) checkInstaller() error {
	installs := func(name string) bool { return slices.Contains(mediumTypes(), name) }
	key := o.Customize.Installer.Key
	if key == "" || slices.ContainsFunc(o.Types, installs) {
		return nil
	}
	return fmt.Errorf("%s: is for installers (types %s), and the type is %s", key, strings.Join(mediumTypes(), ", "), strings.Join(o.Types, ", "))
}
