package erofs_test

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/erofs"
	"github.com/bootc-go/bootc/internal/format/tree"
)

// TestV2 writes all dumps as version 2 and reads them back. What version 2 does
// not hold is taken out of the tree first.
func TestV2(t *testing.T) {
	files, err := filepath.Glob("testdata/dumps/*")
	if err != nil || len(files) != 142 {
		t.Fatalf("%d dumps, want 142; %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".gz")
		t.Run(name, func(t *testing.T) {
			tr := parse(t, readFile(t, "dumps/"+name))
			tr.CountLinks()
			refused := name == "xattr-shared-300.dump"
			err := tr.Walk(func(_ string, n *tree.Node) error {
				n.Mtime.Nsec = 0
				n.SetPrimary("")
				if n.Type() != tree.TypeRegular {
					n.Size = 0
				}
				refused = refused || len(n.Content) > 4095
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			var image bytes.Buffer
			err = erofs.Write(&image, tr, erofs.Options{Version: erofs.V2})
			if refused != (err != nil) {
				t.Fatalf("Write = %v, want it to be refused: %v", err, refused)
			}
			if refused {
				return
			}
			back := read(t, image.Bytes())
			if diff := cmp.Diff(dump(t, tr), dump(t, back)); diff != "" {
				t.Errorf("dump (-want +got):\n%s", diff)
			}
			if !bytes.Equal(write(t, back, erofs.V2), image.Bytes()) {
				t.Error("the image read and written again is another one")
			}
		})
	}
}

// TestV2Refuses has trees and images that the other versions can hold.
func TestV2Refuses(t *testing.T) {
	many := tree.New()
	for _, name := range []string{"a", "b"} {
		n := file("")
		for i := range 256 {
			n.SetXattr(fmt.Sprintf("user.%03d", i), "")
		}
		many.Root.SetChild(name, n)
	}
	for _, tt := range []struct {
		tree *tree.Tree
		want string
	}{
		{many, "more than 255 shared"},
		{rootWith("f", file(strings.Repeat("c", 4096))), "at most 4095"},
	} {
		if err := erofs.Write(io.Discard, tt.tree, erofs.Options{}); err != nil {
			t.Errorf("version 1: %v", err)
		}
		err := erofs.Write(io.Discard, tt.tree, erofs.Options{Version: erofs.V2})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Write = %v, want %q", err, tt.want)
		}
	}
	image := write(t, parse(t, readFile(t, "dumps/ext-4097.dump")), erofs.V2)
	for _, tt := range []struct {
		at   int
		byte byte
		want string
	}{
		{bytes.LastIndex(image, []byte{0xff, 0xff, 0xff, 0xff}), 0, "not a hole"},
		{0x488, 0x0b, "truncated block"},
		{0x48e, 0x7f, "more than it has bytes"},
		{0x480, 0x0d, "layout 6"},
		{0x500, 0x05, "content of 4097"},
		{0x40c, 13, "2^13"},
	} {
		bad := bytes.Clone(image)
		bad[tt.at] = tt.byte
		if _, err := erofs.Read(bytes.NewReader(bad), int64(len(bad))); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("byte %#x changed to %#x: %v, want %q", tt.at, tt.byte, err, tt.want)
		}
	}
	// The root and the places of version 1 mean something else in version 2.
	image = write(t, parse(t, readFile(t, "dumps/ext-4097.dump")), erofs.V1)
	image[12] = 2
	if _, err := erofs.Read(bytes.NewReader(image), int64(len(image))); err == nil {
		t.Error("an image of version 1 is read as one of version 2")
	}
}
