package vm_test

import (
	"fmt"
	"time"

	"github.com/bootc-go/bootc/test/vm"
)

// A machine follows this name; stories move it to other images.
const stable = "os:stable"

// installed makes a machine that has an image installed. Nothing has booted from
// its disk before.
func (s *story) installed(name string, img *vm.Image) *guest {
	s.t.Helper()
	disk, err := s.lab.Overlay(s.ctx, s.name(name), s.installedDisk(name, img))
	s.must(err)
	s.discard(disk)
	// No key by credential: the machine knows it from its installation.
	return s.boot(name, vm.Hardware{Disks: []vm.Disk{disk}})
}

// installedDisk is a disk with an image installed, which all stories of this
// image share.
func (s *story) installedDisk(name string, img *vm.Image) vm.Disk {
	s.t.Helper()
	ref := s.publish(img, stable)
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
