package initramfs_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/cmdline"
	"github.com/bootc-go/bootc/internal/front/initramfs"
	"github.com/bootc-go/bootc/internal/linux/mount"
)

// private runs the test again in a mount namespace of its own and reports
// whether this is that run. There all mounts spread, as under systemd.
func private(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	if _, err := exec.LookPath("mkfs.erofs"); err != nil {
		t.Skip("mkfs.erofs is not installed")
	}
	if os.Getenv("INITRAMFS_TEST_PRIVATE") != "" {
		must(t, unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""))
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "INITRAMFS_TEST_PRIVATE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	if strings.Contains(string(out), "--- SKIP") {
		t.Skip("skipped in its own mount namespace")
	}
	return false
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644))
}

var id = strings.Repeat("5a", 64)

const content = "content of the object\n"

// image writes an image with one file in the objects; change may add to its
// tree.
func image(t *testing.T, sysroot string, change func(tree string)) {
	t.Helper()
	tree := t.TempDir()
	for _, d := range []string{"etc", "var", "sysroot", "usr"} {
		must(t, os.Mkdir(filepath.Join(tree, d), 0o755))
	}
	write(t, filepath.Join(tree, "etc/from"), "the image")
	file := filepath.Join(tree, "usr/file")
	write(t, file, "")
	must(t, os.Truncate(file, int64(len(content))))
	for attr, value := range map[string]string{"trusted.overlay.metacopy": "", "trusted.overlay.redirect": "/ab/cdef"} {
		if err := unix.Setxattr(file, attr, []byte(value), 0); err != nil {
			t.Skipf("the file system of %s does not take %s: %v", tree, attr, err)
		}
	}
	if change != nil {
		change(tree)
	}
	objects := filepath.Join(sysroot, "composefs/objects")
	write(t, filepath.Join(objects, "ab/cdef"), content)
	must(t, os.MkdirAll(filepath.Join(objects, id[:2]), 0o755), os.MkdirAll(filepath.Join(sysroot, "composefs/images"), 0o755),
		os.Symlink("../objects/"+id[:2]+"/"+id[2:], filepath.Join(sysroot, "composefs/images", id)))
	if out, err := exec.Command("mkfs.erofs", filepath.Join(objects, id[:2], id[2:]), tree).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.erofs: %v\n%s", err, out)
	}
}

// machine makes a physical root and mounts it read-only, as it is when the
// kernel command line has no rw. It returns where.
func machine(t *testing.T, change func(tree string)) string {
	t.Helper()
	sysroot := t.TempDir()
	tmp, err := mount.Tmpfs("mode=0755")
	must(t, err)
	defer tmp.Close()
	must(t, mount.Attach(tmp, sysroot))
	t.Cleanup(func() {
		for mount.Detach(sysroot) == nil {
		}
	})
	image(t, sysroot, change)
	deploy := filepath.Join(sysroot, "state/deploy", id)
	write(t, filepath.Join(deploy, "etc/from"), "the deployment")
	write(t, filepath.Join(sysroot, "state/os/default/var/from"), "the machine")
	must(t, os.Symlink("../../os/default/var", filepath.Join(deploy, "var")))
	must(t, unix.Mount("", sysroot, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	return sysroot
}

// setup runs Setup and checks that it leaves nothing in /run.
func setup(t *testing.T, o initramfs.Options) error {
	t.Helper()
	var log strings.Builder
	o.Log = &log
	if o.Cmdline == "" {
		o.Cmdline = "quiet composefs=?" + id
	}
	medium, err := initramfs.Setup(o)
	t.Logf("%s%v", log.String(), err)
	if medium {
		t.Error("the physical root is taken for a medium")
	}
	left, globErr := filepath.Glob("/run/bootc-*")
	if globErr != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, globErr)
	}
	for _, place := range places(t) {
		if strings.HasPrefix(place, "/run/bootc-") {
			t.Errorf("left mounted: %s", place)
		}
	}
	return err
}

func mounts(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	return string(data)
}

// places lists where something is mounted.
func places(t *testing.T) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(mounts(t)) {
		all = append(all, strings.Fields(line)[4])
	}
	return all
}

// find returns device and options of the mount at a place, "" for none. Two
// mounts on one place are an error.
func find(t *testing.T, place string) string {
	t.Helper()
	found := ""
	for line := range strings.Lines(mounts(t)) {
		f := strings.Fields(line)
		if f[4] != place {
			continue
		}
		if found != "" {
			t.Errorf("%s is mounted twice", place)
		}
		for i, s := range f {
			if s == "-" {
				found = f[i+2] + " " + strings.Split(f[5], ",")[0]
			}
		}
	}
	return found
}

func requireText(t *testing.T, name, want string) {
	t.Helper()
	if got, err := os.ReadFile(name); err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v, want %q", name, got, err, want)
	}
}

func writable(name string) error { return os.WriteFile(name+"/new", []byte("new"), 0o644) }

func requireWritable(t *testing.T, want bool, dirs ...string) {
	t.Helper()
	for _, d := range dirs {
		err := writable(d)
		if want && err != nil || !want && !errors.Is(err, unix.EROFS) {
			t.Errorf("writing in %s: %v, want it writable: %t", d, err, want)
		}
	}
}

func TestSetup(t *testing.T) {
	if !private(t) {
		return
	}
	root := machine(t, nil)
	must(t, setup(t, initramfs.Options{Sysroot: root}))
	if got := find(t, root); got != "composefs:"+id+" ro" {
		t.Errorf("the root is %q", got)
	}
	requireText(t, root+"/usr/file", content)
	requireText(t, root+"/etc/from", "the deployment")
	requireText(t, root+"/var/from", "the machine")
	requireWritable(t, true, root+"/etc", root+"/var")
	requireWritable(t, false, root, root+"/usr", root+"/sysroot")
	requireText(t, root+"/sysroot/state/deploy/"+id+"/etc/new", "new")
	requireText(t, root+"/sysroot/state/os/default/var/new", "new")
}

// TestRepositoryStays: nothing in the repository changes, not even a time.
func TestRepositoryStays(t *testing.T) {
	if !private(t) {
		return
	}
	root := machine(t, nil)
	before := states(t, root+"/composefs")
	must(t, setup(t, initramfs.Options{Sysroot: root}))
	if diff := cmp.Diff(before, states(t, root+"/sysroot/composefs")); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// TestUnverified: without "?" an image without the right fs-verity digest does
// not boot, whatever else is on the disk.
func TestUnverified(t *testing.T) {
	if !private(t) {
		return
	}
	root := machine(t, nil)
	for _, line := range []string{
		"composefs=" + id, "composefs=?" + id + " composefs=" + id, "composefs.digest=v1-sha512-12:" + id,
	} {
		if err := setup(t, initramfs.Options{Sysroot: root, Cmdline: line}); err == nil || !strings.Contains(err.Error(), "verifying") {
			t.Errorf("%s: %v, want a refusal to verify", line, err)
		}
		requireText(t, root+"/state/deploy/"+id+"/etc/from", "the deployment")
		if got := find(t, root); !strings.HasPrefix(got, "tmpfs") {
			t.Errorf("%s: %q is mounted", line, got)
		}
	}
}

func TestModes(t *testing.T) {
	if !private(t) {
		return
	}
	tests := []struct {
		name, config, line string
		etc, variable      string // what they hold; "" for nothing
		rootMount          string
		etcMount           string
		kept               bool // whether a new file in /etc outlives the boot
		writable           bool
	}{
		{name: "root transient", config: "[root]\ntransient = true\n", etc: "the deployment", variable: "the machine",
			rootMount: "transient:composefs=" + id + " rw", kept: true, writable: true},
		{name: "etc overlay", config: "[etc]\nmount = \"overlay\"", etc: "the image", variable: "the machine", etcMount: "overlay rw"},
		{name: "etc transient", config: "[etc]\ntransient = true", etc: "the image", variable: "the machine", etcMount: "transient rw"},
		{name: "etc volatile, var none", config: "[etc]\nmount = \"volatile\"\n[var]\nmount = \"root\"", etc: "the image", etcMount: "transient rw"},
		{name: "mount wins", config: "[etc]\nmount = \"bind\"\ntransient = true\n[later]\nkey = 1", etc: "the deployment", variable: "the machine", kept: true},
		{name: "systemd.volatile", line: " systemd.volatile=state", etc: "the deployment", kept: true},
		{name: "systemd.volatile, var asked for", config: "[var]\nmount = \"bind\"", line: " systemd.volatile=overlay",
			etc: "the deployment", variable: "the machine", kept: true},
		{name: "root and etc transient", config: "[root]\ntransient = true\n[etc]\ntransient = true", etc: "the image", variable: "the machine",
			rootMount: "transient:composefs=" + id + " rw", etcMount: "transient rw", writable: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := machine(t, nil)
			config := filepath.Join(t.TempDir(), "conf.toml")
			write(t, config, tt.config)
			must(t, setup(t, initramfs.Options{Sysroot: root, Config: config, Cmdline: "composefs=?" + id + tt.line}))
			requireText(t, root+"/etc/from", tt.etc)
			if tt.variable != "" {
				requireText(t, root+"/var/from", tt.variable)
				requireWritable(t, true, root+"/var")
			} else if got := find(t, root+"/var"); got != "" {
				t.Errorf("/var is %q", got)
			}
			if want := tt.rootMount; want != "" && find(t, root) != want {
				t.Errorf("/ is %q, want %q", find(t, root), want)
			}
			if want := tt.etcMount; want != "" && find(t, root+"/etc") != want {
				t.Errorf("/etc is %q, want %q", find(t, root+"/etc"), want)
			}
			requireWritable(t, true, root+"/etc")
			requireWritable(t, tt.writable, root+"/usr")
			if _, err := os.Stat(root + "/sysroot/state/deploy/" + id + "/etc/new"); (err == nil) != tt.kept {
				t.Errorf("a new file in /etc on the disk: %v, want it there: %t", err, tt.kept)
			}
		})
	}
}

// TestTarget puts the root elsewhere, as for a soft reboot.
func TestTarget(t *testing.T) {
	if !private(t) {
		return
	}
	root, target := machine(t, nil), t.TempDir()
	must(t, setup(t, initramfs.Options{Sysroot: root, Target: target}))
	t.Cleanup(func() { mount.Detach(target) })
	requireText(t, target+"/usr/file", content)
	requireText(t, target+"/etc/from", "the deployment")
	requireText(t, root+"/state/os/default/var/from", "the machine")
}

func TestRootFS(t *testing.T) {
	if !private(t) {
		return
	}
	root, other := machine(t, nil), t.TempDir()
	for _, d := range []string{"etc", "var"} {
		must(t, os.Mkdir(other+"/"+d, 0o755))
	}
	write(t, other+"/hello", "other")
	must(t, setup(t, initramfs.Options{Sysroot: root, RootFS: other}))
	requireText(t, root+"/hello", "other")
	requireText(t, root+"/etc/from", "the deployment")
	if _, err := os.Stat(root + "/sysroot"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("/sysroot in a root that has none: %v", err)
	}
}

// TestHostile: neither image nor disk lead a mount or a look out of the tree.
func TestHostile(t *testing.T) {
	if !private(t) {
		return
	}
	for name, change := range map[string]func(tree string){
		"etc is a link in the image": func(tree string) {
			must(t, os.RemoveAll(tree+"/etc"), os.Symlink("/tmp", tree+"/etc"))
		},
		"sysroot is a link in the image": func(tree string) {
			must(t, os.RemoveAll(tree+"/sysroot"), os.Symlink("../../tmp", tree+"/sysroot"))
		},
		"var is a file in the image": func(tree string) {
			must(t, os.RemoveAll(tree+"/var"), os.WriteFile(tree+"/var", nil, 0o644))
		},
	} {
		root := machine(t, change)
		before := places(t)
		if err := setup(t, initramfs.Options{Sysroot: root}); err == nil {
			t.Errorf("%s: no error", name)
		}
		if diff := cmp.Diff(before, places(t)); diff != "" {
			t.Errorf("%s: mounts (-before +after):\n%s", name, diff)
		}
	}
	root := machine(t, nil)
	must(t, unix.Mount("", root, "", unix.MS_REMOUNT, ""))
	deploy := root + "/state/deploy/" + id
	must(t, os.Remove(deploy+"/var"), os.Symlink("/../../../../../../etc", deploy+"/var"))
	write(t, root+"/etc/from", "inside")
	must(t, setup(t, initramfs.Options{Sysroot: root}))
	requireText(t, root+"/var/from", "inside")
}

func TestRefusals(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.toml")
	write(t, bad, "[etc]\nmount = \"nonsense\"")
	syntax := filepath.Join(t.TempDir(), "syntax.toml")
	write(t, syntax, "[etc")
	for name, o := range map[string]initramfs.Options{
		"bad mode":     {Config: bad},
		"bad syntax":   {Config: syntax},
		"two images":   {Cmdline: "composefs=" + id + " composefs=" + strings.Repeat("00", 64)},
		"no sysroot":   {Sysroot: "/nonexistent"},
		"no such root": {Sysroot: t.TempDir()},
	} {
		if o.Sysroot == "" {
			o.Sysroot = t.TempDir()
		}
		if o.Cmdline == "" {
			o.Cmdline = "composefs=?" + id
		}
		if _, err := initramfs.Setup(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	_, err := initramfs.Setup(initramfs.Options{Sysroot: t.TempDir(), Cmdline: "rw quiet"})
	if !errors.Is(err, cmdline.ErrNoComposefs) {
		t.Errorf("no composefs=: %v", err)
	}
}

func TestProgram(t *testing.T) {
	tests := []struct {
		args   []string
		status int
		stderr string
	}{
		{nil, initramfs.Usage, "usage:"},
		{[]string{"nonsense"}, initramfs.Usage, "usage:"},
		{[]string{"setup-root", "extra"}, initramfs.Usage, "usage:"},
		{[]string{"setup-root", "--nonsense"}, initramfs.Usage, "nonsense"},
		{[]string{"find-root", "extra"}, initramfs.Usage, "usage:"},
		{[]string{"setup-root", "--cmdline", "quiet", "--config", "/nonexistent"}, initramfs.Failed, "error: cannot set up the root: no composefs="},
		{[]string{"--help"}, initramfs.OK, ""},
	}
	for _, tt := range tests {
		var out, stderr strings.Builder
		if got := initramfs.Main(tt.args, &out, &stderr); got != tt.status || !strings.Contains(stderr.String(), tt.stderr) {
			t.Errorf("%q: status %d, %q, want %d, %q", tt.args, got, stderr.String(), tt.status, tt.stderr)
		}
	}
}
