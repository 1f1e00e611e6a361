package vm_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bootc-go/bootc/test/vm"
)

// TestEject ejects a disc that is in use, as the system on a medium is at the end of
// its shutdown.
func TestEject(t *testing.T) {
	s := newStory(t)
	path := filepath.Join(s.lab.Out, s.name("disc.iso"))
	s.must(os.WriteFile(path, make([]byte, 4<<20), 0o644))
	disc := vm.Disk{Path: path, Format: "raw", Optical: true}
	s.discard(disc)
	g := s.live("machine", s.v1(vm.Dracut), disc)
	g.run("dd if=/dev/sr0 of=/dev/null bs=2048 count=1 iflag=nonblock,direct && mkdir -p /run/bootc && echo /dev/sr0 > /run/bootc/eject")
	g.run("(/usr/lib/systemd/system-shutdown/bootc-eject-medium reboot) < /dev/sr0")
	// To open a drive closes its tray, unless it is opened so.
	g.mustFail("dd if=/dev/sr0 of=/dev/null bs=2048 count=1 iflag=nonblock,direct")
}
