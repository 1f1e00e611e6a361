package vm_test

import (
	"strings"
	"testing"

	"github.com/bootc-go/bootc/test/vm"
)

// TestPlainContainer runs the image as an ordinary container on this computer.
func TestPlainContainer(t *testing.T) {
	s := newStory(t)
	out, err := s.lab.RunContainer(s.ctx, s.v1(vm.Dracut), "sh", "-ec", "cat /usr/share/lab/version; bootc --version; bootc status --format=humanreadable")
	s.must(err)
	if !strings.HasPrefix(out, "1\nbootc ") || !strings.HasSuffix(out, "System is not deployed via bootc.") {
		t.Errorf("in the container: %q", out)
	}
}

// TestPodman runs the image with podman, and installs it from inside its own
// container: what it is made of is known there.
func TestPodman(t *testing.T) {
	s := newStory(t)
	v1 := s.v1(vm.Dracut)
	ref := s.publish(v1, "container:stable")
	disk := s.disk("disk", "10G")
	host := s.live("host", s.derive(v1, "podman"), disk)
	host.want("podman run --quiet --rm "+ref+" cat /usr/share/lab/version", "1")
	host.wantIn("podman run --rm "+ref+" bootc status --format=humanreadable", "System is not deployed via bootc.")
	const install = "podman run --rm --privileged --pid=host -v /dev:/dev -v /var/lib/containers:/var/lib/containers "
	said := host.mustFail("podman run --rm " + ref + " bootc install to-disk /dev/vdb")
	if !strings.Contains(said, "--source-imgref") {
		t.Errorf("without privileges: %q", said)
	}
	host.run(install + "-v /root/.ssh/authorized_keys:/run/keys:ro " + ref +
		" bootc install to-disk --root-ssh-authorized-keys /run/keys /dev/vdb")
	host.shutdown()

	g := s.boot("machine", vm.Hardware{Disks: []vm.Disk{disk}})
	g.wantWhole("1")
	g.wantIn("bootc status --json", `"image":"`+ref+`"`)
	g.wantIn("bootc upgrade", "No changes in")
}
