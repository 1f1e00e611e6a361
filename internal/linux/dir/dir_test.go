package dir_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/linux/dir"
)

// hostile makes a tree beside a file that must not be reached from it.
func hostile(t *testing.T) *dir.Dir {
	t.Helper()
	base := t.TempDir()
	root := filepath.Join(base, "root")
	write(t, filepath.Join(base, "secret"), "outside")
	for name, text := range map[string]string{"etc/os-release": "ID=x", "usr/lib/os-release": "ID=usr", "secret": "inside", "a/b/file": "deep"} {
		write(t, filepath.Join(root, name), text)
	}
	for name, target := range map[string]string{
		"abs":       "/usr/lib/os-release",
		"up":        "../../../../secret",
		"etc/up":    "../../secret",
		"outside":   filepath.Join(base, "secret"),
		"dots":      "a/../../../a/b/../b/file",
		"loop":      "loop",
		"dangling":  "nowhere",
		"magic":     "/proc/self/root",
		"dirlink":   "/a/b",
		"a/b/climb": "../../..",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(root, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := dir.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPathsStayInside(t *testing.T) {
	d := hostile(t)
	for name, want := range map[string]string{
		"etc/os-release": "ID=x", "/etc/os-release": "ID=x", "abs": "ID=usr", "up": "inside", "etc/up": "inside",
		"../secret": "inside", "/../../secret": "inside", "dots": "deep", "dirlink/file": "deep", "dirlink/climb/secret": "inside",
	} {
		if got, err := d.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("ReadFile(%q) = %q, %v, want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]error{
		"outside": fs.ErrNotExist, "dangling": fs.ErrNotExist, "": fs.ErrNotExist, "magic": fs.ErrNotExist, "loop": unix.ELOOP,
	} {
		if got, err := d.ReadFile(name); !errors.Is(err, want) {
			t.Errorf("ReadFile(%q) = %q, %v, want %v", name, got, err, want)
		}
	}
	if _, err := d.Open("fifo"); err == nil {
		t.Error("a FIFO was opened")
	}
	sub, err := d.OpenDir("a/b")
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	if got, err := sub.ReadFile("climb/file"); err != nil || string(got) != "deep" {
		t.Errorf("in a subtree, a link upwards leads to %q, %v", got, err)
	}
	if _, err := sub.ReadFile("../../secret"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("out of a subtree: %v", err)
	}
}

func TestMagicLinks(t *testing.T) {
	d, err := dir.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Stat("self/root/etc"); !errors.Is(err, unix.ELOOP) && !errors.Is(err, unix.EXDEV) {
		t.Errorf("through /proc/self/root: %v", err)
	}
}

func TestDescriptions(t *testing.T) {
	d := hostile(t)
	if info, err := d.Lstat("abs"); err != nil || info.Mode().Type() != fs.ModeSymlink || info.Name() != "abs" {
		t.Errorf("Lstat = %v, %v", info, err)
	}
	if info, err := d.Stat("abs"); err != nil || !info.Mode().IsRegular() || info.Size() != 6 {
		t.Errorf("Stat = %v, %v", info, err)
	}
	if got, err := d.Readlink("up"); err != nil || got != "../../../../secret" {
		t.Errorf("Readlink = %q, %v", got, err)
	}
	if got, err := d.Readlink("secret"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("Readlink of a file = %q, %v", got, err)
	}
	entries, err := d.ReadDir("/")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name()+" "+e.Type().String()[:1])
	}
	want := strings.Split("a d,abs L,dangling L,dirlink L,dots L,etc d,fifo p,loop L,magic L,outside L,secret -,up L,usr d", ",")
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("ReadDir (-want +got):\n%s", diff)
	}
}

func TestXattrs(t *testing.T) {
	d := hostile(t)
	long := strings.Repeat("x", 2000)
	for attr, value := range map[string]string{"user.empty": "", "user.long": long} {
		err := unix.Setxattr(filepath.Join(d.File().Name(), "secret"), attr, []byte(value), 0)
		if errors.Is(err, unix.ENOTSUP) {
			t.Skip("the file system has no extended attributes")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := d.Xattrs("secret")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"user.empty": "", "user.long": long}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err := d.Xattrs("loop"); err != nil || len(got) != 0 {
		t.Errorf("Xattrs of a link = %v, %v", got, err)
	}
}

func TestOfPathHandle(t *testing.T) {
	d := hostile(t)
	f, err := d.OpenPath("a")
	if err != nil {
		t.Fatal(err)
	}
	sub := dir.FromFile(f)
	defer sub.Close()
	if got, err := sub.ReadFile("b/file"); err != nil || string(got) != "deep" {
		t.Errorf("ReadFile = %q, %v", got, err)
	}
}
