package action_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/install"
	"github.com/bootc-go/bootc/internal/action/upgrade"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/blueprint"
	"github.com/bootc-go/bootc/internal/format/medium"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// newMedium is a machine that stands for a medium: what was added to its /etc and
// /var is there as the builder has put it.
func newMedium(t *testing.T) (*lab, *machine.Medium) {
	t.Helper()
	l := newLabOf(t, "v1", func(l *lab) {
		v1().with(spec{
			"etc/passwd":        "root:x:0:0:root:/root:/bin/sh\n",
			"etc/shadow":        "root:*:1:0:99999:7:::\n",
			"etc/group":         "root:x:0:\nwheel:x:10:\nsudo:x:27:\n",
			"etc/skel/.profile": imagestest.Big("profile", 200),
			"bin/sh":            "shell",
			"var/lib/large":     imagestest.Big("var", 70000),
		}).save(l, "v1")
	})
	m := &machine.Medium{Machine: l.m, Settings: medium.Medium{Kargs: []string{"medium=1"}}}
	return l, m
}

// fromMedium installs what is on a medium to another machine, and boots that.
func fromMedium(t *testing.T, o install.Options) *lab {
	t.Helper()
	n, err := tryMedium(t, o)
	must(t, err)
	n.boot()
	t.Cleanup(n.shut)
	return n
}

func tryMedium(t *testing.T, o install.Options) (*lab, error) {
	t.Helper()
	n := &lab{T: t, dir: t.TempDir(), store: t.TempDir()}
	for _, d := range []string{"sysroot", "esp", "run"} {
		must(t, os.Mkdir(filepath.Join(n.dir, d), 0o755))
	}
	defer n.shut()
	p, err := install.New(t.Context(), o)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	m, err := machine.CreateOn(n.root("sysroot"), n.root("esp"), true)
	must(t, err)
	defer m.Close()
	_, err = p.Fill(t.Context(), m, nil)
	return n, err
}

// TestInstallFromMedium carries over the image, what the medium has in /etc and /var,
// and its kernel arguments. Nobody is asked for anything.
func TestInstallFromMedium(t *testing.T) {
	l, m := newMedium(t)
	l.write("added", imagestest.Big("added", 5000))
	l.write("kept", "changed on the medium")
	must(t, os.Remove(l.etc()+"/removed"))
	must(t, os.Symlink("kept", l.etc()+"/link"))
	must(t, os.Chown(l.etc()+"/added", 12, 34))
	must(t, unix.Chmod(l.etc()+"/added", 0o4750))
	labelled := unix.Setxattr(l.etc()+"/added", "user.label", []byte("x"), 0) == nil
	varDir := filepath.Join(l.dir, "sysroot", deploy.VarPath())
	must(t, os.WriteFile(varDir+"/lib/more", []byte("more"), 0o600))
	before := l.snapshot()

	must(t, os.RemoveAll(l.store+"/v1")) // there is no registry
	n := fromMedium(t, install.Options{Medium: m, Kargs: []string{"more=1"}, Customize: blueprint.Blueprint{
		Users: []blueprint.User{{Key: "user", Name: "core", Password: "secret", SSHKeys: "ssh-ed25519 AAAA", Home: "/var/home/core", Groups: []string{"wheel"}}},
		Files: []blueprint.File{{Node: blueprint.Node{Key: "host name", Path: "/etc/hostname"}, Data: "web1\n"}},
	}})
	l.wantSame(before)
	if n.m.Booted.ID != m.Booted.ID {
		t.Errorf("the deployment is %s, that of the medium %s", n.m.Booted.ID.Short(), m.Booted.ID.Short())
	}
	want := "rw medium=1 more=1 composefs=?" + string(m.Booted.ID) + " quiet image=1"
	if diff := cmp.Diff(want, n.m.Booted.Cmdline); diff != "" {
		t.Errorf("command line (-want +got):\n%s", diff)
	}
	was, err := m.State.Origin(m.Booted.ID)
	must(t, err)
	is, err := n.m.State.Origin(n.m.Booted.ID)
	must(t, err)
	if diff := cmp.Diff(was, is); diff != "" {
		t.Errorf("origin (-medium +disk):\n%s", diff)
	}
	n.wantEtc(map[string]string{
		"added": imagestest.Big("added", 5000), "kept": "changed on the medium", "removed": "", "taken": "image 1", "link": "changed on the medium",
		"hostname": "web1\n", "group": "root:x:0:\nwheel:x:10:core\nsudo:x:27:\ncore:x:1000:\n",
	})
	wantStat(t, n.etc()+"/added", 0o4750, 12, 34)
	if labelled {
		var value [8]byte
		if k, err := unix.Getxattr(n.etc()+"/added", "user.label", value[:]); err != nil || string(value[:k]) != "x" {
			t.Errorf("extended attribute %q, %v", value[:k], err)
		}
	}
	varDir = filepath.Join(n.dir, "sysroot", deploy.VarPath())
	for name, want := range map[string]string{
		"lib/data": "first", "lib/more": "more", "lib/large": imagestest.Big("var", 70000),
		"home/core/.profile": imagestest.Big("profile", 200), "home/core/.ssh/authorized_keys": "ssh-ed25519 AAAA\n",
	} {
		if data, err := os.ReadFile(filepath.Join(varDir, name)); err != nil || string(data) != want {
			t.Errorf("/var/%s has %d bytes, %v, want %d", name, len(data), err, len(want))
		}
	}
	wantStat(t, varDir+"/home/core", 0o700, 1000, 1000)
	wantStat(t, varDir+"/lib/more", 0o600, 0, 0)
}

func wantStat(t *testing.T, name string, mode uint32, uid, gid uint32) {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(name, &st))
	if st.Mode&0o7777 != mode || st.Uid != uid || st.Gid != gid {
		t.Errorf("%s has mode %04o and belongs to %d:%d, want %04o, %d:%d", name, st.Mode&0o7777, st.Uid, st.Gid, mode, uid, gid)
	}
}

// TestUpgradeAfterMedium follows the registry that the medium names.
func TestUpgradeAfterMedium(t *testing.T) {
	l, m := newMedium(t)
	n := fromMedium(t, install.Options{Medium: m, Target: l.ref("v1")})
	v2().save(l, "v1")
	n.store = l.store
	two := n.stage(upgrade.Options{}).ID
	must(t, n.shutdown())
	n.boot()
	if n.m.Booted.ID != two {
		t.Errorf("%s runs, want %s", n.m.Booted.ID.Short(), two.Short())
	}
}

// TestDamagedMedium names the object that is wrong, and leaves no boot entry.
func TestDamagedMedium(t *testing.T) {
	l, m := newMedium(t)
	boots, err := m.Repo.ReadImage(m.Booted.ID)
	must(t, err)
	tool := boots.Lookup("/usr/bin/tool").Object.ObjectPath()
	path := filepath.Join(l.dir, "sysroot/composefs/objects", tool)
	data, err := os.ReadFile(path)
	must(t, err)
	data[len(data)/2] ^= 1
	must(t, os.Remove(path))
	must(t, os.WriteFile(path, data, 0o644))
	n, err := tryMedium(t, install.Options{Medium: m})
	if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(tool, "/", "")) {
		t.Errorf("Fill = %v, want the object %s in it", err, tool)
	}
	if entries, err := os.ReadDir(n.dir + "/esp/loader/entries"); err == nil && len(entries) > 0 {
		t.Errorf("there is a boot entry: %v", entries)
	}
}

// TestMediumRefuses has a medium without an image, and arguments that it cannot have.
func TestMediumRefuses(t *testing.T) {
	l, m := newMedium(t)
	if _, err := tryMedium(t, install.Options{Medium: m, Kargs: []string{"composefs=x"}}); err == nil {
		t.Error("composefs= was taken")
	}
	if _, err := tryMedium(t, install.Options{Medium: m, Device: "/dev/null"}); err == nil || !strings.Contains(err.Error(), "not a block device") {
		t.Errorf("/dev/null as the disk: %v", err)
	}
	l.m.Booted.ID = bootc.ID(strings.Repeat("0", 128))
	if _, err := tryMedium(t, install.Options{Medium: m}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a medium without a deployment: %v", err)
	}
}

// TestAccess finds who can log in.
func TestAccess(t *testing.T) {
	l, m := newMedium(t)
	varDir := filepath.Join(l.dir, "sysroot", deploy.VarPath())
	for _, c := range []struct {
		change func()
		want   []string
	}{
		{func() {}, nil},
		{func() {
			must(t, l.m.State.WriteEtcFile(m.Booted.ID, "tmpfiles.d/bootc-root-ssh.conf", []byte("f~ …"), 0o644))
		}, []string{"root"}},
		{func() {
			l.write("passwd", "root:x:0:0:root:/root:/bin/sh\nold:x:1000:1000::/var/home/old:/bin/sh\nlost:x:1001:1001::/nowhere/there:/bin/sh\n")
			must(t, os.MkdirAll(varDir+"/home/old/.ssh", 0o700))
			must(t, os.WriteFile(varDir+"/home/old/.ssh/authorized_keys", []byte("ssh-ed25519 AAAA\n"), 0o600))
		}, []string{"old", "root"}},
		{func() { must(t, os.Truncate(varDir+"/home/old/.ssh/authorized_keys", 0)) }, []string{"root"}},
		{func() { l.write("shadow", "root:*:1:0:99999:7:::\nlost:$6$a$b:1:0:99999:7:::\n") }, []string{"lost", "root"}},
	} {
		c.change()
		a, err := install.ReadAccess(t.Context(), m)
		must(t, err)
		if diff := cmp.Diff(c.want, a.Names); diff != "" || a.Admin != "wheel" {
			t.Errorf("group %q (-want +got):\n%s", a.Admin, diff)
		}
	}
}
