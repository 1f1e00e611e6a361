package vm_test

import (
	"testing"

	"github.com/bootc-go/bootc/test/vm"
)

// TestArm64 makes a disk image of an image for 64-bit ARM on this computer, and
// boots it.
func TestArm64(t *testing.T) {
	s := newStory(t)
	base, err := s.lab.BaseArm64(s.ctx)
	s.must(err)
	dir := s.buildDisk(s.home(), s.derive(base, "lab"), "--type", "qcow2", "--arch", "arm64")
	g := s.boot("machine", vm.Hardware{Arm64: true, Disks: []vm.Disk{s.imaged(dir, "qcow2")}})
	g.want("uname -m", "aarch64")
	g.wantSealed("1")
	s.must(g.AwaitSerial(s.ctx, "localhost login:"))
	g.wantIn("bootc upgrade", "No changes in")
}
