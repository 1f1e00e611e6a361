package initramfs_test

import (
	"testing"

	"github.com/bootc-go/bootc/internal/front/initramfs"
	"github.com/bootc-go/bootc/internal/linux/efivars"
)

// TestGivesUp reboots only what is on trial, and only if nobody wants the shell.
func TestGivesUp(t *testing.T) {
	f := newFirmware(t, "bootc_debian-13-1.conf")
	if initramfs.GivesUp("rw composefs=x", f.vars.FS()) {
		t.Error("a boot that is not counted is given up")
	}
	f.set("LoaderBootCountPath", efivars.LoaderVendor, `\loader\entries\bootc_debian-13-1+2-1.conf`)
	if !initramfs.GivesUp("rw composefs=x", f.vars.FS()) {
		t.Error("a boot on trial is not given up")
	}
	if initramfs.GivesUp("rw composefs=x rd.break", f.vars.FS()) {
		t.Error("a boot for a shell is given up")
	}
}
