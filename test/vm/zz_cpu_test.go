package vm_test

import (
	"os"
	"testing"

	"github.com/bootc-go/bootc/test/vm"
)

func TestZZCPU(t *testing.T) {
	s := newStory(t)
	base := vm.Disk{Path: os.Getenv("ZZDISK"), Format: "qcow2"}
	disk, err := s.lab.Overlay(s.ctx, s.name("x"), base)
	s.must(err)
	g := s.boot("m", vm.Hardware{Disks: []vm.Disk{disk}})
	t.Log(g.run("dmesg | grep -i sha512; cat /proc/cmdline; systemd-analyze; cat /proc/uptime /proc/stat | head -2"))
	t.Log(g.run("for i in 1 2 3; do echo 3 > /proc/sys/vm/drop_caches; bash -c 'time cat /usr/bin/bootc /usr/lib/modules/*/initramfs.img > /dev/null' 2>&1 | grep real; bash -c 'time cat /usr/bin/bootc /usr/lib/modules/*/initramfs.img > /dev/null' 2>&1 | grep real; done"))
	t.Log(g.run("for i in 1 2 ; do echo 3 > /proc/sys/vm/drop_caches; bash -c 'time bootc --version' 2>&1 | grep -E 'real|user|sys'; bash -c 'time bootc --version' 2>&1 | grep -E 'real|user|sys'; mkdir -p /tmp/g; bash -c 'time /usr/lib/systemd/system-generators/bootc-systemd-generator /tmp/g /tmp/g /tmp/g' 2>&1 | grep -E 'real|user|sys'; done"))
	t.Log(g.run("openssl speed -seconds 1 -evp sha512 2>&1 | tail -2; OPENSSL_ia32cap=0:0 openssl speed -seconds 1 -evp sha512 2>&1 | tail -2; openssl speed -seconds 1 -evp sha256 2>&1 | tail -1; OPENSSL_ia32cap=0:0 openssl speed -seconds 1 -evp sha256 2>&1 | tail -1"))
	t.Log(g.run("systemd-analyze blame | head -30"))
	g.shutdown()
}
