package etc_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/linux/dir"
	"github.com/bootc-go/bootc/internal/machine/etc"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: owners, trusted attributes and device nodes")
	}
	probe := filepath.Join(t.TempDir(), "probe")
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"user.probe", "trusted.probe"} {
		if err := unix.Setxattr(probe, name, []byte("1"), 0); err != nil {
			t.Skipf("the file system of temporary files takes no %s: %v", name, err)
		}
	}
}

func openDir(t *testing.T, path string) *dir.Dir {
	t.Helper()
	d, err := dir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// write materializes a tree in a new directory.
func write(t *testing.T, path string, tr *tree.Tree, data contents) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := etc.Materialize(context.Background(), root, tr.Root, data.open); err != nil {
		t.Fatal(err)
	}
}

func scan(t *testing.T, path string) *tree.Tree {
	t.Helper()
	tr, err := etc.Scan(openDir(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// withDisk adds the contents of files below path, so that scans can be listed.
func (c contents) withDisk(t *testing.T, path string) contents {
	t.Helper()
	all := contents{}
	for k, v := range c {
		all[k] = v
	}
	err := filepath.WalkDir(path, func(p string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		body, err := os.ReadFile(p)
		setContent(&tree.Node{}, body, all)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestApplyVectors writes every case to disk, scans and merges there, and
// compares what is on disk afterwards.
func TestApplyVectors(t *testing.T) {
	needRoot(t)
	vectors, data := loadVectors(t)
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			work := t.TempDir()
			for name, tr := range v.trees {
				write(t, filepath.Join(work, name), tr, data)
				if diff := cmp.Diff(listing(t, tr, data), listing(t, scan(t, filepath.Join(work, name)), data)); diff != "" {
					t.Fatalf("%s: written and scanned (-want +got):\n%s", name, diff)
				}
			}
			current, next := filepath.Join(work, "current"), filepath.Join(work, "new")
			before := scan(t, next)
			plan, conflicts := etc.Merge(scan(t, filepath.Join(work, "pristine")), scan(t, current), before)
			if diff := cmp.Diff(v.conflicts, paths(conflicts)); diff != "" {
				t.Fatalf("conflicts (-want +got):\n%s", diff)
			}
			err := plan.Apply(context.Background(), openDir(t, current), openDir(t, next))
			want := v.want["ours"]
			if v.conflicts != nil {
				if err == nil {
					t.Error("a plan with conflicts was applied")
				}
				want = listing(t, before, data)
			} else if err != nil {
				t.Fatal(err)
			}
			got := listing(t, scan(t, next), data.withDisk(t, next))
			if diff := cmp.Diff(sorted(want), got); diff != "" {
				t.Errorf("merged (-want +got):\n%s\nplan:\n%v", diff, plan)
			}
		})
	}
}

// TestApplyKeeps checks what listings do not show: times, holes and large
// attributes of what is carried over.
func TestApplyKeeps(t *testing.T) {
	needRoot(t)
	work := t.TempDir()
	for _, d := range []string{"p", "c/sub", "n"} {
		if err := os.MkdirAll(filepath.Join(work, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sparse := filepath.Join(work, "c/sub/sparse")
	f, err := os.Create(sparse)
	if err != nil {
		t.Fatal(err)
	}
	const end = 8 << 20
	if _, err := f.WriteAt([]byte("middle"), end/2); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(end); err != nil {
		t.Fatal(err)
	}
	f.Close()
	big := strings.Repeat("x", 3000)
	if err := unix.Setxattr(sparse, "user.big", []byte(big), 0); err != nil {
		t.Fatal(err)
	}
	past := []unix.Timespec{{Sec: 1000000000, Nsec: 123456789}, {Sec: 1000000000, Nsec: 123456789}}
	for _, p := range []string{sparse, filepath.Dir(sparse)} {
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, p, past, 0); err != nil {
			t.Fatal(err)
		}
	}
	plan, _ := etc.Merge(scan(t, work+"/p"), scan(t, work+"/c"), scan(t, work+"/n"))
	if err := plan.Apply(context.Background(), openDir(t, work+"/c"), openDir(t, work+"/n")); err != nil {
		t.Fatal(err)
	}
	want, got := scan(t, work+"/c"), scan(t, work+"/n")
	for _, p := range []string{"sub", "sub/sparse"} {
		a, b := want.Lookup(p), got.Lookup(p)
		if a.Mtime != b.Mtime || a.Object != b.Object || !cmp.Equal(a.Xattrs, b.Xattrs) {
			t.Errorf("%s: got %v %v, want %v %v", p, b.Mtime, b.Object, a.Mtime, a.Object)
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(work+"/n/sub/sparse", &st); err != nil {
		t.Fatal(err)
	}
	if st.Size != end || st.Blocks*512 > end/4 {
		t.Errorf("sparse file: size %d, %d bytes on disk", st.Size, st.Blocks*512)
	}
}

// TestApplyVanished has files and directories go after the scan.
func TestApplyVanished(t *testing.T) {
	work := t.TempDir()
	for _, d := range []string{"p", "c/dir", "n"} {
		if err := os.MkdirAll(filepath.Join(work, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"c/gone", "c/stays", "c/dir/inside", "n/gone"} {
		if err := os.WriteFile(filepath.Join(work, f), []byte(f), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	plan, _ := etc.Merge(scan(t, work+"/p"), scan(t, work+"/c"), scan(t, work+"/n"))
	os.Remove(work + "/c/gone")
	os.RemoveAll(work + "/c/dir")
	if err := plan.Apply(context.Background(), openDir(t, work+"/c"), openDir(t, work+"/n")); err != nil {
		t.Fatal(err)
	}
	if got := scan(t, work+"/n").Root.Names(); !cmp.Equal(got, []string{"dir", "stays"}) {
		t.Errorf("merged names %q", got)
	}
}

// TestApplyNotThroughLinks puts a link to another tree where the plan expects
// a directory of the next image.
func TestApplyNotThroughLinks(t *testing.T) {
	work := t.TempDir()
	for _, d := range []string{"p/d", "c/d", "n/d", "victim"} {
		if err := os.MkdirAll(filepath.Join(work, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"p/d/f", "n/d/f", "victim/f"} {
		if err := os.WriteFile(filepath.Join(work, f), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	plan, _ := etc.Merge(scan(t, work+"/p"), scan(t, work+"/c"), scan(t, work+"/n"))
	if want := "remove \"d/f\"\n"; plan.String() != want {
		t.Fatalf("plan %q, want %q", plan, want)
	}
	os.RemoveAll(work + "/n/d")
	if err := os.Symlink("../victim", work+"/n/d"); err != nil {
		t.Fatal(err)
	}
	if err := plan.Apply(context.Background(), openDir(t, work+"/c"), openDir(t, work+"/n")); err == nil {
		t.Error("merged through a symbolic link")
	}
	if _, err := os.Stat(work + "/victim/f"); err != nil {
		t.Errorf("a file outside the tree is gone: %v", err)
	}
}

// TestMounts mounts over a directory and a file of the live /etc: the merge is
// to see what lies below.
func TestMounts(t *testing.T) {
	needRoot(t)
	work := t.TempDir()
	for _, d := range []string{"p/d", "c/d", "n/d"} {
		if err := os.MkdirAll(filepath.Join(work, d), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{"below", "../file"} {
			if err := os.WriteFile(filepath.Join(work, d, f), []byte("image"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(work+"/c/d/local", []byte("local"), 0o644); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with its mounts
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
				return fmt.Errorf("skip: %w", err)
			}
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				return fmt.Errorf("skip: %w", err)
			}
			if err := unix.Mount("tmpfs", work+"/c/d", "tmpfs", 0, ""); err != nil {
				return fmt.Errorf("skip: %w", err)
			}
			if err := os.WriteFile(work+"/c/d/above", []byte("above"), 0o644); err != nil {
				return err
			}
			if err := unix.Mount("/proc/version", work+"/c/file", "", unix.MS_BIND, ""); err != nil {
				return fmt.Errorf("skip: %w", err)
			}
			return mergeDirs(work+"/p", work+"/c", work+"/n")
		}()
	}()
	if err := <-done; err != nil {
		if strings.HasPrefix(err.Error(), "skip") {
			t.Skipf("cannot mount here: %v", err)
		}
		t.Fatal(err)
	}
	got := scan(t, work+"/n")
	if names := got.Lookup("d").Names(); !cmp.Equal(names, []string{"below", "local"}) {
		t.Errorf("merged names %q, want those below the mount", names)
	}
	if text := string(got.Lookup("file").Content); text != "image" {
		t.Errorf("merged file %q", text)
	}
}

func mergeDirs(pristine, current, next string) error {
	var dirs [3]*dir.Dir
	var trees [3]*tree.Tree
	for i, path := range []string{pristine, current, next} {
		d, err := dir.Open(path)
		if err != nil {
			return err
		}
		defer d.Close()
		dirs[i] = d
		if trees[i], err = etc.Scan(d); err != nil {
			return err
		}
	}
	plan, conflicts := etc.Merge(trees[0], trees[1], trees[2])
	if len(conflicts) > 0 {
		return fmt.Errorf("conflicts: %v", conflicts)
	}
	return plan.Apply(context.Background(), dirs[1], dirs[2])
}

// TestScanWhileChanging scans a directory whose files come and go.
func TestScanWhileChanging(t *testing.T) {
	work := t.TempDir()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			name := filepath.Join(work, fmt.Sprint("d", i%7))
			os.Mkdir(name, 0o755)
			os.WriteFile(name+"/f", []byte(strings.Repeat("y", i%200)), 0o644)
			os.Symlink("x", name+"/l")
			os.RemoveAll(name)
		}
	}()
	for range 200 {
		if _, err := etc.Scan(openDir(t, work)); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	<-stopped
}

// TestMaterializeChecks refuses contents that are not what the image says.
func TestMaterializeChecks(t *testing.T) {
	for _, body := range []string{strings.Repeat("a", 99), strings.Repeat("a", 101), strings.Repeat("b", 100)} {
		n := &tree.Node{Mode: tree.TypeRegular | 0o644, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
		data := contents{}
		setContent(n, []byte(strings.Repeat("a", 100)), data)
		data[n.Object] = []byte(body)
		tr := tree.New()
		tr.Root.Mode |= 0o755
		tr.Root.SetChild("f", n)
		root, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if err := etc.Materialize(context.Background(), root, tr.Root, data.open); err == nil {
			t.Errorf("content of %d bytes %q was taken", len(body), body[:1])
		}
		root.Close()
	}
}
