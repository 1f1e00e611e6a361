package vm_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/bootc-go/bootc/test/vm"
)

// installation is the name that a disk is installed from.
const installation = "os:stable"

// stable is the name that the machine of a story follows. The story moves it to
// other images.
func (s *story) stable() string {
	return strings.ToLower(strings.ReplaceAll(s.t.Name(), "/", "-")) + ":stable"
}

// installed makes a machine that has an image installed, under a name of this
// story's. Nothing has booted from its disk before.
func (s *story) installed(name string, img *vm.Image) *guest {
	s.t.Helper()
	return s.installedOn(vm.Hardware{}, name, img)
}

// installedOn is installed on a machine that has more than a disk.
func (s *story) installedOn(hw vm.Hardware, name string, img *vm.Image) *guest {
	s.t.Helper()
	disk, err := s.lab.Overlay(s.ctx, s.name(name), s.installedDisk(name, img))
	s.must(err)
	s.discard(disk)
	// No key by credential: the machine knows it from its installation.
	hw.Disks = []vm.Disk{disk}
	g := s.boot(name, hw)
	g.follow(img)
	return g
}

// follow makes a machine that runs an image follow the name of this story.
// Disks are shared between stories, and so is the name that they were installed
// from.
func (g *guest) follow(img *vm.Image) {
	g.s.t.Helper()
	g.wantIn("bootc switch "+g.s.publish(img, g.s.stable()), "No reboot is needed")
}

// installedDisk is a disk with an image installed, which all stories of this
// image share.
func (s *story) installedDisk(name string, img *vm.Image) vm.Disk {
	s.t.Helper()
	ref := s.publish(img, installation)
	base, err := s.lab.Installed(s.ctx, img, ref, func(disk vm.Disk) error {
		start := time.Now()
		live, err := s.lab.Live(s.ctx, img)
		if err != nil {
			return err
		}
		m, err := s.lab.Machine(s.name(name+"-install"), vm.Hardware{Live: live, Key: true, Disks: []vm.Disk{live.Disk, disk}})
		if err != nil {
			return err
		}
		defer m.PowerCut()
		if err := m.Boot(s.ctx); err != nil {
			return fmt.Errorf("%w\n%s", err, m.SerialTail())
		}
		r, err := m.Run(s.ctx, "bootc install to-disk --source-imgref docker://"+ref+" --karg lab.installed=1 --root-ssh-authorized-keys /root/.ssh/authorized_keys /dev/vdb")
		if err == nil {
			err = r.Failed()
		}
		if err == nil {
			err = m.Shutdown(s.ctx)
		}
		say(fmt.Sprintf("%s: installed in %.0f s", s.t.Name(), time.Since(start).Seconds()))
		return err
	})
	s.must(err)
	return base
}
