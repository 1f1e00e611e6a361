package vm_test

import "testing"

// TestLive boots the base image without installing it: the image itself is
// sound, and the lab works.
func TestLive(t *testing.T) {
	for _, initramfs := range initramfses {
		t.Run(initramfs, func(t *testing.T) {
			s := newStory(t)
			live := s.live("live", s.v1(initramfs))
			live.want("findmnt -no SOURCE /", "/dev/vda")
			live.want("systemctl is-system-running --wait", "running")
			live.want("cat /usr/share/lab/version", "1")
			live.mustFail("ls /boot/*")
			// dpkg's database is in /usr and whole.
			live.want("readlink -f /var/lib/dpkg", "/usr/lib/sysimage/dpkg")
			live.run("dpkg --audit")
			live.run("dpkg-query -W -f='${Status}\n' systemd | grep -qx 'install ok installed'")
			live.shutdown()
		})
	}
}
