package images_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/verity"
)

var errCut = errors.New("power cut")

// A cutter cuts the power before the n-th flush or link. From then on nothing
// reaches the disk, and what was written since the last flush is spoiled:
// objects lose their content, while links and names survive, which is the worst
// that a file system may do.
type cutter struct {
	t       *testing.T
	path    string
	left    int
	off     bool
	flushed []string // objects that are safe
}

func (c *cutter) step(do func() error) error {
	if c.off || c.left == 0 {
		c.off = true
		return errCut
	}
	c.left--
	return do()
}

func (c *cutter) flush(do func() error) error {
	err := c.step(do)
	if err == nil {
		c.flushed = objectFiles(c.t, c.path)
	}
	return err
}

func (c *cutter) spoil() {
	for _, p := range objectFiles(c.t, c.path) {
		if !slices.Contains(c.flushed, p) {
			if err := os.Truncate(p, 0); err != nil {
				c.t.Fatal(err)
			}
		}
	}
}

// TestPowerCut cuts the power before every flush and every link of a pull over
// an older image, a composition and a tag. What was there before stays whole;
// the new image is whole or not there; the next try succeeds.
func TestPowerCut(t *testing.T) {
	old := twoLayers(imagestest.Options{Version: "old"})
	next := imagestest.New(imagestest.Options{Version: "new"},
		imagestest.Layer{Entries: append(imagestest.Base(), imagestest.File("usr/bin/tool", imagestest.Big("new", 300_000)))},
		imagestest.Layer{Entries: []imagestest.Entry{imagestest.File("etc/conf", imagestest.Big("new conf", 1000))}, Compression: imagestest.Zstd})
	want := composeAll(t, next)
	cuts := 0
	for done := false; !done; cuts++ {
		r, path := newRepo(t)
		oldID := compose(t, r, pull(t, r, old))
		if err := r.Tag(old.Digest()); err != nil {
			t.Fatal(err)
		}
		c := &cutter{t: t, path: path, left: cuts, flushed: objectFiles(t, path)}
		r.Intercept(c.flush, c.step)
		_, err := keep(r, next)
		done = err == nil
		if !done && !errors.Is(err, errCut) {
			t.Fatalf("cut %d: %v", cuts, err)
		}
		if !done {
			c.spoil()
		}
		r.Close()

		where := fmt.Sprintf("cut %d", cuts)
		checkLinks(t, where, path)
		r = openRepo(t, path)
		checkImage(t, r, where, old.Digest(), oldID)
		switch info, err := r.Info(next.Digest()); {
		case errors.Is(err, images.ErrNotFound) && !done:
		case err != nil:
			t.Errorf("%s: the new image is neither there nor not: %v", where, err)
		case info.ID != "":
			checkImage(t, r, where, next.Digest(), want)
		}
		tags, err := r.Tags()
		if err != nil || len(tags) == 0 || slices.Contains(tags, next.Digest()) != (len(tags) == 2) {
			t.Errorf("%s: tags %v, %v", where, tags, err)
		}
		id, err := keep(r, next)
		if err != nil || id != want {
			t.Errorf("%s: the next try gives %s, %v; want %s", where, id, err, want)
		}
		checkImage(t, r, where+", next try", next.Digest(), want)
		checkLayout(t, path)
	}
	if cuts < 10 {
		t.Errorf("%d cuts, want at least 10", cuts)
	}
	t.Logf("%d cuts", cuts)
}

// checkLinks fails for a link to an object that is not whole.
func checkLinks(t *testing.T, where, path string) {
	t.Helper()
	for name := range links(t, path) {
		data, err := os.ReadFile(filepath.Join(path, name))
		if err != nil || len(data) == 0 {
			t.Errorf("%s: the link %s leads to %d bytes, %v", where, name, len(data), err)
		}
	}
}

// keep does what an upgrade does with an image.
func keep(r *images.Repository, src images.Source) (bootc.ID, error) {
	img, err := r.Pull(context.Background(), src, nil)
	if err != nil {
		return "", err
	}
	id, err := r.Compose(context.Background(), img)
	if err != nil {
		return "", err
	}
	return id, r.Tag(img.Manifest)
}

func composeAll(t *testing.T, src images.Source) bootc.ID {
	t.Helper()
	r, _ := newRepo(t)
	id, err := keep(r, src)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// checkImage reads every file of an image and of its EROFS image.
func checkImage(t *testing.T, r *images.Repository, where string, manifest bootc.Digest, id bootc.ID) {
	t.Helper()
	img, err := r.Image(manifest)
	if err != nil {
		t.Errorf("%s: image %s: %v", where, manifest.Short(), err)
		return
	}
	booted, err := r.ReadImage(id)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	for path, n := range files(img.Tree, booted) {
		if _, err := r.ReadFile(n); err != nil {
			t.Errorf("%s: %s: %v", where, path, err)
		}
	}
}

// TestPowerCutDuringRepair cuts the power before every flush and every link of a
// repair. Another image stays whole, and the next repair makes everything whole.
func TestPowerCutDuringRepair(t *testing.T) {
	other := twoLayers(imagestest.Options{Version: "other"})
	src := imagestest.New(imagestest.Options{Version: "damaged"},
		imagestest.Layer{Entries: append(imagestest.Base(), imagestest.File("usr/bin/tool", imagestest.Big("damaged", 300_000)))},
		imagestest.Layer{Entries: []imagestest.Entry{imagestest.File("etc/conf", imagestest.Big("damaged conf", 1000))}})
	tool := "objects/" + verity.Sum(verity.SHA512, []byte(imagestest.Big("damaged", 300_000))).ObjectPath()
	conf := "objects/" + verity.Sum(verity.SHA512, []byte(imagestest.Big("damaged conf", 1000))).ObjectPath()
	for done, cuts := false, 0; !done; cuts++ {
		r, path := newRepo(t)
		otherID, err := keep(r, other)
		must(t, err)
		id, err := keep(r, src)
		must(t, err)
		r.Close()
		flipAt(tool, 5)(t, path)
		remove(conf)(t, path)
		removeObject("images/"+string(id))(t, path)
		remove("images/"+string(id))(t, path)

		r = openRepo(t, path)
		report, err := r.Check(t.Context(), images.CheckOptions{})
		must(t, err)
		r.Condemn(report)
		whole := slices.DeleteFunc(objectFiles(t, path), func(p string) bool { return strings.HasSuffix(p, tool) })
		c := &cutter{t: t, path: path, left: cuts, flushed: whole}
		r.Intercept(c.flush, c.step)
		err = r.Repair(t.Context(), src, nil, id)
		if done = err == nil; !done {
			if !errors.Is(err, errCut) {
				t.Fatalf("cut %d: %v", cuts, err)
			}
			c.spoil()
		}
		r.Close()

		where := fmt.Sprintf("cut %d", cuts)
		checkLinks(t, where, path)
		r = openRepo(t, path)
		checkImage(t, r, where, other.Digest(), otherID)
		repair(t, r, src, id)
		// What the cut left is garbage.
		_, err = r.Collect(t.Context(), images.CollectOptions{Images: []bootc.ID{id, otherID}})
		must(t, err)
		report, err = r.Check(t.Context(), images.CheckOptions{})
		must(t, err)
		if !report.OK() {
			t.Errorf("%s: the next repair leaves %v", where, report.Problems)
		}
		checkImage(t, r, where+", next repair", src.Digest(), id)
		checkLayout(t, path)
		if done && cuts < 5 {
			t.Errorf("%d cuts, want at least 5", cuts)
		}
	}
}

// A failer lets the n-th flush fail. What was written since the one before is
// lost, which nobody sees as long as it is in memory; later flushes succeed, as
// they do in Linux.
type failer struct {
	cutter
	failed bool
	lost   []string
}

// forget takes from memory what is not on the disk: of what was lost only the
// size is left.
func (f *failer) forget() {
	for _, p := range f.lost {
		info, err := os.Stat(p)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		must(f.t, err)
		must(f.t, os.Truncate(p, 0))
		must(f.t, os.Truncate(p, info.Size()))
	}
}

func (f *failer) flush(do func() error) error {
	if f.left--; f.left == -1 {
		f.failed = true
		f.lost = slices.DeleteFunc(objectFiles(f.t, f.path), func(p string) bool { return slices.Contains(f.flushed, p) })
		return errCut
	}
	err := do()
	f.flushed = objectFiles(f.t, f.path)
	return err
}

func (f *failer) link(do func() error) error { return do() }

// TestFailingFlush lets one flush after the other fail, once. Nothing is
// published that was written before, neither by the same handle nor by the next
// try, which finds the names of objects that were lost.
func TestFailingFlush(t *testing.T) {
	old := twoLayers(imagestest.Options{Version: "old"})
	next := imagestest.New(imagestest.Options{Version: "new"},
		imagestest.Layer{Entries: append(imagestest.Base(), imagestest.File("usr/bin/tool", imagestest.Big("new", 300_000)))},
		imagestest.Layer{Entries: []imagestest.Entry{imagestest.File("etc/conf", imagestest.Big("new conf", 1000))}, Compression: imagestest.Zstd})
	want := composeAll(t, next)
	n := 0
	for done := false; !done; n++ {
		r, path := newRepo(t)
		oldID := compose(t, r, pull(t, r, old))
		must(t, r.Tag(old.Digest()))
		f := &failer{cutter: cutter{t: t, path: path, left: n, flushed: objectFiles(t, path)}}
		r.Intercept(f.flush, f.link)
		_, err := keep(r, next)
		if done = err == nil; done == f.failed || !done && !errors.Is(err, errCut) {
			t.Fatalf("flush %d: %v", n, err)
		}
		if f.failed {
			if err := r.Sync(); err == nil {
				t.Errorf("flush %d: after a flush that has failed, the handle flushes again", n)
			}
		}
		r.Close()
		f.forget()

		where := fmt.Sprintf("flush %d", n)
		checkLinks(t, where, path)
		r = openRepo(t, path)
		checkImage(t, r, where, old.Digest(), oldID)
		if id, err := keep(r, next); err != nil || id != want {
			t.Errorf("%s: the next try gives %s, %v; want %s", where, id, err, want)
		}
		checkImage(t, r, where+", next try", next.Digest(), want)
	}
	if n < 4 {
		t.Errorf("%d flushes, want at least 4", n)
	}
}
