package vm_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/test/vm"
)

// TestFailingHealthCheck updates to an image whose health check fails. The
// machine goes back by itself, says why, and does not take the image again.
func TestFailingHealthCheck(t *testing.T) {
	s := newStory(t)
	g := s.updatesTo("unhealthy")
	g.rebootsBackTo("1")
	r := g.wantFailed("/usr/lib/bootc/health.d/10-lab: exit status 3")
	if len(r.Boots) != 3 || len(r.Boots[0].Failures) != 1 || !strings.Contains(r.Boots[0].Failures[0].Output, "the lab's service does not answer") {
		t.Errorf("the evidence: %+v", r.Boots)
	}
}

// TestPowerCutOnTrial cuts the first three boots of a good update off after
// sysinit.target, as many as it has tries: none is lost, and the fourth boot is found
// good.
func TestPowerCutOnTrial(t *testing.T) {
	s := newStory(t)
	g := s.updatesTo("other")
	g.run("systemctl --no-block reboot")
	// The boot that ends has said the same as the one that is waited for.
	s.must(g.AwaitSerial(s.ctx, "reboot: Restarting system"))
	for range 3 {
		s.must(g.AwaitSerial(s.ctx, "Finished bootc-boot-begun.service"))
		g.cutPower()
		s.must(g.On(s.ctx))
	}
	s.must(g.AwaitBoot(s.ctx))
	g.wantRunning("other")
	g.wantIn("journalctl -b -u bootc-boot-begun.service", "its tries are given back (3 of 10 times)")
	g.wantIn("systemctl is-active boot-complete.target", "active")
	g.wantBlessed()
}

// TestHangingService updates to an image with a service that never starts.
func TestHangingService(t *testing.T) {
	s := newStory(t)
	g := s.updatesTo("hanging")
	g.rebootsBackTo("1")
	g.wantFailed("units that were being started: lab-hang.service")
}

// TestBrokenInitramfs has an initramfs that the kernel cannot unpack: it panics.
func TestBrokenInitramfs(t *testing.T) {
	s := newStory(t)
	g := s.updatesTo("other")
	g.MayFail = true
	// A kernel of its own, or the old system would be broken, too.
	g.run(`set -e
		cd /boot
		entry=$(echo loader/entries.staged/*-1+3.conf)
		kernel=$(dirname $(sed -n 's/^initrd //p' $entry))
		cp -r .$kernel .$kernel.9
		head -c 100000 /dev/urandom > .$kernel.9/initrd
		sed -i "s,$kernel/,$kernel.9/," $entry
		cat $entry
		sync`)
	g.rebootsBackTo("1")
	g.wantFailed("none got as far as sysinit.target")
}

// TestBrokenKernel has a kernel that starts and finds itself damaged. The boot
// loader is one that reboots then: Debian's goes back to the firmware, which may
// try something else, or wait for somebody.
func TestBrokenKernel(t *testing.T) {
	s := newStory(t)
	g := s.updatesTo("brokenkernel")
	g.MayFail = true
	const path = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
	loader, err := s.lab.RunContainer(s.ctx, s.derive(s.v1(vm.Dracut), "brokenkernel"), "base64", path)
	s.must(err)
	s.must(g.WriteFile(s.ctx, "/run/loader", loader))
	g.run("base64 -d /run/loader | tee /boot/EFI/systemd/systemd-bootx64.efi > /boot/EFI/BOOT/BOOTX64.EFI; sync")
	g.rebootsBackTo("1")
	g.wantFailed("none got as far as sysinit.target")
}

// TestDyingSystem updates to a system that dies in each of its boots: in an
// emergency shell, by a first process that hangs, and by a panic of its kernel.
// The machine says of each how it died.
func TestDyingSystem(t *testing.T) {
	s := newStory(t)
	g := s.updatesOn(vm.Hardware{Watchdog: true}, "dying")
	g.MayFail = true
	g.rebootsBackTo("1")
	r := g.wantFailed("3 boots came to nothing; the last evidence: ")
	// A machine that is slow to boot after its panic may be reset by the watchdog, too.
	var kinds []string
	for _, b := range r.Boots {
		if len(b.Failures) > 0 {
			kinds = append(kinds, b.Failures[0].Kind)
		}
	}
	if diff := cmp.Diff([]string{"emergency", "watchdog", "panic"}, kinds); diff != "" {
		t.Errorf("the evidence of three boots (-want +got):\n%s\n%+v", diff, r.Boots)
	}
}

// updatesTo is a machine of version 1 with an update staged.
func (s *story) updatesTo(name string) *guest {
	s.t.Helper()
	return s.updatesOn(vm.Hardware{}, name)
}

// updatesOn is updatesTo of a machine that has more than a disk.
func (s *story) updatesOn(hw vm.Hardware, name string) *guest {
	s.t.Helper()
	v1 := s.v1(vm.Dracut)
	g := s.installedOn(hw, "machine", v1)
	g.wantRunning("1")
	g.wantBlessed()
	s.publish(s.derive(v1, name), s.stable())
	g.wantIn("bootc upgrade", "Queued for next boot")
	g.wantIn("ls /boot/loader/entries.staged", "-1+3.conf")
	return g
}

// rebootsBackTo reboots, as often as the machine does it by itself, until a
// version runs again.
func (g *guest) rebootsBackTo(version string) {
	g.s.t.Helper()
	for n := range 5 {
		if n == 0 {
			g.s.must(g.Reboot(g.s.ctx))
		} else {
			g.s.must(g.AwaitBoot(g.s.ctx))
		}
		// A boot that fails may not see the end of a command.
		r, err := g.Run(g.s.ctx, "cat /usr/share/lab/version")
		if err == nil && strings.TrimSpace(r.Stdout) == version {
			g.wantRunning(version)
			return
		}
		g.tell("boot %d is not of version %s", n+1, version)
	}
	g.s.t.Fatalf("version %s does not come back", version)
}

// wantFailed checks that the machine remembers the image that it has left.
func (g *guest) wantFailed(why string) bootc.RejectedImage {
	g.s.t.Helper()
	g.run("bootc status --format=humanreadable --verbose")
	all := g.host().Status.RejectedImages
	if len(all) != 1 || all[0].Reason != "failed" || !strings.Contains(all[0].Detail, why) {
		g.s.t.Fatalf("rejected images %+v, want one that has failed with %q", all, why)
	}
	g.wantIn("bootc status --format=humanreadable", why)
	g.wantIn("bootc upgrade", "bootc upgrade --retry")
	return all[0]
}

// wantBlessed checks that nothing is on trial that runs.
func (g *guest) wantBlessed() {
	g.s.t.Helper()
	if h := g.host(); h.Status.Booted.Trial != nil {
		g.s.t.Fatalf("the booted deployment is on trial: %s", g.run("ls /boot/loader/entries"))
	}
}
