package vm_test

import (
	"strings"
	"testing"

	"github.com/bootc-go/bootc/test/vm"
)

// TestUpgradeAndRollback is the main job with dracut: a machine that was
// installed from an image goes to version 2 and back.
func TestUpgradeAndRollback(t *testing.T) { upgradeAndRollback(t, vm.Dracut) }

// TestUpgradeAndRollbackInitramfsTools is the same with initramfs-tools.
func TestUpgradeAndRollbackInitramfsTools(t *testing.T) { upgradeAndRollback(t, vm.InitramfsTools) }

func upgradeAndRollback(t *testing.T, initramfs string) {
	s := newStory(t)
	v1 := s.v1(initramfs)
	g := s.installed("machine", v1)
	g.wantRunning("1")
	g.wantIn("findmnt -no OPTIONS /", "verity=require")
	g.wantIn("findmnt -no FSTYPE,OPTIONS /", "overlay ro,")
	g.mustFail("touch /usr/file")
	g.mustFail("touch /sysroot/file")
	g.wantIn("cat /proc/cmdline", "lab.installed=1")
	g.run("bootc status --format=yaml; bootc status --format=humanreadable --verbose")
	g.wantIn("bootc upgrade", "No changes in")

	g.run("echo here > /etc/lab-local && echo here > /etc/lab-changed-here && echo data > /var/lab-data")
	s.publish(s.derive(v1, "v2"), s.stable())
	before := g.run(snapshot)
	g.wantIn("bootc upgrade --check", "Update available")
	if after := g.run(snapshot); after != before {
		t.Fatalf("bootc upgrade --check changed the machine:\n%s\nbefore:\n%s", after, before)
	}
	g.wantIn("bootc upgrade", "Queued for next boot")
	g.wantIn("bootc status --json", `"staged":{`)
	g.wantIn("bootc upgrade", "No changes in staged image")
	g.reboot()
	g.wantWhole("2")
	g.wantBlessed()
	g.want("cat /etc/lab-local /etc/lab-changed-here /etc/lab-changed-by-image /var/lab-data", "here\nhere\nfrom version 2\ndata")
	g.mustFail("ls /usr/share/lab/removed-in-2")
	g.run("test -e /usr/share/lab/new-in-2 && tree --version")
	g.wantIn("cat /proc/cmdline", "lab.installed=1")

	g.wantIn("bootc rollback", "Next boot: rollback deployment")
	g.reboot()
	g.wantRunning("1")
	g.want("cat /etc/lab-changed-by-image /var/lab-data", "from version 1\ndata")
	g.wantIn("bootc upgrade", "bootc upgrade --retry")
	g.wantIn("bootc upgrade --retry", "Queued for next boot")
	out := g.run("bootc rollback")
	if !strings.Contains(out, "The staged update is dropped") {
		t.Fatalf("bootc rollback with an update staged printed %q", out)
	}
	g.wantIn("bootc status --json", `"staged":null`)
}

// snapshot lists what an operation that fails or only looks must not change.
const snapshot = `cd /sysroot && find state composefs/streams composefs/images -printf '%p %l %s\n' | sort; cat state/bootc/* 2>/dev/null; find /boot -type f -printf '%p %s\n' | sort; cat /boot/loader/entries/*`

// wantRunning checks that the machine runs one version and nothing of another.
func (g *guest) wantRunning(version string) {
	g.s.t.Helper()
	g.want("cat /usr/share/lab/version", version)
	g.want("systemctl is-system-running --wait || systemctl --failed --no-legend", "running")
	g.wantIn("bootc status --booted --json", `"version":"`+version+`"`)
	g.run("test \"$(uname -r)\" = \"$(cd /usr/lib/modules && ls)\"")
	g.run("touch /etc/lab-writable /var/lab-writable && rm /etc/lab-writable /var/lab-writable")
}

// wantWhole is wantRunning, and reads every object of the system, so that every
// one is verified. An emulated machine takes half a minute for it.
func (g *guest) wantWhole(version string) {
	g.s.t.Helper()
	g.wantRunning(version)
	g.run("find /usr /etc -xdev -type f -exec cat {} + > /dev/null")
}

// TestSwitch follows another image, and then another name of the same one.
func TestSwitch(t *testing.T) {
	s := newStory(t)
	v1 := s.v1(vm.Dracut)
	g := s.installed("machine", v1)
	other := s.publish(s.derive(v1, "other"), "other:latest")
	g.run("echo data > /var/lab-data")
	g.wantIn("bootc switch "+other, "Queued for next boot: "+other)
	g.reboot()
	g.wantRunning("other")
	g.want("cat /var/lab-data", "data")
	g.wantIn("bootc switch "+other, "Image specification is unchanged.")
	again := s.publish(s.derive(v1, "other"), "other:again")
	g.wantIn("bootc switch "+again, "No reboot is needed")
	g.wantIn("bootc status --json", `"image":"`+again+`"`)
}

// TestUpdateService lets a machine update itself, as its timer would.
func TestUpdateService(t *testing.T) {
	s := newStory(t)
	v1 := s.v1(vm.Dracut)
	g := s.installed("machine", v1)
	s.publish(s.derive(v1, "other"), s.stable())
	g.run("systemctl cat bootc-fetch-apply-updates.timer")
	s.must(g.RebootBy(s.ctx, "systemctl start --no-block bootc-fetch-apply-updates.service"))
	g.wantRunning("other")
}
