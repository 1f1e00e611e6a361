package mount_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/linux/mount"
)

// private runs the test again in a mount namespace of its own and reports
// whether this is that run.
func private(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	if os.Getenv("MOUNT_TEST_PRIVATE") != "" {
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "MOUNT_TEST_PRIVATE=1")
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

const objectName = "ab/cdef"

// composefs makes an object directory and an image with one file whose content
// is in it.
func composefs(t *testing.T) (image, objects *os.File) {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs.erofs")
	if err != nil {
		t.Skip("mkfs.erofs is not installed")
	}
	base := t.TempDir()
	tree, store := filepath.Join(base, "tree"), filepath.Join(base, "objects")
	for _, d := range []string{tree + "/etc", store + "/ab"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const content = "content of the object\n"
	file := filepath.Join(tree, "file")
	err = errors.Join(
		os.WriteFile(filepath.Join(store, objectName), []byte(content), 0o644),
		os.WriteFile(filepath.Join(tree, "etc/inline"), []byte("inline"), 0o644),
		os.WriteFile(file, nil, 0o644),
		os.Truncate(file, int64(len(content))),
	)
	if err != nil {
		t.Fatal(err)
	}
	for attr, value := range map[string]string{"trusted.overlay.metacopy": "", "trusted.overlay.redirect": "/" + objectName} {
		if err := unix.Setxattr(file, attr, []byte(value), 0); err != nil {
			t.Skipf("the file system of %s does not take %s: %v", base, attr, err)
		}
	}
	if out, err := exec.Command(mkfs, base+"/image", tree).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.erofs: %v\n%s", err, out)
	}
	return open(t, base+"/image"), open(t, store)
}

func open(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// requireFile reads through a mount that may have no place.
func requireFile(t *testing.T, m *os.File, name, want string) {
	t.Helper()
	root, err := os.OpenRoot(procPath(m))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if got, err := root.ReadFile(name); err != nil || string(got) != want {
		t.Errorf("reading %s: %q, %v, want %q", name, got, err, want)
	}
}

func procPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

// attach gives a mount a place until the test ends.
func attach(t *testing.T, m *os.File) string {
	t.Helper()
	place := t.TempDir()
	if err := mount.Attach(m, place); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mount.Detach(place) })
	return place
}

func TestComposefs(t *testing.T) {
	if !private(t) {
		return
	}
	image, objects := composefs(t)
	m, err := mount.Composefs(image, objects, mount.ComposefsOptions{Source: "composefs:test"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	requireFile(t, m, "file", "content of the object\n")
	requireFile(t, m, "etc/inline", "inline")
	target := t.TempDir()
	if err := mount.Attach(m, target); err != nil {
		t.Fatal(err)
	}
	if line := mountinfo(t, target); !strings.Contains(line, " overlay composefs:test ro,") {
		t.Errorf("mountinfo: %s", line)
	}
	if err := os.WriteFile(target+"/new", nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("writing: %v, want EROFS", err)
	}
	if err := mount.Detach(target); err != nil {
		t.Error(err)
	}
	if line := mountinfo(t, target); line != "" {
		t.Errorf("still mounted: %s", line)
	}
}

func mountinfo(t *testing.T, target string) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		if f := strings.Fields(line); len(f) > 4 && f[4] == target {
			return line
		}
	}
	return ""
}

// TestVerity: without fs-verity on the objects nothing of them is readable.
func TestVerity(t *testing.T) {
	if !private(t) {
		return
	}
	image, objects := composefs(t)
	m, err := mount.Composefs(image, objects, mount.ComposefsOptions{Source: "composefs:test", Verity: true})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	requireFile(t, m, "etc/inline", "inline")
	if data, err := os.ReadFile(procPath(m) + "/file"); err == nil {
		t.Errorf("a file without fs-verity is readable: %q", data)
	}
}

// TestOlderKernels uses what kernels before this one need.
func TestOlderKernels(t *testing.T) {
	if !private(t) {
		return
	}
	image, objects := composefs(t)
	for name, mountImage := range map[string]func(*os.File) (*os.File, error){"file": mount.EROFS, "loop": mount.EROFSLoop} {
		e, err := mountImage(image)
		if name == "loop" && errors.Is(err, os.ErrNotExist) {
			t.Log("no loop devices here")
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		defer e.Close()
		requireFile(t, e, "etc/inline", "inline")
		o := mount.OverlayOptions{Source: "composefs:old", Lower: e, Data: objects}
		err = mount.WithPlace(e, func() error {
			for way, overlay := range map[string]func() (*os.File, error){"paths": o.ByPath, "one path": o.ByOnePath} {
				m, err := overlay()
				if err != nil {
					return err
				}
				t.Log(name, way)
				requireFile(t, m, "file", "content of the object\n")
				m.Close()
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	left, err := filepath.Glob("/run/bootc-mount-*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

func TestWritableOverlay(t *testing.T) {
	if !private(t) {
		return
	}
	lower := t.TempDir()
	if err := os.WriteFile(lower+"/a", []byte("below"), 0o644); err != nil {
		t.Fatal(err)
	}
	tmp, err := mount.Tmpfs("mode=0755")
	if err != nil {
		t.Fatal(err)
	}
	defer tmp.Close()
	place := attach(t, tmp)
	if err := errors.Join(os.Mkdir(place+"/upper", 0o755), os.Mkdir(place+"/work", 0o700)); err != nil {
		t.Fatal(err)
	}
	o := mount.OverlayOptions{Source: "transient", Lower: open(t, lower), Upper: open(t, place+"/upper"), Work: open(t, place+"/work")}
	for way, overlay := range map[string]func() (*os.File, error){
		"any": func() (*os.File, error) { return mount.Overlay(o) }, "paths": o.ByPath, "one path": o.ByOnePath,
	} {
		m, err := overlay()
		if err != nil {
			t.Errorf("%s: %v", way, err)
			continue
		}
		if err := os.WriteFile(procPath(m)+"/a", []byte("above"), 0o644); err != nil {
			t.Errorf("%s: writing: %v", way, err)
		}
		requireFile(t, m, "a", "above")
		m.Close()
	}
	if got, err := os.ReadFile(lower + "/a"); err != nil || string(got) != "below" {
		t.Errorf("lower layer: %q, %v", got, err)
	}
}

func TestReadOnlyFileSystem(t *testing.T) {
	if !private(t) {
		return
	}
	// A read-only tmpfs, as a root mounted without rw is.
	m, err := mount.Tmpfs("mode=0755", "ro")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	place := attach(t, m)
	clone, err := mount.Clone(place)
	if err != nil {
		t.Fatal(err)
	}
	defer clone.Close()
	if err := mount.SetReadOnly(clone, false); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(procPath(clone)+"/x", nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("writing to a read-only file system: %v", err)
	}
	if err := mount.MakeWritable(open(t, place)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(procPath(clone)+"/x", nil, 0o600); err != nil {
		t.Errorf("writing through the clone: %v", err)
	}
	if err := os.WriteFile(place+"/y", nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("writing through the mount that was made read-only: %v", err)
	}
	if err := mount.MakeWritable(open(t, place)); err != nil {
		t.Errorf("once more: %v", err)
	}
}

func TestErrorsTellTheKernelsReason(t *testing.T) {
	if !private(t) {
		return
	}
	_, err := mount.Device("tmpfs", "tmpfs", "nonsense=1")
	if err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("unknown option: %v", err)
	}
	_, err = mount.Device("nonsensefs", "none")
	if !errors.Is(err, unix.ENODEV) {
		t.Errorf("unknown type: %v", err)
	}
	tmp, err := mount.Tmpfs()
	if err != nil {
		t.Fatal(err)
	}
	defer tmp.Close()
	if err := mount.AttachAt(tmp, open(t, t.TempDir()), "../x"); err == nil {
		t.Error("attached outside of the directory")
	}
}
