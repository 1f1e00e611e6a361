package composefs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/composefs"
)

// TestVersions writes a tree in every version and reads it back.
func TestVersions(t *testing.T) {
	want := dump(t, example())
	digests := map[composefs.Digest]bool{}
	for _, v := range []composefs.Version{composefs.V0, composefs.V1, composefs.V2} {
		var image bytes.Buffer
		if err := composefs.Write(&image, example(), v); err != nil {
			t.Fatal(err)
		}
		d, err := composefs.ImageDigest(example(), v, composefs.SHA512)
		if err != nil {
			t.Fatal(err)
		}
		if err := composefs.Verify(&image, d); err != nil {
			t.Errorf("version %v: %v", v, err)
		}
		digests[d] = true
		image.Reset()
		if err := composefs.Write(&image, example(), v); err != nil {
			t.Fatal(err)
		}
		back, err := composefs.Read(bytes.NewReader(image.Bytes()), int64(image.Len()))
		if err != nil {
			t.Fatal(err)
		}
		if got := dump(t, back); got != want {
			t.Errorf("version %v: got\n%s\nwant\n%s", v, got, want)
		}
	}
	if len(digests) != 3 {
		t.Errorf("%d digests of three versions", len(digests))
	}
}

func dump(t *testing.T, tr *composefs.Tree) string {
	t.Helper()
	var text strings.Builder
	if err := composefs.WriteDump(&text, tr); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestVerifyObjects(t *testing.T) {
	good := strings.Repeat("data", 1000)
	tree := example()
	large := tree.Lookup("large")
	again := *large
	tree.Root.SetChild("again", &again)
	opened := 0
	err := composefs.VerifyObjects(tree, func(path string) (io.ReadCloser, error) {
		if opened++; path != large.Object.ObjectPath() {
			t.Errorf("opens %q", path)
		}
		return io.NopCloser(strings.NewReader(good)), nil
	})
	if err != nil || opened != 1 {
		t.Errorf("VerifyObjects = %v after opening %d objects", err, opened)
	}
	missing := func(string) (io.ReadCloser, error) { return nil, fs.ErrNotExist }
	if err := composefs.VerifyObjects(tree, missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("VerifyObjects = %v, want %v", err, fs.ErrNotExist)
	}
	var mismatch *composefs.MismatchError
	changed := func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(good[1:])), nil }
	if err := composefs.VerifyObjects(tree, changed); !errors.As(err, &mismatch) || mismatch.Want != large.Object {
		t.Errorf("VerifyObjects = %v", err)
	}
	large.Object, again.Object = composefs.Digest{}, composefs.Digest{}
	if err := composefs.VerifyObjects(tree, missing); err == nil || !strings.Contains(err.Error(), "no digest") {
		t.Errorf("VerifyObjects = %v", err)
	}
	if err := composefs.Verify(strings.NewReader(""), composefs.Digest{}); err == nil {
		t.Error("something is verified against nothing")
	}
	failing := fmt.Errorf("broken")
	if err := composefs.Verify(io.MultiReader(strings.NewReader(good), errorReader{failing}), mismatch.Want); !errors.Is(err, failing) {
		t.Errorf("Verify = %v, want %v", err, failing)
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }
