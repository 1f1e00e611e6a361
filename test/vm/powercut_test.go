package vm_test

import (
	"strings"
	"testing"

	"github.com/bootc-go/bootc/test/vm"
)

// TestPowerCutDuringPull cuts the power while layers are fetched: the machine
// boots what it ran, and the next upgrade works.
func TestPowerCutDuringPull(t *testing.T) {
	s := newStory(t)
	v1 := s.v1(vm.Dracut)
	g := s.installed("machine", v1)
	s.publish(s.derive(v1, "v2"), s.stable())
	// The first object that was not there before: the pull is in the middle.
	g.run(`ls -R /sysroot/composefs/objects | wc -l > /tmp/before
		systemd-run --quiet --unit=pull bootc upgrade
		until [ $(ls -R /sysroot/composefs/objects | wc -l) -gt $(cat /tmp/before) ] || ! systemctl is-active --quiet pull; do :; done`)
	g.cutPower()
	g.on()
	g.wantWhole("1")
	g.wantIn("bootc status --json", `"staged":null`)
	g.wantIn("bootc upgrade", "Queued for next boot")
	g.reboot()
	g.wantWhole("2")
}

// TestPowerCutWhileStaged cuts the power while an update is staged: the machine
// boots what it ran, the update is still staged, and an orderly shutdown
// applies it. Then the machine shows what its FAT makes of a cut.
func TestPowerCutWhileStaged(t *testing.T) {
	s := newStory(t)
	v1 := s.v1(vm.Dracut)
	g := s.installed("machine", v1)
	s.publish(s.derive(v1, "other"), s.stable())
	g.wantIn("bootc upgrade", "Queued for next boot")
	g.cutPower()
	g.on()
	g.wantWhole("1")
	g.wantIn("bootc status --json", `"staged":{`)
	g.want("systemctl is-active bootc-finalize-staged.service", "active")
	g.run("test -e /run/composefs/staged-deployment")
	g.reboot()
	g.wantWhole("other")
	g.testOnFAT()
}

// TestPowerCutDuringFinalize cuts the power while a shutdown applies an update:
// the machine boots a whole system, the old or the new one, and gets to the new
// one in the end.
func TestPowerCutDuringFinalize(t *testing.T) {
	s := newStory(t)
	v1 := s.v1(vm.Dracut)
	g := s.installed("machine", v1)
	s.publish(s.derive(v1, "other"), s.stable())
	g.wantIn("bootc upgrade", "Queued for next boot")
	// The directory in which /etc is merged shows that finalize has begun; then
	// the guest says so on its serial port.
	g.run(`systemd-run --quiet --unit=watch --property=DefaultDependencies=no --property=IgnoreOnIsolate=yes sh -c '
		until ls -d /sysroot/state/deploy/*/etc.new; do :; done; echo LAB-FINALIZING > /dev/ttyS0; sleep infinity'`)
	g.run("systemctl --no-block reboot")
	s.must(g.AwaitSerial(s.ctx, "LAB-FINALIZING"))
	g.cutPower()
	g.on()
	version := g.run("cat /usr/share/lab/version")
	if version != "1" && version != "other" {
		t.Fatalf("the machine runs version %q", version)
	}
	g.wantWhole(version)
	if version == "1" {
		if got := g.run("bootc status --json"); !strings.Contains(got, `"staged":{`) {
			t.Fatalf("the update is not staged any more: %s", got)
		}
		g.reboot()
	}
	g.wantWhole("other")
}
