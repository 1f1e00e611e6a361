package images_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
)

// TestKeepRecent uses images one after the other.
func TestKeepRecent(t *testing.T) {
	r, path := newRepo(t)
	age := func(d bootc.Digest, hours int) { // so that no clock decides
		t.Helper()
		when := unix.NsecToTimespec(time.Now().Add(-time.Duration(hours) * time.Hour).UnixNano())
		name := filepath.Join(path, "streams/refs/oci", "localhost%2Fbootc-"+string(d))
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{when, when}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			t.Fatal(err)
		}
	}
	var all []bootc.Digest
	for n := range 4 {
		layer := imagestest.Layer{Entries: append(imagestest.Base(), imagestest.File("usr/file", imagestest.Big(string(rune('a'+n)), 9000)))}
		src := imagestest.New(imagestest.Options{}, layer)
		pull(t, r, src)
		if err := r.Tag(src.Digest()); err != nil {
			t.Fatal(err)
		}
		age(src.Digest(), 10-n)
		all = append(all, src.Digest())
	}
	want := func(g images.Garbage, collected bool, kept ...bootc.Digest) {
		t.Helper()
		slices.Sort(kept)
		tags, err := r.Tags()
		if diff := cmp.Diff(kept, tags); diff != "" || err != nil {
			t.Errorf("kept (-want +got): %v\n%s", err, diff)
		}
		if g.None() == collected {
			t.Errorf("collected %+v", g)
		}
		for _, d := range kept {
			if _, err := r.Head(d); err != nil {
				t.Errorf("%s: %v", d.Short(), err)
			}
		}
	}
	keep := func(d bootc.Digest, n int) images.Garbage {
		t.Helper()
		g, err := r.KeepRecent(t.Context(), d, n)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	want(keep(all[3], 4), false, all...)
	other := openRepo(t, path) // another process
	want(keep(all[3], 2), false, all...)
	other.Close()
	want(keep(all[0], 2), true, all[0], all[3]) // the oldest one is used again
	age(all[0], 1)
	age(all[3], 2)
	want(keep(all[0], 1), true, all[0])
	if _, err := os.Lstat(filepath.Join(path, "streams", "oci-manifest-"+string(all[3]))); err == nil {
		t.Error("the stream of what was given up is there")
	}
}
