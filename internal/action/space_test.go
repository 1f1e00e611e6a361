package action_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/rollback"
	"github.com/bootc-go/bootc/internal/action/upgrade"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/boot/boottest"
)

var upgrades = flag.Int("upgrades", 15, "how many upgrades TestSpace makes")

// A small computer has an ESP that stands for one of 100 MB: of each megabyte it
// has some clusters.
type small struct {
	*lab
	fat *boottest.FAT
	rnd *rand.Rand
	// files has what every deployment's kernel and initrd must be.
	files map[bootc.ID][2]string

	flushes, cuts, dropped, refused int
}

const perMB = 16 * boottest.ClusterSize

func newSmall(t *testing.T) *small {
	l := newLab(t, "v1")
	s := &small{lab: l, fat: boottest.New(100 * perMB / boottest.ClusterSize), rnd: rand.New(rand.NewPCG(1, 2)), files: map[bootc.ID][2]string{}}
	copyTree(t, filepath.Join(l.dir, "esp"), s.fat)
	must(t, s.fat.Flush())
	l.esp = s.fat
	l.boot()
	s.files[l.m.Booted.ID] = [2]string{v1()["usr/lib/modules/6.1/vmlinuz"], v1()["usr/lib/modules/6.1/initramfs.img"]}
	s.fat.BeforeFlush = s.flush
	return s
}

// copyTree copies a directory to a volume.
func copyTree(t *testing.T, from string, v boot.Volume) {
	t.Helper()
	must(t, filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(from, p)
		if err != nil || name == "." {
			return err
		}
		if d.IsDir() {
			return v.Mkdir(name)
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		w, err := v.Create(name)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return errors.Join(err, w.Close())
	}))
}

// flush cuts the power at a flush, in some of the ways in which the sectors may
// have reached the disk.
func (s *small) flush() {
	s.flushes++
	snapshot := s.fat.Snapshot()
	states := snapshot.States()
	for way := range 3 {
		choice := make([]int, len(states))
		for i, n := range states {
			switch way {
			case 1:
				choice[i] = n - 1
			case 2:
				choice[i] = s.rnd.IntN(n)
			}
		}
		s.cuts++
		s.bootable(snapshot.Cut(choice), fmt.Sprintf("flush %d, cut %d", s.flushes, way))
	}
}

// bootable checks that the loader has an entry, and each entry all that it boots.
func (s *small) bootable(f *boottest.FAT, when string) {
	entries, err := boot.On(f).Entries()
	if err != nil || len(entries) == 0 {
		s.Fatalf("%s: %d boot entries, %v", when, len(entries), err)
	}
	for _, e := range entries {
		want, ok := s.files[e.ID]
		if !ok {
			s.Fatalf("%s: an entry of an unknown deployment %q", when, e.ID.Short())
		}
		for i, key := range []string{"linux", "initrd"} {
			if got := readFrom(f, e.Get(key)[1:]); got != want[i] {
				s.Fatalf("%s: %s of entry %s has %d bytes, or others than the %d it must have", when, key, e.Name, len(got), len(want[i]))
			}
		}
	}
}

func readFrom(v boot.Volume, name string) string {
	r, err := v.Open(name)
	if err != nil {
		return err.Error()
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// next makes an image with a kernel and an initrd of so many megabytes
// together.
func (s *small) next(n int, mb float64) [2]string {
	total := int(mb * perMB)
	kernel := max(512, int(float64(total)*(0.1+0.4*s.rnd.Float64())))
	files := [2]string{imagestest.Kernel(fmt.Sprint("kernel ", n), kernel, runtime.GOARCH), imagestest.Big(fmt.Sprint("initrd ", n), total-kernel)}
	v1().with(spec{
		"usr/lib/modules/6.1/vmlinuz":       files[0],
		"usr/lib/modules/6.1/initramfs.img": files[1],
		"usr/lib/os-release":                fmt.Sprintf("ID=lab\nVERSION_ID=%d\nPRETTY_NAME=Lab\n", n),
	}).save(s.lab, "v1")
	return files
}

// upgrade stages the next image and says whether it was refused for want of
// room. Then the boot partition is as it was.
func (s *small) upgrade(files [2]string) bool {
	before := len(s.entries())
	var was strings.Builder
	list(s.fat, ".", &was)
	p := s.plan(upgrade.Options{})
	defer p.Close()
	var notice string
	r, err := p.Apply(s.Context(), func(e bootc.Event) {
		if n, ok := e.(bootc.Notice); ok {
			notice += n.Text
		}
	})
	var room *boot.RoomError
	if errors.As(err, &room) {
		var now strings.Builder
		if list(s.fat, ".", &now); was.String() != now.String() {
			s.Fatalf("an update was refused, and the boot partition has changed from\n%s\nto\n%s", was.String(), now.String())
		}
		s.refused++
		return false
	}
	must(s, err)
	s.files[r.ID] = files
	if len(s.entries()) < before {
		s.dropped++
		if !strings.Contains(notice, "is removed first") {
			s.Errorf("a deployment gave way, and the notices are %q", notice)
		}
	}
	return true
}

func list(v boot.Volume, dir string, out *strings.Builder) {
	files, err := v.ReadDir(dir)
	if err != nil {
		fmt.Fprintln(out, dir, err)
	}
	for _, f := range files {
		name := path.Join(dir, f.Name())
		info, err := f.Info()
		if err != nil {
			fmt.Fprintln(out, name, err)
			continue
		}
		fmt.Fprintln(out, name, info.Mode(), info.Size())
		if f.IsDir() {
			list(v, name, out)
		}
	}
}

// TestSpace upgrades a machine with an ESP of 100 MB again and again, with kernel
// and initrd of 5 to 45 MB together, and now and then with some that are too
// large beside the booted ones. Whatever the power is cut at, what the loader
// finds is complete. "make space" makes 500 upgrades.
func TestSpace(t *testing.T) {
	s := newSmall(t)
	done := 0
	for n := 2; done < *upgrades; n++ {
		mb, large := 5+40*s.rnd.Float64(), s.rnd.IntN(10) == 0
		if large {
			mb = 98
		}
		ok := s.upgrade(s.next(n, mb))
		if ok == large {
			t.Fatalf("upgrade %d with %.1f MB: staged %v, want %v", n, mb, ok, !large)
		}
		s.bootable(s.fat, "after staging")
		if !ok {
			continue
		}
		done++
		if s.rnd.IntN(8) == 0 {
			continue // another one before the shutdown
		}
		must(t, s.shutdown())
		s.boot()
		s.bootable(s.fat, "after the boot")
		if ids := s.entries(); len(ids) == 2 && s.rnd.IntN(8) == 0 {
			p, err := rollback.New(s.m)
			must(t, err)
			must(t, p.Apply(s.Context(), nil))
			s.boot()
			s.wantEntries(ids[1], ids[0])
		}
	}
	if s.dropped == 0 || s.refused == 0 && *upgrades > 20 {
		t.Errorf("%d deployments gave way, %d updates were refused: the partition is not small", s.dropped, s.refused)
	}
	t.Logf("%d upgrades, %d flushes, %d cuts; %d times a deployment gave way, %d updates were refused", done, s.flushes, s.cuts, s.dropped, s.refused)
}

// TestRoom: a plan tells what is needed before anything is fetched.
func TestRoom(t *testing.T) {
	s := newSmall(t)
	for n, mb := range []float64{20, 30} {
		if !s.upgrade(s.next(n+2, mb)) {
			t.Fatalf("%.0f MB were refused", mb)
		}
		must(t, s.shutdown())
		s.boot()
	}
	s.next(4, 10)
	p := s.plan(upgrade.Options{})
	r, err := p.Room(t.Context())
	must(t, err)
	free, _, err := s.fat.Room()
	must(t, err)
	if r.ESP.Free != free || r.ESP.Needed < 30*perMB || r.ESP.Needed > 33*perMB || r.Other < 20*perMB || r.Other > 21*perMB {
		t.Errorf("Room = %+v, want 30 MB, %d free and 20 of the rollback", r, free/perMB)
	}
	if r.Layers != 1 || r.Compressed <= 0 || r.Estimate <= r.Compressed || r.Free <= r.Estimate || r.Garbage != 0 {
		t.Errorf("Room = %+v, want one layer, for which there is room", r)
	}
}

// TestSpaceOnTrial: while the booted deployment is on trial, the one before it does
// not give way.
func TestSpaceOnTrial(t *testing.T) {
	s := newSmall(t)
	for n, mb := range []float64{40, 30} {
		if !s.upgrade(s.next(n+2, mb)) {
			t.Fatalf("%.0f MB were refused", mb)
		}
		must(t, s.shutdown())
		s.boot()
	}
	entries, err := s.m.Loader.Entries()
	must(t, err)
	good := entries[0].Name
	trial := good
	trial.Counted, trial.Left = true, 3
	s.rename(good.String(), trial.String())
	next := s.next(4, 45)
	if s.upgrade(next) || len(s.entries()) != 2 {
		t.Errorf("%d entries, want that the update is refused", len(s.entries()))
	}
	s.rename(trial.String(), good.String())
	if !s.upgrade(next) || len(s.entries()) != 1 || s.dropped != 1 {
		t.Errorf("%d entries, want that the rollback gives way", len(s.entries()))
	}
}

// rename does what a loader does that counts.
func (s *small) rename(from, to string) {
	s.Helper()
	text := readFrom(s.fat, "loader/entries/"+from)
	w, err := s.fat.Create("loader/entries/" + to)
	must(s, err)
	_, err = io.WriteString(w, text)
	s.fat.BeforeFlush = nil // a loader's rename is not ours to judge
	must(s, errors.Join(err, w.Close(), s.fat.Remove("loader/entries/"+from), s.fat.Flush()))
	s.fat.BeforeFlush = s.flush
}

// TestFullRoot: an image that does not fit on the root is refused before it is
// fetched, or ends with an error and takes nothing, and a smaller one is taken
// then.
func TestFullRoot(t *testing.T) {
	path, err := os.MkdirTemp("", "small")
	must(t, err)
	t.Cleanup(func() { os.Remove(path) })
	store, err := os.MkdirTemp("", "store")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(store) })
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, "mode=755,size=64m"); err != nil {
		t.Skipf("needs a file system of its own: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(path, 0) })
	t.Setenv("TMPDIR", path)
	l := newLabOf(t, "v1", func(l *lab) { l.store = store; v1().save(l, "v1") })
	before, free := l.snapshot(), l.rootFree()
	for _, tt := range []struct {
		name, content, want string
	}{
		{"surely", imagestest.Big("noise", 70<<20), "no room for the image: "},
		{"as it turns out", strings.Repeat("zeros", 14<<20), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v2().with(spec{"usr/bin/large": tt.content}).save(l, "v1")
			_, err := l.plan(upgrade.Options{}).Apply(t.Context(), nil)
			if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want ENOSPC and %q", err, tt.want)
			}
			l.wantSame(before)
			if now := l.rootFree(); now < free-1<<20 {
				t.Errorf("%d bytes are free, before %d", now, free)
			}
		})
	}
	v2().save(l, "v1")
	if r := l.stage(upgrade.Options{}); !r.Staged {
		t.Error("an update that fits is not staged")
	}
}

func (l *lab) rootFree() int64 {
	l.Helper()
	var st unix.Statfs_t
	must(l, unix.Statfs(l.dir+"/sysroot", &st))
	return int64(st.Bavail) * int64(st.Bsize)
}
