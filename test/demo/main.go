// Command demo shows the main job on real virtual machines: an image is built,
// installs itself, boots, upgrades and rolls back. "make demo" runs it.
//
// It prints what it does as it does it, and a table of the phases and their
// times at the end. The disk and the serial logs stay in out/demo.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/test/vm"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	s := newScreen(os.Stdout)
	err := demo(ctx, s)
	stop()
	s.table(err)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// demo is the story. The paths are those below the checkout.
func demo(ctx context.Context, s *screen) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	lab, err := vm.Open(ctx, vm.Options{Name: "demo", Log: s.note})
	if err != nil {
		return err
	}
	defer lab.Close()
	d := &run{ctx: ctx, screen: s, lab: lab}
	defer d.off()

	const stable = "debian:stable"
	ref := lab.Registry().Name(stable)
	var v1 *vm.Image
	var v2 func() (*vm.Image, error)
	d.phase("build version 1: Debian 13 with this bootc", func() error {
		base, err := lab.Base(ctx, vm.Dracut)
		if err != nil {
			return err
		}
		v1, err = d.derive(base, "lab")
		return err
	})
	if d.err == nil {
		v2 = d.background(func() (*vm.Image, error) { return d.derive(v1, "v2") })
		defer func() { end(); v2() }()
	}
	d.phase("push version 1 to a registry; version 2 is built meanwhile", func() error { return d.publish(v1, stable) })
	d.phase("an ordinary user makes a disk image of it", func() error { return d.build(stable) })
	d.phase("boot the disk image, beside an empty disk", d.imaged)
	d.phase("the image installs itself", func() error {
		if err := d.machine.WriteFile(ctx, "/run/key.pub", lab.AuthorizedKey()); err != nil {
			return err
		}
		return d.show("bootc install to-disk --source-imgref docker://" + ref + " --root-ssh-authorized-keys /run/key.pub /dev/vdb")
	})
	d.phase("boot from the disk: firmware, systemd-boot, verified root", d.installed)
	d.phase("look at it", func() error {
		return d.show("bootc status --format=humanreadable", "findmnt -no FSTYPE,OPTIONS / | cut -c1-60", "uname -r",
			"echo kept > /etc/motd; echo kept > /var/demo")
	})
	d.phase("push version 2 (FROM version 1, a package, a new kernel); bootc upgrade fetches and stages it", func() error {
		img, err := v2()
		if err != nil {
			return err
		}
		if err := d.publish(img, stable); err != nil {
			return err
		}
		return d.show("bootc upgrade")
	})
	d.phase("reboot into version 2", d.reboot)
	d.phase("look at it again", func() error {
		return d.show("bootc status --format=humanreadable", "uname -r",
			"cat /usr/share/lab/version | grep -x 2", "cat /etc/motd /var/demo | grep -c kept | grep -x 2",
			"grep -x 'from version 2' /etc/lab-changed-by-image", "! ls /usr/share/lab/removed-in-2")
	})
	d.phase("bootc rollback, and reboot into version 1", func() error {
		if err := d.show("bootc rollback"); err != nil {
			return err
		}
		return d.reboot()
	})
	d.phase("version 1 again, and it stays", func() error {
		return d.show("bootc status --format=humanreadable", "grep -x 1 /usr/share/lab/version", "bootc upgrade")
	})
	d.phase("power off", func() error { return d.machine.Shutdown(ctx) })
	if d.err == nil {
		s.note("disk and serial logs: " + lab.Out)
	}
	return d.err
}

// run is the demonstration under way. After an error, phases do nothing.
type run struct {
	ctx     context.Context
	screen  *screen
	lab     *vm.Lab
	home    string // of the ordinary user
	images  string // the directory of disk images
	disk    vm.Disk
	machine *vm.Machine
	err     error
}

func (d *run) phase(name string, do func() error) {
	if d.err != nil {
		return
	}
	done := d.screen.phase(name)
	err := do()
	done(err)
	if err != nil {
		d.err = fmt.Errorf("%s: %w", name, err)
		if d.machine != nil {
			d.screen.text("the end of " + d.machine.SerialLog() + ":\n" + d.machine.SerialTail())
		}
	}
}

// background builds an image while other phases run. The returned function
// waits for it.
func (d *run) background(build func() (*vm.Image, error)) func() (*vm.Image, error) {
	var img *vm.Image
	var err error
	done := make(chan struct{})
	go func() {
		img, err = build()
		close(done)
	}()
	return func() (*vm.Image, error) {
		<-done
		return img, err
	}
}

func (d *run) derive(from *vm.Image, name string) (*vm.Image, error) {
	return d.lab.Derive(d.ctx, from, filepath.Join(d.lab.Root, "test/vm/testdata", name))
}

func (d *run) publish(img *vm.Image, as string) error {
	digest, err := d.lab.Registry().Publish(d.ctx, img, as)
	if err == nil {
		d.screen.note(as + " is now " + digest)
	}
	return err
}

// build makes a disk image of what the registry has under a name.
func (d *run) build(as string) (err error) {
	if d.home, err = os.MkdirTemp("/var/tmp", "bootc-demo-"); err != nil {
		return err
	}
	d.screen.command("bootc build-disk docker://" + d.lab.Registry().HostName(as) + " --root-ssh-authorized-keys …")
	d.images, err = d.lab.BuildDisk(d.ctx, d.home, as, io.Writer(d.screen))
	d.screen.endLine()
	return err
}

// imaged boots the disk image; /dev/vdb is the demo's disk.
func (d *run) imaged() (err error) {
	image, err := d.lab.Overlay(d.ctx, "image", vm.Disk{Path: filepath.Join(d.images, "disk.raw"), Format: "raw"})
	if err != nil {
		return err
	}
	if d.disk, err = d.lab.NewDisk(d.ctx, "disk", "10G"); err != nil {
		return err
	}
	d.machine, err = d.lab.Machine("image", vm.Hardware{Disks: []vm.Disk{image, d.disk}})
	if err != nil {
		return err
	}
	return d.machine.Boot(d.ctx)
}

// installed boots a machine whose only disk is the demo's.
func (d *run) installed() (err error) {
	if err := d.machine.Shutdown(d.ctx); err != nil {
		return err
	}
	d.machine, err = d.lab.Machine("machine", vm.Hardware{Disks: []vm.Disk{d.disk}})
	if err != nil {
		return err
	}
	return d.machine.Boot(d.ctx)
}

func (d *run) reboot() error { return d.machine.Reboot(d.ctx) }

// show runs commands in the machine and shows what they print.
func (d *run) show(commands ...string) error {
	for _, c := range commands {
		d.screen.command(c)
		r, err := d.machine.RunInput(d.ctx, c, nil, io.Writer(d.screen))
		if err != nil {
			return err
		}
		d.screen.endLine()
		if err := r.Failed(); err != nil {
			return err
		}
	}
	return nil
}

func (d *run) off() {
	if d.machine != nil {
		d.machine.PowerCut()
	}
	os.RemoveAll(d.home)
}
