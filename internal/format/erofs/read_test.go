package erofs_test

import (
	"bytes"
	"encoding/hex"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/erofs"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// TestOthers reads images that composefs-rs has written, of version 1 with
// SHA-512 and of version 2 with SHA-256 digests. The dumps are SHA-256.
func TestOthers(t *testing.T) {
	for _, name := range []string{"base", "kernel", "selinux", "two-layers", "xattrs-mixed"} {
		t.Run(name, func(t *testing.T) {
			want := parse(t, readFile(t, "others/"+name+".dump"))
			old := readFile(t, "others/"+name+".v2.erofs")
			v2 := read(t, old)
			if !bytes.Equal(write(t, v2, erofs.V2), old) {
				t.Error("version 2 read and written again is another image")
			}
			if diff := cmp.Diff(dump(t, want), dump(t, v2)); diff != "" {
				t.Errorf("version 2 (-want +got):\n%s", diff)
			}
			image := readFile(t, "others/"+name+".v1.erofs")
			v1 := read(t, image)
			if !bytes.Equal(write(t, v1, erofs.V1), image) {
				t.Error("version 1 read and written again is another image")
			}
			// The trees are the same but for the algorithm of the digests.
			for _, tr := range []*tree.Tree{want, v1} {
				err := tr.Walk(func(_ string, n *tree.Node) error { n.Object = verity.Digest{}; return nil })
				if err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(dump(t, want), dump(t, v1)); diff != "" {
				t.Errorf("version 1 (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRefuseToRead changes a good image in one place.
func TestRefuseToRead(t *testing.T) {
	good := write(t, parse(t, readFile(t, "dumps/ext-4097.dump")), erofs.V0)
	for _, tt := range []struct {
		name string
		at   int
		hex  string
		want string
	}{
		{"magic", 0, "00", "no composefs header"},
		{"header version", 4, "02", "header version 2"},
		{"version", 12, "03", "composefs version 3"},
		{"flag", 8, "02", "not known"},
		{"reserved field", 0x1f, "01", "not known"},
		{"super block", 0x400, "00", "no EROFS super block"},
		{"incompatible feature", 0x450, "01", "features"},
		{"block size", 0x40c, "0d", "2^13"},
		{"root", 0x40e, "ffff", "outside of the image"},
		{"root that is a stub", 0x40e, "2600", "the root is not a directory"},
		{"opaque root", 0x4bc, "78", "the root is not opaque"},
		{"size of the root", 0x48b, "7f", "more than it has bytes"},
		{"block of the root", 0x493, "7f", "outside of the image"},
		{"xattr count", 0x482, "ffff", "outside of the image"},
		{"shared count", 0x4a4, "ff", "255 shared attributes"},
		{"name length", 0x4ac, "ff", "extended attribute of"},
		{"name index", 0x4ad, "07", "kind 7"},
		{"type of a stub", 0x4c5, "81", `"/00": type 3 in the directory`},
		{"unknown layout", 0x24c0, "0c", `"/file": data layout 6`},
		{"chunk", 0x257c, "00", "not a hole"},
		{"chunk format", 0x24d0, "20", "chunks"},
		{"metacopy version", 0x2500, "01", "unknown form"},
		{"redirect", 0x2538, "00", "no path of an object"},
		{"first name", 0x3008, "0d00", "first name"},
		{"dot", 0x3000, "25", `"." is not the directory`},
		{"dot dot", 0x300c, "25", `".." is not the parent`},
		{"order", 0x3c27, "66", "comes after"},
		{"directory loop", 0x3c18, "2400", `"/file": a directory with several names`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bad := bytes.Clone(good)
			change, err := hex.DecodeString(tt.hex)
			if err != nil {
				t.Fatal(err)
			}
			copy(bad[tt.at:], change)
			_, err = erofs.Read(bytes.NewReader(bad), int64(len(bad)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Read = %v, want %q", err, tt.want)
			}
		})
	}
	for _, size := range []int64{0, 1151, 4095, 4097, 1<<30 + 4096} {
		if _, err := erofs.Read(bytes.NewReader(good), size); err == nil {
			t.Errorf("Read accepts %d bytes", size)
		}
	}
	if _, err := erofs.Read(bytes.NewReader(good), int64(len(good))+4096); err == nil {
		t.Error("Read accepts a size beyond the end")
	}
}

// TestChangedBytes changes each byte that is not zero, one at a time. What is
// still read can be written again.
func TestChangedBytes(t *testing.T) {
	for _, name := range []string{"ext-xattrs", "whiteout-xattrs"} {
		good := write(t, parse(t, readFile(t, "dumps/"+name+".dump")), erofs.V1)
		bad := bytes.Clone(good)
		accepted := 0
		for i, b := range good {
			if b == 0 {
				continue
			}
			for _, c := range []byte{b ^ 1, 0xff} {
				bad[i] = c
				tr, err := erofs.Read(bytes.NewReader(bad), int64(len(bad)))
				if err != nil {
					continue
				}
				accepted++
				if err := erofs.Write(io.Discard, tr, erofs.Options{}); err != nil {
					t.Errorf("%s: byte %d changed to %#x is read and cannot be written: %v", name, i, c, err)
				}
			}
			bad[i] = b
		}
		if accepted == 0 {
			t.Errorf("%s: no change is accepted, not even that of a time", name)
		}
	}
}
