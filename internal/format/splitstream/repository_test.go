package splitstream_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/splitstream"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// A repository is what another implementation of composefs wrote.
type repository struct {
	objects store
	streams map[string]verity.Digest // by the name of the link
}

func readRepository(t *testing.T, name string) repository {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	repo := repository{store{}, map[string]verity.Digest{}}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return repo
		}
		if err != nil {
			t.Fatal(err)
		}
		dir, base := path.Split(strings.TrimPrefix(h.Name, "./"))
		digest := func(object string) verity.Digest {
			d, err := verity.ParseDigest(strings.ReplaceAll(object, "/", ""))
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		switch {
		case h.Typeflag == tar.TypeReg && strings.HasPrefix(dir, "objects/"):
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			repo.objects[digest(strings.TrimPrefix(dir, "objects/")+base)] = string(data)
		case h.Typeflag == tar.TypeSymlink && dir == "streams/":
			repo.streams[base] = digest(strings.TrimPrefix(h.Linkname, "../objects/"))
		}
	}
}

// TestRepository gives back every file of a repository that another
// implementation wrote, and writes its streams anew.
func TestRepository(t *testing.T) {
	repo := readRepository(t, "testdata/sha256-v2.tar.gz")
	kinds := map[splitstream.ContentType]int{}
	for name, id := range repo.streams {
		s, err := open([]byte(repo.objects[id]))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		kinds[s.Content]++
		var file bytes.Buffer
		if err := s.Cat(&file, repo.objects.open); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sum := sha256.Sum256(file.Bytes())
		if _, want, _ := strings.Cut(name, "sha256:"); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s gives a file with the SHA-256 %x", name, sum)
		}
		for ref, d := range s.Named {
			if _, ok := repo.objects[d]; !ok {
				t.Errorf("%s refers to %s by the name %s, which is not there", name, d, ref)
			}
			if kind, _, _ := strings.Cut(ref, ":"); kind == "config" && repo.streams["oci-config-"+strings.TrimPrefix(ref, "config:")].IsZero() {
				t.Errorf("%s refers to %s, which has no link", name, ref)
			}
		}
		if s.Content == splitstream.Layer {
			checkLayer(t, name, repo, s, file.Bytes())
		} else if len(s.Named) == 0 {
			t.Errorf("%s refers to nothing", name)
		}
	}
	want := map[splitstream.ContentType]int{splitstream.Layer: 7, splitstream.Config: 7, splitstream.Manifest: 7}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("streams of the repository: %s", diff)
	}
}

// checkLayer reads a layer from its stream, and from its tar while making the
// stream again: all must agree.
func checkLayer(t *testing.T, name string, repo repository, s *splitstream.Reader, file []byte) {
	t.Helper()
	c, err := s.Chunks()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	kept, err := layer.ReadRecorded(c, layer.Limits{})
	if err != nil {
		t.Fatalf("%s: reading the stream: %v", name, err)
	}
	w, err := splitstream.NewWriter(s.Algorithm, splitstream.Layer)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := layer.Read(bytes.NewReader(file), hasher{s.Algorithm}, w, layer.Limits{})
	if err != nil {
		t.Fatalf("%s: reading the tar: %v", name, err)
	}
	same := cmp.Comparer(func(a, b verity.Digest) bool { return a == b })
	if diff := cmp.Diff(fresh.Entries, kept.Entries, same, cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Node.children" }, cmp.Ignore()), cmp.AllowUnexported(tree.Node{})); diff != "" {
		t.Errorf("%s: entries of the tar and of the stream differ: %s", name, diff)
	}
	var out bytes.Buffer
	if err := w.Finish(&out); err != nil {
		t.Fatal(err)
	}
	again, err := open(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.Objects, again.Objects, same); diff != "" {
		t.Errorf("%s: objects of the new stream: %s", name, diff)
	}
	if got, want := chunks(t, again), chunks(t, s); again.Size != s.Size || !sameChunks(got, want) {
		t.Errorf("%s: the new stream of %d bytes has the chunks %s, want %d with %s", name, again.Size, got, s.Size, want)
	}
}

// sameChunks compares where the objects are; a chunk of inline bytes may have
// been read in several steps.
func sameChunks(a, b string) bool {
	objects := func(s string) (all []string) {
		for _, f := range strings.Fields(s) {
			if strings.HasPrefix(f, "#") {
				all = append(all, f)
			}
		}
		return all
	}
	return cmp.Equal(objects(a), objects(b))
}

// A hasher is a sink that keeps nothing.
type hasher struct{ a verity.Algorithm }

func (h hasher) Object(r io.Reader, _ int64) (verity.Digest, error) {
	x := verity.New(h.a)
	_, err := io.Copy(x, r)
	return x.Sum(), err
}
