package vm_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/test/vm"
)

// TestDamage spoils the disk of a machine that has two deployments, as a dying
// disk or an attacker would: a spoiled file cannot be read, with a spoiled image
// the machine boots the other deployment and says why, and what is spoiled is
// named and repaired.
func TestDamage(t *testing.T) {
	s := newStory(t)
	g := s.upgraded(vm.Dracut)

	// One byte of a file that nothing needs.
	const file = "/usr/bin/apt-mark"
	object := objectPath(g.read(file))
	g.flipByte(object, 0)
	g.run("echo 3 > /proc/sys/vm/drop_caches")
	if said := g.mustFail("cat " + file); !strings.Contains(said, "Input/output error") {
		t.Errorf("reading a spoiled file: %q", said)
	}
	g.wantFsck(object)
	g.run("bootc internals fsck --repair")
	g.wantFsck("")
	g.damageESP()

	// One byte of the image, in its last block.
	image := imagePath(g.host().Status.Booted)
	g.flipByte(image, g.blocks(image)-1)
	g.reboot()
	g.wantHandedOver("1", image)
	g.wantFsck(image)
	g.run("bootc internals fsck --repair")
	g.reboot()
	g.wantWhole("other")
	if all := g.host().Status.RejectedImages; len(all) != 0 {
		t.Errorf("rejected after it was repaired: %+v", all)
	}
	g.run("cat " + file)

	// A changed copy without fs-verity in the place of the image, in a
	// repository that says that it needs none.
	g.writeSysroot("cp " + image + " copy && printf x | dd of=copy bs=1 seek=40 conv=notrunc status=none && mv copy " + image)
	g.writeSysroot("cp composefs/meta.json copy && mv copy composefs/meta.json")
	g.reboot()
	g.wantHandedOver("1", image)
	// Whether anything is verified is decided by the command line alone.
	g.run("sed -i '/^options/s/composefs=/composefs=?/' /boot/loader/entries/*-1.conf")
	g.reboot()
	g.want("cat /usr/share/lab/version", "other")
	g.wantIn("bootc status --format=humanreadable", "nothing is verified")
}

// damageESP spoils the kernel, which both deployments share, the entry to go back to,
// and a copy of the boot loader. All of it is named and healed.
func (g *guest) damageESP() {
	g.s.t.Helper()
	entry := g.run("ls /boot/loader/entries/*-0.conf")
	before := g.read(entry)
	kernel := "/boot" + g.run("sed -n 's/^linux *//p' "+entry)
	g.run("set -e; printf x | dd of=" + kernel + " bs=1 seek=5000 conv=notrunc status=none; sed -i 's/^options/0ptions/' " + entry + "; : > /boot/EFI/BOOT/BOOTX64.EFI; sync")
	said := g.mustFail("bootc fsck")
	for _, name := range []string{strings.TrimPrefix(kernel, "/boot/"), strings.TrimPrefix(entry, "/boot/"), "EFI/BOOT/BOOTX64.EFI"} {
		if !strings.Contains(said, "damaged: esp/"+name) {
			g.s.t.Errorf("bootc fsck does not name %s: %s", name, said)
		}
	}
	g.run("bootc fsck --repair")
	g.run("bootc fsck")
	options := func(text string) string {
		_, after, _ := strings.Cut(text, "\noptions ")
		line, _, _ := strings.Cut(after, "\n")
		return line
	}
	if after := g.read(entry); options(after) != options(before) {
		g.s.t.Errorf("the kernel arguments are %q, were %q", options(after), options(before))
	}
	g.run("cmp /boot/EFI/BOOT/BOOTX64.EFI /boot/EFI/systemd/systemd-bootx64.efi")
}

// TestDamageInitramfsTools is the way to the other deployment with
// initramfs-tools, and the end when that is spoiled too.
func TestDamageInitramfsTools(t *testing.T) {
	s := newStory(t)
	g := s.upgraded(vm.InitramfsTools)
	h := g.host()
	image, other := imagePath(h.Status.Booted), imagePath(h.Status.Rollback)
	g.flipByte(image, 0)
	g.reboot()
	g.wantHandedOver("1", image)
	g.flipByte(other, 0)
	g.run("systemctl --no-block reboot")
	s.must(g.AwaitSerial(s.ctx, "there is no other deployment that could be booted"))
}

// upgraded makes a machine that has been upgraded from version 1 to "other".
func (s *story) upgraded(initramfs string) *guest {
	s.t.Helper()
	v1 := s.v1(initramfs)
	g := s.installed("machine", v1)
	s.publish(s.derive(v1, "other"), s.stable())
	g.run("bootc upgrade")
	g.reboot()
	g.wantRunning("other")
	return g
}

// wantHandedOver checks that a version runs because an image could not be
// booted.
func (g *guest) wantHandedOver(version, image string) {
	g.s.t.Helper()
	g.wantRunning(version)
	// The reason is cut for the firmware, so the name may be.
	want := "verifying the image " + strings.TrimPrefix(image, "composefs/")[:20]
	if said := g.run("bootc status --format=humanreadable"); !strings.Contains(said, want) {
		g.s.t.Errorf("bootc status has no %q: %s", want, said)
	}
	if all := g.host().Status.RejectedImages; len(all) != 1 || all[0].Reason != "failed" || !strings.Contains(all[0].Detail, want) {
		g.s.t.Errorf("rejected images: %+v", all)
	}
}

// wantFsck checks that bootc internals fsck names an object, or nothing at all.
func (g *guest) wantFsck(object string) {
	g.s.t.Helper()
	if object == "" {
		g.run("bootc internals fsck")
		return
	}
	if said := g.mustFail("bootc internals fsck"); !strings.Contains(said, strings.TrimPrefix(object, "composefs/")) {
		g.s.t.Errorf("bootc internals fsck does not name %s: %s", object, said)
	}
}

// Paths of objects are below /sysroot.

func objectPath(content string) string {
	return "composefs/objects/" + verity.Sum(verity.SHA512, []byte(content)).ObjectPath()
}

func imagePath(e *bootc.BootEntry) string {
	id := string(e.Composefs.Verity)
	return "composefs/objects/" + id[:2] + "/" + id[2:]
}

// host is what the machine says of itself.
func (g *guest) host() *bootc.Host {
	g.s.t.Helper()
	var h bootc.Host
	g.s.must(json.Unmarshal([]byte(g.run("bootc status --json")), &h))
	return &h
}

// read returns the content of a file.
func (g *guest) read(file string) string {
	g.s.t.Helper()
	r, err := g.Run(g.s.ctx, "cat "+file)
	g.s.must(err)
	g.s.must(r.Failed())
	return r.Stdout
}

// blocks is the number of blocks of a file below /sysroot.
func (g *guest) blocks(file string) int64 {
	g.s.t.Helper()
	size, err := strconv.ParseInt(g.run("stat -c %s /sysroot/"+file), 10, 64)
	g.s.must(err)
	return (size + 4095) / 4096
}

// flipByte changes one byte in a block of a file below /sysroot, on the disk
// itself: the file system does not know.
func (g *guest) flipByte(file string, block int64) {
	g.s.t.Helper()
	g.run(fmt.Sprintf(`set -e
		disk=$(findmnt -no SOURCE /sysroot | head -n 1)
		block=$(debugfs -R "bmap /%s %d" $disk 2> /dev/null)
		[ "$block" -gt 0 ]
		at=$((block * 4096 + 77))
		old=$(dd if=$disk bs=1 skip=$at count=1 status=none | od -An -tu1)
		printf "\\$(printf %%03o $(( (old + 1) %% 256 )))" | dd of=$disk bs=1 seek=$at conv=notrunc status=none
		sync`, file, block))
}

// writeSysroot runs a command in /sysroot, where it can write.
func (g *guest) writeSysroot(command string) {
	g.s.t.Helper()
	g.run("unshare -m sh -ec 'mount -o remount,bind,rw /sysroot; cd /sysroot; " + command + "'; sync")
}
