package images_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/tree"
)

func TestPull(t *testing.T) {
	r, path := newRepo(t)
	src := twoLayers(imagestest.Options{Version: "1.2"})
	img := pull(t, r, src)
	if img.Manifest != src.Digest() || !bytes.Equal(img.RawManifest, src.RawManifest) || img.Config.Architecture != "amd64" || img.Version() != "1.2" {
		t.Errorf("image = %v, version %q", img.Config, img.Version())
	}
	want := []string{"/", "/boot", "/boot/file", "/etc", "/etc/conf", "/run", "/sysroot", "/tmp", "/usr", "/usr/bin", "/usr/bin/hard",
		"/usr/bin/small", "/usr/bin/soft", "/usr/bin/tool", "/usr/bin/tool2", "/usr/lib", "/var"}
	if diff := cmp.Diff(want, paths(img.Tree)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	for name, content := range map[string]string{
		"/usr/bin/tool": imagestest.Big("tool", 300_000), "/usr/bin/small": "small", "/etc/conf": imagestest.Big("conf", 65),
	} {
		got, err := r.ReadFile(img.Tree.Lookup(name))
		if err != nil || string(got) != content {
			t.Errorf("%s has %d bytes, %v; want %d", name, len(got), err, len(content))
		}
	}
	checkLayout(t, path)
	for n, d := range img.Config.RootFS.DiffIDs {
		var out bytes.Buffer
		if err := r.CatLayer(&out, bootc.Digest(d)); err != nil || imagestest.Digest(out.Bytes()) != bootc.Digest(d) {
			t.Errorf("layer %d comes back as %d bytes, %v", n, out.Len(), err)
		}
	}

	again, err := openRepo(t, path).Image(src.Digest())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, paths(again.Tree)); diff != "" {
		t.Errorf("tree read back (-want +got):\n%s", diff)
	}
	if again.Version() != "1.2" || len(again.Layers()) != 2 || again.Layers()[0] != src.Blobs[0] {
		t.Errorf("image read back = %v %v", again.Version(), again.Layers())
	}
	if _, err := r.Image(imagestest.Digest(nil)); !errors.Is(err, images.ErrNotFound) {
		t.Errorf("Image of what is not there: %v", err)
	}
}

// TestSameImage checks that one image has one ID, whatever form its parts have.
func TestSameImage(t *testing.T) {
	layers := func(c imagestest.Compression) []imagestest.Layer {
		return []imagestest.Layer{
			{Entries: imagestest.Base(), Compression: c},
			{Entries: []imagestest.Entry{imagestest.File("usr/x", imagestest.Big("x", 1_000_000))}, Compression: c},
			{Entries: []imagestest.Entry{imagestest.File("usr/.wh.x", "")}, Compression: c},
			{Entries: []imagestest.Entry{imagestest.File("usr/x", imagestest.Big("x", 1_000_000))}, Compression: c}, // once more
		}
	}
	members := layers(imagestest.None)
	for n, l := range members {
		raw := imagestest.Tar(l.Entries)
		var b bytes.Buffer
		for _, part := range [][]byte{raw[:700], raw[700:]} {
			w := gzip.NewWriter(&b)
			w.Write(part)
			w.Close()
		}
		members[n] = imagestest.Layer{Raw: raw, Compression: imagestest.Stored(b.Bytes())}
	}
	var ids []bootc.ID
	for name, src := range map[string]*imagestest.Image{
		"plain":     imagestest.New(imagestest.Options{}, layers(imagestest.None)...),
		"gzip":      imagestest.New(imagestest.Options{}, layers(imagestest.Gzip)...),
		"members":   imagestest.New(imagestest.Options{}, members...),
		"zstd":      imagestest.New(imagestest.Options{}, layers(imagestest.Zstd)...),
		"docker":    imagestest.New(imagestest.Options{Docker: true}, layers(imagestest.Gzip)...),
		"no digest": imagestest.New(imagestest.Options{NoDigest: true}, layers(imagestest.None)...),
	} {
		r, path := newRepo(t)
		img := pull(t, r, src)
		if n := len(src.Opened()); n != 3 {
			t.Errorf("%s: %d blobs fetched, want 3 for 4 layers of which 2 are the same", name, n)
		}
		ids = append(ids, compose(t, r, img))
		checkLayout(t, path)
	}
	if len(slices.Compact(ids)) != 1 {
		t.Errorf("IDs %v, want one", ids)
	}
}

// TestPullAgain checks that what is here is not fetched again, and that what is
// missing or spoiled is.
func TestPullAgain(t *testing.T) {
	r, path := newRepo(t)
	src := twoLayers(imagestest.Options{})
	id := compose(t, r, pull(t, r, src))
	src.Opened()
	before := links(t, path)

	var last bootc.Bytes
	img, err := r.Pull(context.Background(), src, func(e bootc.Event) { last = e.(bootc.Bytes) })
	if err != nil {
		t.Fatal(err)
	}
	if n := len(src.Opened()); n != 0 {
		t.Errorf("the second pull fetched %d blobs", n)
	}
	size := uint64(src.Blobs[0].Size + src.Blobs[1].Size)
	want := bootc.Bytes{Task: "pulling", ID: "composefs-pull", Description: "Pulling image", Cached: size, StepsCached: 2, Done: true}
	if diff := cmp.Diff(want, last); diff != "" {
		t.Errorf("last event (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, links(t, path)); diff != "" {
		t.Errorf("the second pull changed links:\n%s", diff)
	}
	if again := compose(t, r, img); again != id {
		t.Errorf("ID %s, then %s", id, again)
	}

	object := filepath.Join(path, "objects", img.Tree.Lookup("/usr/bin/tool").Object.ObjectPath())
	for what, spoil := range map[string]func() error{
		"removed":   func() error { return os.Remove(object) },
		"truncated": func() error { return os.Truncate(object, 0) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		img := pull(t, r, src)
		if opened := src.Opened(); !slices.Equal(opened, []bootc.Digest{src.Blobs[0].Digest}) {
			t.Errorf("%s object: fetched %v, want the first layer", what, opened)
		}
		got, err := r.ReadFile(img.Tree.Lookup("/usr/bin/tool"))
		if err != nil || string(got) != imagestest.Big("tool", 300_000) {
			t.Errorf("%s object: %d bytes, %v", what, len(got), err)
		}
	}
}

// TestPullWrongBytesAgain: a layer is fetched once more if its bytes are wrong, also
// where so much of it is left that this is not known.
func TestPullWrongBytesAgain(t *testing.T) {
	for name, size := range map[string]int{"small": 100_000, "large": 65 << 20} {
		t.Run(name, func(t *testing.T) {
			src := imagestest.New(imagestest.Options{}, imagestest.Layer{Entries: append(imagestest.Base(), imagestest.File("usr/x", imagestest.Big("x", size)))})
			src.Spoil(0, imagestest.Fault{Flip: 600})
			r, _ := newRepo(t)
			var notices []string
			_, err := r.Pull(context.Background(), src, func(e bootc.Event) {
				if n, ok := e.(bootc.Notice); ok {
					notices = append(notices, n.Text)
					src.Spoil(0, imagestest.Fault{})
				}
			})
			if err != nil {
				t.Errorf("Pull = %v", err)
			}
			if n := len(src.Opened()); n != 2 || len(notices) != 1 || !strings.HasSuffix(notices[0], "; fetching it again") {
				t.Errorf("fetched %d times, notices %q", n, notices)
			}
		})
	}
}

// TestPullRefuses checks that a source that lies or breaks is refused, that
// nothing refers to its image, and that what was verified stays.
func TestPullRefuses(t *testing.T) {
	broken := errors.New("connection reset")
	other := imagestest.Digest([]byte("other"))
	build := func(change func(*imagestest.Layer)) *imagestest.Image {
		l := imagestest.Layer{Entries: append(imagestest.Base(), imagestest.File("usr/x", imagestest.Big("x", 400_000))), Compression: imagestest.Gzip}
		change(&l)
		return imagestest.New(imagestest.Options{}, l)
	}
	good := func(*imagestest.Layer) {}
	spoiled := func(c imagestest.Compression, f imagestest.Fault) *imagestest.Image {
		i := build(func(l *imagestest.Layer) { l.Compression = c })
		i.Spoil(0, f)
		return i
	}
	raw := imagestest.Tar(append(imagestest.Base(), imagestest.File("usr/x", imagestest.Big("x", 400_000))))
	cases := []struct {
		name string
		src  *imagestest.Image
		want string // in the error
	}{
		{"flipped byte, gzip", spoiled(imagestest.Gzip, imagestest.Fault{Flip: 200_000}), "its digest is sha256:"},
		{"flipped byte, zstd", spoiled(imagestest.Zstd, imagestest.Fault{Flip: 200_000}), "its digest is sha256:"},
		{"flipped byte, plain", spoiled(imagestest.None, imagestest.Fault{Flip: 200_000}), "its digest is sha256:"},
		{"flipped byte in a header", spoiled(imagestest.None, imagestest.Fault{Flip: 600}), "its digest is sha256:"},
		{"flipped first byte", spoiled(imagestest.Gzip, imagestest.Fault{Flip: 1}), "its digest is sha256:"},
		{"flipped bit that is not content", spoiled(imagestest.Gzip, imagestest.Fault{Flip: 5}), "blob sha256:"},
		{"truncated, gzip", spoiled(imagestest.Gzip, imagestest.Fault{Truncate: 100_000}), "its digest is sha256:"},
		{"truncated, zstd", spoiled(imagestest.Zstd, imagestest.Fault{Truncate: 100_000}), "its digest is sha256:"},
		{"truncated, plain", spoiled(imagestest.None, imagestest.Fault{Truncate: 5120}), "its digest is sha256:"},
		{"error midway", spoiled(imagestest.Gzip, imagestest.Fault{Truncate: 100_000, Err: broken}), "connection reset"},
		{"wrong diff_id", build(func(l *imagestest.Layer) { l.DiffID = other }), "uncompressed: its digest is sha256:"},
		{"truncated tar", build(func(l *imagestest.Layer) { l.Raw = raw[:len(raw)-4096-1024] }), "the content ends after 396288 of 400000 bytes"},
		{"not a tar", build(func(l *imagestest.Layer) { l.Raw = []byte(imagestest.Big("noise", 10_000)) }), "layer 1 of 1"},
		{"garbage after gzip", build(func(l *imagestest.Layer) {
			l.Raw = raw
			l.Compression = imagestest.Stored(append(imagestest.Gzip.Compress(raw), "garbage"...))
		}), "decompressing gzip: "},
		{"no /usr", imagestest.New(imagestest.Options{}, imagestest.Layer{Entries: []imagestest.Entry{{Name: "etc/"}}}), "no directory /usr"},
		{"path with ..", build(func(l *imagestest.Layer) {
			l.Entries = append(l.Entries, imagestest.File("usr/../../x", "y"))
		}), "usr/../../x"},
		{"changed config", func() *imagestest.Image {
			i := build(good)
			i.RawConfig = bytes.Replace(i.RawConfig, []byte("amd64"), []byte("arm64"), 1)
			return i
		}(), "config: its digest is sha256:"},
		{"changed manifest", func() *imagestest.Image {
			i := build(good)
			i.RawManifest = append(i.RawManifest, ' ')
			return i
		}(), "manifest: its digest is sha256:"},
		{"a layer too few", func() *imagestest.Image {
			i := build(good)
			i.Blobs = nil
			return i
		}(), "the config has 1 layers, the manifest 1, and there are 0 to fetch"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, path := newRepo(t)
			_, err := r.Pull(context.Background(), c.src, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Pull = %v, want an error with %q", err, c.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has several lines: %v", err)
			}
			if c.name == "error midway" && !errors.Is(err, broken) {
				t.Errorf("Pull = %v, does not wrap the source's error", err)
			}
			checkLayout(t, path)
			for _, name := range sortedKeys(links(t, path)) {
				if c.name != "no /usr" || !strings.HasPrefix(name, "streams/oci-layer-") {
					t.Errorf("there is a link %s", name)
				}
			}
			if _, err := r.Image(c.src.Digest()); !errors.Is(err, images.ErrNotFound) {
				t.Errorf("Image = %v, want ErrNotFound", err)
			}
		})
	}
}

// TestPullResumes checks that the layers that arrived before an error are not
// fetched again.
func TestPullResumes(t *testing.T) {
	r, path := newRepo(t)
	src := twoLayers(imagestest.Options{})
	first := make(chan struct{}) // closed when the first layer is done
	broken := errors.New("connection reset")
	src.Spoil(1, imagestest.Fault{Truncate: 1000, Wait: first, Err: broken})
	_, err := r.Pull(context.Background(), src, func(e bootc.Event) {
		if e.(bootc.Bytes).Steps == 1 {
			close(first)
		}
	})
	if !errors.Is(err, broken) || len(links(t, path)) != 1 {
		t.Fatalf("Pull of a broken source = %v, %d links; want one for the first layer", err, len(links(t, path)))
	}
	src.Opened()
	src.Spoil(1, imagestest.Fault{})
	pull(t, r, src)
	if opened := src.Opened(); !slices.Equal(opened, []bootc.Digest{src.Blobs[1].Digest}) {
		t.Errorf("fetched %v, want only the second layer", opened)
	}
}

func TestPullCancelled(t *testing.T) {
	r, path := newRepo(t)
	src := twoLayers(imagestest.Options{})
	src.Spoil(0, imagestest.Fault{Truncate: 50_000, Block: true})
	ctx, cancel := context.WithCancel(context.Background())
	_, err := r.Pull(ctx, src, func(e bootc.Event) {
		if b, ok := e.(bootc.Bytes); ok && b.Steps == 1 { // the other layer is done
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Pull = %v, want that it was cancelled", err)
	}
	checkLayout(t, path)
	if got := sortedKeys(links(t, path)); len(got) != 1 || !strings.HasPrefix(got[0], "streams/oci-layer-") {
		t.Errorf("links %q, want one verified layer", got)
	}
	if _, err := r.Pull(ctx, twoLayers(imagestest.Options{}), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Pull after the cancelling = %v", err)
	}
}

// TestProgress checks that the counts are true and only grow.
func TestProgress(t *testing.T) {
	r, _ := newRepo(t)
	src := twoLayers(imagestest.Options{})
	total := uint64(src.Blobs[0].Size + src.Blobs[1].Size)
	var events []bootc.Bytes
	if _, err := r.Pull(context.Background(), src, func(e bootc.Event) { events = append(events, e.(bootc.Bytes)) }); err != nil {
		t.Fatal(err)
	}
	for n, e := range events {
		if e.Total != total || e.StepsTotal != 2 || e.Cached != 0 {
			t.Errorf("event %d: %+v, want a total of %d", n, e, total)
		}
		if n > 0 && (e.Bytes < events[n-1].Bytes || e.Steps < events[n-1].Steps) {
			t.Errorf("event %d goes back: %+v", n, e)
		}
		var sub uint64
		for _, s := range e.Subtasks {
			sub += s.Bytes
			if s.Bytes > s.Total || s.Subtask != "composefs_layer" {
				t.Errorf("event %d: %+v", n, s)
			}
		}
		if sub > e.Bytes {
			t.Errorf("event %d: layers of %d bytes in %d", n, sub, e.Bytes)
		}
	}
	last := events[len(events)-1]
	if last.Bytes != total || last.Steps != 2 || !last.Done || len(last.Subtasks) != 0 {
		t.Errorf("last event %+v, want %d bytes in 2 steps, done", last, total)
	}
	if events[0].Bytes != 0 || events[0].Done {
		t.Errorf("first event %+v", events[0])
	}
}

func TestParseManifest(t *testing.T) {
	digest := imagestest.Digest(nil)
	for _, c := range []struct{ text, want string }{
		{`{`, "reading the manifest"},
		{`{"schemaVersion":1}`, "not an image manifest"},
		{`{"schemaVersion":2,"manifests":[]}`, "not an image manifest"},
		{`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`, "media type"},
		{`{"schemaVersion":2,"config":{"digest":"md5:00"}}`, "unknown algorithm"},
		{fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":%q},"layers":[{"digest":"sha256:../x"}]}`, digest), "layer 1"},
		{fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":%q},"layers":[]}`, digest), ""},
	} {
		_, err := images.ParseManifest([]byte(c.text))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("ParseManifest(%s) = %v, want %q", c.text, err, c.want)
		}
	}
}

// TestLabels checks that the image that boots has the labels of its SELinux
// policy, that the plain one has none, and that composing leaves the tree alone.
func TestLabels(t *testing.T) {
	const policy = "etc/selinux/default/contexts/files/file_contexts"
	src := func(contexts string) *imagestest.Image {
		return imagestest.New(imagestest.Options{}, imagestest.Layer{Entries: append(imagestest.Base(),
			imagestest.File("etc/selinux/config", "SELINUXTYPE=default\n"),
			imagestest.File(policy, contexts),
			imagestest.File("usr/bin/a", "a"),
			imagestest.Entry{Name: "usr/bin/b", Link: "usr/bin/a", Hard: true},
			imagestest.Entry{Name: "usr/lib/a", Link: "usr/bin/a", Hard: true},
			imagestest.Entry{Name: "usr/lib/b", Link: "usr/bin/a", Hard: true})})
	}
	r, path := newRepo(t)
	img := pull(t, r, src("/usr/bin(/.*)? bin_t\n/usr/lib/.* lib_t\n"))
	before := paths(img.Tree)
	boot, err := r.ReadImage(compose(t, r, img))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, paths(img.Tree)); diff != "" || img.Tree.Lookup("usr/bin/a").Nlink != 4 {
		t.Errorf("composing has changed the tree: %s", diff)
	}
	_ = img.Tree.Walk(func(path string, n *tree.Node) error {
		if label, ok := n.Xattr("security.selinux"); ok {
			t.Errorf("%s has the label %q in the plain tree", path, label)
		}
		return nil
	})
	for path, want := range map[string]string{
		"/": "", "/usr": "", "/usr/lib": "", "/usr/bin": "bin_t", "/usr/bin/a": "bin_t", "/usr/bin/b": "bin_t", "/usr/lib/a": "lib_t", "/usr/lib/b": "lib_t",
	} {
		if got, _ := boot.Lookup(path).Xattr("security.selinux"); got != want {
			t.Errorf("label of %s is %q, want %q", path, got, want)
		}
	}
	for path, want := range map[string]uint32{"/usr/bin/a": 2, "/usr/bin/b": 2, "/usr/lib/a": 1, "/usr/lib/b": 1} {
		if got := boot.Lookup(path).Nlink; got != want {
			t.Errorf("%s has %d names, want %d", path, got, want)
		}
	}

	had := links(t, filepath.Join(path, "images"))
	_, err = r.Compose(context.Background(), pull(t, r, src("/usr\n")))
	if err == nil || err.Error() != `SELinux policy "default" of the image: file_contexts, line 1: no context after "/usr"` {
		t.Errorf("Compose with a bad policy: %v", err)
	}
	if diff := cmp.Diff(had, links(t, filepath.Join(path, "images"))); diff != "" {
		t.Errorf("links in images: %s", diff)
	}
}
