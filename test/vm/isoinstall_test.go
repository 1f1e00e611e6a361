package vm_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bootc-go/bootc/test/vm"
)

// unattended is the config of a medium that installs by itself. A user shows that what
// the builder adds gets onto the disk.
const unattended = `[customizations.installer]
unattended = true

[[customizations.user]]
name = "core"
groups = ["users"]
home = "/var/home/core"

[[customizations.files]]
path = "/etc/lab-built"
data = "built"
`

// TestISOInstall boots a medium that installs itself to the only disk, without a
// question, and stays in the machine: the firmware starts the disk. Then the medium
// goes, and the machine takes an update.
func TestISOInstall(t *testing.T) {
	s := newStory(t)
	v1 := s.v1(vm.Dracut)
	const name = "iso-installed:stable"
	s.publish(v1, name)
	home := s.home()
	s.must(os.Chmod(home, 0o755))
	config := filepath.Join(home, "config.toml")
	s.must(os.WriteFile(config, []byte(unattended), 0o644))
	dir, err := s.lab.BuildDisk(s.ctx, home, name, nil, "--type", "iso", "--config", config, "--karg", "lab.built=1", "--karg", "console=ttyS0")
	s.must(err)
	medium := vm.Disk{Path: filepath.Join(dir, "disk.iso"), Format: "raw", ReadOnly: true}
	disk := s.disk("disk", "10G")

	g := s.boot("machine", vm.Hardware{Disks: []vm.Disk{medium, disk}})
	g.wantIn("cat /run/bootc/medium.json", `"unattended":true`)
	id := g.run("cat /etc/machine-id")
	start := time.Now()
	s.must(g.AwaitBoot(s.ctx))
	g.tell("installed and restarted in %.0f s", time.Since(start).Seconds())
	g.wantInstalled()
	if again := g.run("cat /etc/machine-id"); again == id {
		t.Errorf("the machine ID %s is that of the running medium", id)
	}
	g.shutdown()

	// Another machine: its firmware has never heard of the disk.
	g = s.boot("alone", vm.Hardware{Disks: []vm.Disk{disk}})
	g.wantInstalled()
	g.wantIn("bootc internals fsck", "status: ok")
	s.publish(s.derive(v1, "v2"), name)
	g.wantIn("bootc upgrade", "Queued for next boot")
	g.reboot()
	g.wantWhole("2")
	g.want("cat /etc/lab-built", "built")
	g.shutdown()
	s.checkDisk(disk)
}

// wantInstalled checks what a medium has installed.
func (g *guest) wantInstalled() {
	g.s.t.Helper()
	g.run("test ! -e /run/bootc/medium.json")
	g.wantRunning("1")
	g.wantIn("findmnt -no OPTIONS /", "verity=require")
	g.wantIn("cat /proc/cmdline", " lab.built=1 ")
	g.mustFail("grep -e root=UUID -e ' ro ' /proc/cmdline")
	g.want("cat /etc/lab-built", "built")
	g.wantIn("id core", "users")
	g.want("stat -c '%a %U' /var/home/core", "700 core")
}
