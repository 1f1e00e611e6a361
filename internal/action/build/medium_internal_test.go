package build

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/action/install"
	"github.com/bootc-go/bootc/internal/format/blueprint"
	mediumfile "github.com/bootc-go/bootc/internal/format/medium"
)

func TestMedium(t *testing.T) {
	p := &Plan{Options: Options{
		Install:   install.Options{Kargs: []string{"console=ttyS0", "bootc.install=ask"}},
		Customize: blueprint.Blueprint{Installer: blueprint.Installer{Key: "k", Unattended: true, Device: "/dev/vda", PowerOff: true}},
	}}
	want := mediumfile.Medium{Unattended: true, Device: "/dev/vda", End: mediumfile.PowerOff, Kargs: []string{"console=ttyS0"}}
	if diff := cmp.Diff(want, p.Medium()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCheckInstaller names the key where no type installs.
func TestCheckInstaller(t *testing.T) {
	o := Options{Customize: blueprint.Blueprint{Installer: blueprint.Installer{Key: "customizations.installer.unattended"}}}
	for types, refused := range map[string]bool{"raw": true, "raw,qcow2": true, "iso": false, "pxe": false, "raw,iso": false} {
		o.Types = strings.Split(types, ",")
		err := o.checkInstaller()
		if (err != nil) != refused || err != nil && !strings.HasPrefix(err.Error(), "customizations.installer.unattended: ") {
			t.Errorf("%s: %v", types, err)
		}
	}
	o.Types, o.Customize.Installer.Key = []string{"raw"}, ""
	if err := o.checkInstaller(); err != nil {
		t.Error(err)
	}
}
