package initramfs_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/front/initramfs"
)

// medium makes a physical root that is marked.
func medium(t *testing.T, marker string) string {
	t.Helper()
	root := machine(t, nil)
	must(t, unix.Mount("", root, "", unix.MS_REMOUNT, ""))
	write(t, root+"/state/bootc/medium.json", marker)
	must(t, unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	return root
}

// states lists all that is in a directory, with the times of changes.
func states(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		all = append(all, strings.TrimPrefix(p, dir)+" "+info.Mode().String()+" "+info.ModTime().String())
		return err
	}))
	return all
}

// readOnlySuper reports whether the file system of a mount is read-only, not
// only the mount.
func readOnlySuper(t *testing.T, place string) bool {
	t.Helper()
	for line := range strings.Lines(mounts(t)) {
		if f := strings.Fields(line); f[4] == place {
			return strings.HasPrefix(f[len(f)-1], "ro")
		}
	}
	t.Errorf("nothing is mounted at %s", place)
	return false
}

// TestMedium: what is marked is not written, and its state is forgotten.
func TestMedium(t *testing.T) {
	if !private(t) {
		return
	}
	const marker = `{"damaged`
	root, run := medium(t, marker), t.TempDir()
	before := states(t, root)
	link := filepath.Join(run, "systemd/volatile-root")
	is, err := initramfs.Setup(initramfs.Options{Sysroot: root, Cmdline: "ro composefs=?" + id, Run: run, VolatileRoot: link})
	if err != nil || !is {
		t.Fatalf("Setup = %t, %v, want a medium", is, err)
	}
	requireText(t, root+"/usr/file", content)
	requireText(t, root+"/etc/from", "the deployment")
	requireText(t, root+"/var/from", "the machine")
	requireText(t, run+"/bootc/medium.json", marker)
	requireWritable(t, true, root+"/etc", root+"/var")
	requireWritable(t, false, root, root+"/usr", root+"/sysroot")
	must(t, os.WriteFile(root+"/etc/from", []byte("the user"), 0o644), os.Remove(root+"/var/from"))
	if diff := cmp.Diff(before, states(t, root+"/sysroot")); diff != "" {
		t.Errorf("the physical root (-before +after):\n%s", diff)
	}
	if !readOnlySuper(t, root+"/sysroot") {
		t.Error("the file system of the physical root was made writable")
	}
	if _, err := os.Lstat(link); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("systemd is told of the disk: %v", err)
	}
}

func TestMediumModes(t *testing.T) {
	if !private(t) {
		return
	}
	tests := []struct {
		name, config, line string
		etc, variable      string // what they hold; "" for nothing
	}{
		{name: "root transient", config: "[root]\ntransient = true\n", etc: "the deployment", variable: "the machine"},
		{name: "etc overlay", config: "[etc]\nmount = \"overlay\"", etc: "the image", variable: "the machine"},
		{name: "etc transient", config: "[etc]\ntransient = true", etc: "the image", variable: "the machine"},
		{name: "var none", config: "[var]\nmount = \"none\"", etc: "the deployment"},
		{name: "systemd.volatile", line: " systemd.volatile=state", etc: "the deployment"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := medium(t, "{}")
			before := states(t, root)
			config := filepath.Join(t.TempDir(), "conf.toml")
			write(t, config, tt.config)
			is, err := initramfs.Setup(initramfs.Options{Sysroot: root, Config: config, Cmdline: "composefs=?" + id + tt.line})
			if err != nil || !is {
				t.Fatalf("Setup = %t, %v, want a medium", is, err)
			}
			requireText(t, root+"/etc/from", tt.etc)
			requireWritable(t, true, root+"/etc")
			if tt.variable != "" {
				requireText(t, root+"/var/from", tt.variable)
				requireWritable(t, true, root+"/var")
			} else if got := find(t, root+"/var"); got != "" {
				t.Errorf("/var is %q", got)
			}
			if diff := cmp.Diff(before, states(t, root+"/sysroot")); diff != "" {
				t.Errorf("the physical root (-before +after):\n%s", diff)
			}
		})
	}
}

// TestMarker: a marker says that there is a medium also when the deployment
// cannot be used, so that the firmware's variables are left alone.
func TestMarker(t *testing.T) {
	for name, marker := range map[string]string{"empty": "", "long": strings.Repeat("x", 1<<20+1)} {
		root, run := t.TempDir(), t.TempDir()
		write(t, root+"/state/bootc/medium.json", marker)
		is, err := initramfs.Setup(initramfs.Options{Sysroot: root, Cmdline: "composefs=?" + id, Run: run})
		if !is || err == nil || !strings.Contains(err.Error(), "image repository") {
			t.Errorf("%s: Setup = %t, %v, want a medium without a repository", name, is, err)
		}
		requireText(t, run+"/bootc/medium.json", marker[:min(len(marker), 1<<20)])
	}
}
