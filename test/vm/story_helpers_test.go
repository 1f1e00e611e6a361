package vm_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bootc-go/bootc/test/vm"
)

// A story is one test and its machines. A step that fails ends the test.
type story struct {
	t   *testing.T
	ctx context.Context
	lab *vm.Lab
}

// newStory skips the test where virtual machines are not asked for. Stories run
// side by side; a machine waits for its place when it is switched on.
func newStory(t *testing.T) *story {
	t.Helper()
	if !*enabled {
		t.Skip("virtual machines are booted with -vm")
	}
	t.Parallel()
	lab, err := theLab()
	if err != nil {
		t.Fatal(err)
	}
	opened = true
	ctx, cancel := context.WithTimeoutCause(background, 40*time.Minute, fmt.Errorf("the story took more than 40 minutes"))
	t.Cleanup(cancel)
	return &story{t: t, ctx: ctx, lab: lab}
}

// name makes the name of a machine or disk of this story.
func (s *story) name(part string) string {
	return strings.ReplaceAll(s.t.Name(), "/", "-") + "-" + part
}

func (s *story) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// v1 is the base image with what the lab adds.
func (s *story) v1(initramfs string) *vm.Image {
	s.t.Helper()
	base, err := s.lab.Base(s.ctx, initramfs)
	s.must(err)
	return s.derive(base, "lab")
}

// derive builds a Containerfile of testdata upon an image.
func (s *story) derive(from *vm.Image, name string, buildArgs ...string) *vm.Image {
	s.t.Helper()
	img, err := s.lab.Derive(s.ctx, from, filepath.Join("testdata", name), buildArgs...)
	s.must(err)
	return img
}

// publish pushes an image and returns the name that machines know it by.
func (s *story) publish(img *vm.Image, as string) string {
	s.t.Helper()
	_, err := s.lab.Registry().Publish(s.ctx, img, as)
	s.must(err)
	return s.lab.Registry().Name(as)
}

// disk makes an empty disk, which goes with the test if it passes.
func (s *story) disk(name, size string) vm.Disk {
	s.t.Helper()
	d, err := s.lab.NewDisk(s.ctx, s.name(name), size)
	s.must(err)
	s.discard(d)
	return d
}

func (s *story) discard(d vm.Disk) {
	s.t.Cleanup(func() {
		if !s.t.Failed() && !*keep {
			os.Remove(d.Path)
		}
	})
}

// live boots an image without installing it; further disks are /dev/vdb and so
// on.
func (s *story) live(name string, img *vm.Image, disks ...vm.Disk) *guest {
	s.t.Helper()
	live, err := s.lab.Live(s.ctx, img)
	s.must(err)
	return s.boot(name, vm.Hardware{Live: live, Key: true, Disks: append([]vm.Disk{live.Disk}, disks...)})
}

// boot puts a machine together and boots it.
func (s *story) boot(name string, hw vm.Hardware) *guest {
	s.t.Helper()
	m, err := s.lab.Machine(s.name(name), hw)
	s.must(err)
	g := &guest{Machine: m, s: s}
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("the end of %s:\n%s", m.SerialLog(), m.SerialTail())
		}
		m.PowerCut()
	})
	g.on()
	return g
}

// A guest is a machine in a story. A command that does not do what is said ends
// the test.
type guest struct {
	*vm.Machine
	s *story
}

func (g *guest) tell(format string, args ...any) {
	say(g.Name() + ": " + fmt.Sprintf(format, args...))
}

// on switches the machine on and waits for it.
func (g *guest) on() {
	g.s.t.Helper()
	start := time.Now()
	g.s.must(g.Boot(g.s.ctx))
	g.tell("booted in %.0f s", time.Since(start).Seconds())
}

// run runs a command that has to succeed and returns what it printed.
func (g *guest) run(command string) string {
	g.s.t.Helper()
	start := time.Now()
	r, err := g.Run(g.s.ctx, command)
	g.s.must(err)
	g.s.must(r.Failed())
	if d := time.Since(start); d > 2*time.Second {
		g.tell("%s: %.0f s", command, d.Seconds())
	}
	return strings.TrimSpace(r.Stdout)
}

// mustFail runs a command that has to fail and returns what it said.
func (g *guest) mustFail(command string) string {
	g.s.t.Helper()
	r, err := g.Run(g.s.ctx, command)
	g.s.must(err)
	if r.Exit == 0 {
		g.s.t.Fatalf("%q succeeded: %s", command, r.Stdout)
	}
	return strings.TrimSpace(r.Stdout + r.Stderr)
}

// want runs a command and compares what it prints.
func (g *guest) want(command, want string) {
	g.s.t.Helper()
	if got := g.run(command); got != want {
		g.s.t.Fatalf("%q printed %q, want %q", command, got, want)
	}
}

// wantIn runs a command and looks for a text in what it prints.
func (g *guest) wantIn(command, want string) {
	g.s.t.Helper()
	if got := g.run(command); !strings.Contains(got, want) {
		g.s.t.Fatalf("%q printed %q, want %q in it", command, got, want)
	}
}

// reboot reboots the guest and waits for it.
func (g *guest) reboot() {
	g.s.t.Helper()
	start := time.Now()
	g.s.must(g.Reboot(g.s.ctx))
	g.tell("rebooted in %.0f s", time.Since(start).Seconds())
}

func (g *guest) shutdown() {
	g.s.t.Helper()
	g.s.must(g.Shutdown(g.s.ctx))
}

// cutPower takes the power away.
func (g *guest) cutPower() {
	g.tell("power cut")
	g.PowerCut()
}
