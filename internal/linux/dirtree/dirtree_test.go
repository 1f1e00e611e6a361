package dirtree_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/dumpfile"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dirtree"
)

// sample makes a directory with one of each and returns it open.
func sample(t *testing.T) *os.File {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chmod(dir, 0o755))
	must(os.Mkdir(at("d"), 0o755))
	must(unix.Chmod(at("d"), 0o2711))
	must(os.WriteFile(at("d/small"), []byte(strings.Repeat("s", 64)), 0o644))
	must(os.WriteFile(at("d/large"), []byte(strings.Repeat("l", 65)), 0o600))
	must(os.WriteFile(at("empty"), nil, 0o644))
	must(os.Link(at("d/large"), at("again")))
	must(os.Symlink("d/small", at("link")))
	must(os.Symlink("/nowhere", at("dangling")))
	must(unix.Mkfifo(at("fifo"), 0o600))
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(err)
	t.Chdir(dir) // the address of a socket has little room
	must(unix.Bind(fd, &unix.SockaddrUnix{Name: "socket"}))
	must(unix.Close(fd))
	must(os.Chmod(at("socket"), 0o600))
	for _, name := range []string{"d/small", "d/large", "d", "empty", "link", "dangling", "fifo", "socket", "."} {
		must(unix.UtimesNanoAt(unix.AT_FDCWD, at(name), []unix.Timespec{{Sec: 1}, {Sec: 1000, Nsec: 5}}, unix.AT_SYMLINK_NOFOLLOW))
	}
	f, err := os.Open(dir)
	must(err)
	t.Cleanup(func() { f.Close() })
	return f
}

// dump shows a tree with the owner taken out.
func dump(t *testing.T, tr *tree.Tree) string {
	t.Helper()
	err := tr.Walk(func(_ string, n *tree.Node) error {
		n.UID, n.GID = 0, 0
		n.RemoveXattr("security.selinux")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := dumpfile.Write(&text, tr); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestRead(t *testing.T) {
	const times = " 0 0 0 1000.5 "
	object := verity.Sum(verity.SHA512, []byte(strings.Repeat("l", 65)))
	large := "65 100600 1" + times + object.ObjectPath() + " - " + object.String() + "\n"
	rest := "/d/small 64 100644 1" + times + "- " + strings.Repeat("s", 64) + " -\n" +
		"/dangling 8 120777 1" + times + "/nowhere - -\n" +
		"/empty 0 100644 1" + times + "- - -\n" +
		"/fifo 0 10600 1" + times + "- - -\n" +
		"/link 7 120777 1" + times + "d/small - -\n" +
		"/socket 0 140600 1" + times + "- - -\n"
	root, d := "/ 0 40755 3"+times+"- - -\n", "/d 0 42711 2"+times+"- - -\n"
	apart := root + "/again " + large + d + "/d/large " + large + rest
	linked := strings.Replace(large, " 1 ", " 2 ", 1)
	together := root + "/again " + linked + d + "/d/large " + strings.NewReplacer(" 100600", " @100600", object.ObjectPath(), "/again").Replace(linked) + rest
	f := sample(t)
	for _, tt := range []struct {
		links bool
		want  string
	}{{false, apart}, {true, together}} {
		for _, threads := range []int{0, 1} {
			tr, err := dirtree.Read(context.Background(), f, dirtree.Options{Object: dirtree.Hash(verity.SHA512), HardLinks: tt.links, Threads: threads})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, dump(t, tr)); diff != "" {
				t.Errorf("links %v, threads %d (-want +got):\n%s", tt.links, threads, diff)
			}
		}
	}
}

func TestXattrs(t *testing.T) {
	f := sample(t)
	for name, value := range map[string]string{"user.b": strings.Repeat("v", 3000), "user.a": ""} {
		if err := unix.Setxattr(filepath.Join(f.Name(), "d"), name, []byte(value), 0); err != nil {
			t.Skip("the file system has no extended attributes: ", err)
		}
	}
	all := []tree.Xattr{{Name: "user.a"}, {Name: "user.b", Value: strings.Repeat("v", 3000)}}
	for _, tt := range []struct {
		policy func(string) bool
		want   []tree.Xattr
	}{
		{nil, all},
		{func(name string) bool { return name == "user.a" }, all[:1]},
		{func(string) bool { return false }, nil},
	} {
		tr, err := dirtree.Read(context.Background(), f, dirtree.Options{Object: dirtree.Hash(verity.SHA256), Xattr: tt.policy})
		if err != nil {
			t.Fatal(err)
		}
		n := tr.Root.Child("d")
		n.RemoveXattr("security.selinux")
		if diff := cmp.Diff(tt.want, n.Xattrs); diff != "" {
			t.Errorf("attributes (-want +got):\n%s", diff)
		}
	}
}

// TestDevices needs the right to make devices.
func TestDevices(t *testing.T) {
	f := sample(t)
	for name, dev := range map[string]uint64{"whiteout": 0, "disk": unix.Mkdev(259, 0x12345)} {
		mode := uint32(unix.S_IFCHR)
		if dev != 0 {
			mode = unix.S_IFBLK
		}
		if err := unix.Mknod(filepath.Join(f.Name(), name), mode|0o600, int(dev)); err != nil {
			t.Skip("making a device: ", err)
		}
	}
	if err := os.Link(filepath.Join(f.Name(), "whiteout"), filepath.Join(f.Name(), "d/whiteout")); err != nil {
		t.Fatal(err)
	}
	tr, err := dirtree.Read(context.Background(), f, dirtree.Options{Object: dirtree.Hash(verity.SHA256), HardLinks: true})
	if err != nil {
		t.Fatal(err)
	}
	if w := tr.Lookup("whiteout"); !w.IsWhiteout() || w == tr.Lookup("d/whiteout") || w.Nlink != 1 {
		t.Errorf("a whiteout with two names is %+v", w)
	}
	if got, want := tr.Lookup("disk").Rdev, uint32(0x12310345); got != want {
		t.Errorf("device number %#x, want %#x", got, want)
	}
	tr, err = dirtree.Read(context.Background(), f, dirtree.Options{Object: dirtree.Hash(verity.SHA256), SkipDevices: true})
	if err != nil {
		t.Fatal(err)
	}
	if tr.Lookup("disk") != nil || tr.Lookup("whiteout") != nil || tr.Lookup("fifo") == nil {
		t.Errorf("left of the devices: %v", tr.Root.Names())
	}
}

// TestErrors stops at the first error, and names the path.
func TestErrors(t *testing.T) {
	f := sample(t)
	full := errors.New("full")
	var calls atomic.Int32
	_, err := dirtree.Read(context.Background(), f, dirtree.Options{Object: func(*os.File, int64) (verity.Digest, error) {
		calls.Add(1)
		return verity.Digest{}, full
	}})
	if !errors.Is(err, full) || !strings.Contains(err.Error(), `"/`) || calls.Load() == 0 {
		t.Errorf("Read = %v after %d calls", err, calls.Load())
	}
	_, err = dirtree.Read(context.Background(), f, dirtree.Options{Object: func(f *os.File, size int64) (verity.Digest, error) {
		return dirtree.Hash(verity.SHA256)(f, size+1)
	}})
	if err == nil || !strings.Contains(err.Error(), "65 bytes, its inode said 66") {
		t.Errorf("a file of another size: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := dirtree.Read(ctx, f, dirtree.Options{Object: dirtree.Hash(verity.SHA256)}); !errors.Is(err, context.Canceled) {
		t.Errorf("Read of a cancelled context = %v", err)
	}
	if _, err := dirtree.Read(context.Background(), openFile(t, f), dirtree.Options{}); err == nil {
		t.Error("a file is read as a directory")
	}
}

func openFile(t *testing.T, dir *os.File) *os.File {
	t.Helper()
	f, err := os.Open(filepath.Join(dir.Name(), "empty"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
